package gssnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

// pipe is both ends of a connection over net.Pipe, established unless m says not.
func pipe(t *testing.T, name string, between func(net.Conn) net.Conn) (c, s *Conn) {
	t.Helper()
	m := mechanisms[name]
	x, y := net.Pipe()
	if between != nil {
		y = between(y)
	}
	c = Client(x, initiator(t, m.make("alice"), &gss.InitOptions{Require: m.flags}))
	s = Server(y, acceptor(t, m.make("files"), nil))
	return c, s
}

// established is pipe after the handshake.
func established(t *testing.T, name string, between func(net.Conn) net.Conn) (c, s *Conn) {
	t.Helper()
	c, s = pipe(t, name, between)
	done := make(chan error, 1)
	go func() { done <- c.Handshake(t.Context()) }()
	if err := errors.Join(s.Handshake(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestConn(t *testing.T) {
	for name, m := range mechanisms {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				nc, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				s := Server(nc, acceptor(t, m.make("files"), nil))
				defer s.Close()
				if _, err := io.Copy(s, s); err != nil { // the handshake is Read's
					t.Error(err)
				}
				if got := s.SecContext().Info().Peer.Text; got != "user:alice" {
					t.Error(got)
				}
			})
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := Client(nc, initiator(t, m.make("alice"), &gss.InitOptions{Require: m.flags}))
			defer c.Close()
			if c.SecContext() != nil {
				t.Error("a context before the handshake")
			}
			if err := c.Handshake(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.NetConn() != nc || c.LocalAddr() != nc.LocalAddr() || c.RemoteAddr() != nc.RemoteAddr() {
				t.Error("not the connection beneath")
			}
			want := make([]byte, 300_001) // several frames, the last one short
			for i := range want {
				want[i] = byte(i * 7 >> 3)
			}
			wg.Go(func() {
				for at := 0; at < len(want); { // pieces of all sizes
					n := min(1+at%50_000, len(want)-at)
					if _, err := c.Write(want[at : at+n]); err != nil {
						t.Error(err)
						return
					}
					at += n
				}
				c.Write(nil) // is not an end
				if err := errors.Join(c.CloseWrite(), c.CloseWrite()); err != nil {
					t.Error(err)
				}
				if _, err := c.Write([]byte("x")); err != errShutdown {
					t.Error("Write after CloseWrite:", err)
				}
			})
			var got []byte
			for n := 1; ; n = n*3 + 1 { // slices of all sizes
				p := make([]byte, min(n, 1<<17))
				k, err := c.Read(p)
				got = append(got, p[:k]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d octets came back, of %d", len(got), len(want))
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Error("after the end:", n, err)
			}
		})
	}
}

func TestConnNeedsFlags(t *testing.T) {
	for _, flags := range []gss.Flags{gss.Integ | gss.Replay | gss.Sequence, gss.Conf | gss.Integ | gss.Replay, gss.Conf | gss.Integ | gss.Sequence} {
		synctest.Test(t, func(t *testing.T) {
			x, y := net.Pipe()
			c := Client(x, initiator(t, &toy.Krb{Party: toy.NewParty("alice")}, &gss.InitOptions{Require: flags}))
			s := Server(y, acceptor(t, &toy.Krb{Party: toy.NewParty("files")}, nil))
			go func() {
				if err := s.Handshake(t.Context()); !errors.Is(err, gss.Unavailable) || s.SecContext() != nil {
					t.Errorf("server, %v: %v", flags, err)
				}
				s.Close()
			}()
			if _, err := c.Write([]byte("x")); !errors.Is(err, gss.Unavailable) || c.SecContext() != nil {
				t.Errorf("client, %v: %v", flags, err)
			}
			c.Close()
		})
	}
}

// tap passes whole writes on through change, once it is armed.
type tap struct {
	net.Conn
	mu     sync.Mutex
	change func(net.Conn, []byte) error
}

func (w *tap) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.change == nil {
		return w.Conn.Write(p)
	}
	return len(p), w.change(w.Conn, p)
}

// armed returns the client of a connection whose server's writes go through change.
func armed(t *testing.T, change func(net.Conn, []byte) error) (c, s *Conn) {
	var w *tap
	c, s = established(t, "three tokens", func(nc net.Conn) net.Conn { w = &tap{Conn: nc}; return w })
	w.mu.Lock()
	w.change = change
	w.mu.Unlock()
	return c, s
}

// TestConnTampered: whatever happens to a frame, its octets are not read, and
// neither is anything after it.
func TestConnTampered(t *testing.T) {
	pass := func(nc net.Conn, p []byte) error { _, err := nc.Write(p); return err }
	var held []byte
	for name, tt := range map[string]struct {
		change func(nc net.Conn, n int, p []byte) error
		reads  int // good frames
		want   []error
	}{
		"flipped": {func(nc net.Conn, n int, p []byte) error {
			if n == 1 {
				p = bytes.Clone(p)
				p[len(p)-1] ^= 1
			}
			return pass(nc, p)
		}, 1, []error{gss.BadMIC}},
		"dropped": {func(nc net.Conn, n int, p []byte) error {
			if n == 1 {
				return nil
			}
			return pass(nc, p)
		}, 1, []error{gss.GapToken}},
		"repeated": {func(nc net.Conn, n int, p []byte) error {
			if n == 1 {
				pass(nc, p)
			}
			return pass(nc, p)
		}, 2, []error{gss.DuplicateToken}},
		"exchanged": {func(nc net.Conn, n int, p []byte) error {
			switch n {
			case 1:
				held = bytes.Clone(p)
				return nil
			case 2:
				pass(nc, p)
				return pass(nc, held)
			}
			return pass(nc, p)
		}, 1, []error{gss.GapToken}},
		"in clear": {func(nc net.Conn, n int, p []byte) error {
			if n == 1 {
				p = append([]byte{0, 0, 0, 11}, "hello world"...)
			}
			return pass(nc, p)
		}, 1, []error{gss.DefectiveToken, gss.BadMIC}},
		"empty": {func(nc net.Conn, n int, p []byte) error { return pass(nc, []byte{0, 0, 0, 0}) }, 0, []error{gss.DefectiveToken}},
		"huge":  {func(nc net.Conn, n int, p []byte) error { return pass(nc, []byte{0xff, 0xff, 0xff, 0xff}) }, 0, []error{gss.DefectiveToken}},
		"one octet too large": {func(nc net.Conn, n int, p []byte) error {
			return pass(nc, binary.BigEndian.AppendUint32(nil, maxFrame+1))
		}, 0, []error{gss.DefectiveToken}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := -1
				c, s := armed(t, func(nc net.Conn, p []byte) error { n++; return tt.change(nc, n, p) })
				go func() {
					for range 5 {
						if _, err := s.Write([]byte("hello")); err != nil {
							break // the client is gone
						}
					}
					s.Close()
				}()
				p := make([]byte, 100)
				for range tt.reads {
					if k, err := c.Read(p); err != nil || string(p[:k]) != "hello" {
						t.Fatalf("%q, %v", p[:k], err)
					}
				}
				k, err := c.Read(p)
				is := false
				for _, w := range tt.want {
					is = is || errors.Is(err, w)
				}
				if k != 0 || !is {
					t.Errorf("%q, %v, want %v", p[:k], err, tt.want)
				}
				for range 3 {
					if k, again := c.Read(p); k != 0 || again != err {
						t.Errorf("then %q, %v", p[:k], again)
					}
				}
				c.Close()
			})
		})
	}
}

// TestConnTruncated cuts the stream at every octet of three frames.
func TestConnTruncated(t *testing.T) {
	const frame = 4 + 1 + 8 + 5 + 16 // of the toy
	for cut := range 3*frame + 1 {
		synctest.Test(t, func(t *testing.T) {
			left := cut
			c, s := armed(t, func(nc net.Conn, p []byte) error {
				n := min(left, len(p))
				nc.Write(p[:n])
				if left -= n; left == 0 {
					nc.Close()
				}
				return nil
			})
			go func() {
				for range 3 {
					s.Write([]byte("hello"))
				}
				s.NetConn().Close()
				s.Close()
			}()
			got, err := io.ReadAll(c)
			if err != io.ErrUnexpectedEOF || len(got) != cut/frame*5 {
				t.Errorf("cut at %d: %q, %v", cut, got, err)
			}
			c.Close()
		})
	}
}

// TestConnIntegrityOnly: a frame that anybody could read is refused, though it is
// authentic.
func TestConnIntegrityOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := established(t, "two tokens", nil)
		go func() {
			tok, _ := s.SecContext().Wrap(nil, []byte("hello"), gss.IntegrityOnly)
			s.NetConn().Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(tok))), tok...))
		}()
		if n, err := c.Read(make([]byte, 100)); n != 0 || !errors.Is(err, gss.BadQOP) {
			t.Error(n, err)
		}
		c.Close()
		s.Close()
	})
}

// TestConnLateToken: a token of a handshake is no message. One-token initiators
// learn that the acceptor refused them when they read.
func TestConnLateToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := net.Pipe()
		c := Client(x, initiator(t, &toy.Krb{Party: toy.NewParty("alice")}, &gss.InitOptions{Require: toy.UniFlags}))
		s := Server(y, acceptor(t, &toy.Krb{Party: toy.NewParty("files"), Skew: true}, nil))
		go func() {
			if err := s.Handshake(t.Context()); !errors.Is(err, gss.Failure) {
				t.Error(err)
			}
			s.Close()
		}()
		if n, err := c.Read(make([]byte, 100)); n != 0 || !errors.Is(err, gss.DefectiveToken) {
			t.Error(n, err)
		}
		c.Close()
	})
}

// TestConnPremature: octets that come with a token, before it is answered, are
// those of somebody who knows no key.
func TestConnPremature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := net.Pipe()
		h := initiator(t, &toy.PK{Party: toy.NewParty("alice")}, nil)
		s := Server(y, acceptor(t, &toy.PK{Party: toy.NewParty("files")}, nil))
		go func() {
			tok, _, _ := h.Step(t.Context(), nil)
			frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(tok))), tok...)
			x.Write(append(frame, "DROP TABLE"...))
			x.Close()
		}()
		if err := s.Handshake(t.Context()); !errors.Is(err, gss.DefectiveToken) {
			t.Error(err)
		}
		s.Close()
		h.Close()
	})
}

func TestConnDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var half []byte
		c, s := armed(t, func(nc net.Conn, p []byte) error {
			nc.Write(p[:7]) // the rest comes later
			half = append(half, p[7:]...)
			return nil
		})
		go s.Write([]byte("hello"))
		p := make([]byte, 100)
		for range 3 { // passes, and leaves the piece of a frame where it is
			c.SetReadDeadline(time.Now().Add(time.Second))
			if n, err := c.Read(p); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(n, err)
			}
		}
		c.SetReadDeadline(time.Time{})
		synctest.Wait() // for half
		go s.NetConn().(*tap).Conn.Write(half)
		if n, err := c.Read(p); err != nil || string(p[:n]) != "hello" {
			t.Fatal(n, err)
		}
		// A Write that did not get through is the end of writing.
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		c.SetDeadline(time.Time{})
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("half a frame may have been written:", err)
		}
		c.Close()
		s.Close()
	})
}

// clocked notes the deadlines that a connection ends up with.
type clocked struct {
	net.Conn
	mu          sync.Mutex
	read, write time.Time
}

func (c *clocked) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *clocked) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

func (c *clocked) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}

// TestConnRestores: a context that interrupts the handshake takes its deadline
// back, to what the caller had set, before or meanwhile.
func TestConnRestores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k *clocked
		_, s := pipe(t, "three tokens", func(nc net.Conn) net.Conn { k = &clocked{Conn: nc}; return k })
		read, write := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		s.SetReadDeadline(read)
		s.SetWriteDeadline(write)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Handshake(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if !k.read.Equal(read) || !k.write.Equal(write) {
			t.Error("deadlines are", k.read, k.write)
		}
		if err := s.Handshake(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("half a handshake was taken up again:", err)
		}
		s.dl.interrupt()
		s.SetDeadline(time.Time{})
		if !k.read.Equal(past) || !k.write.Equal(past) {
			t.Error("the interruption was overwritten:", k.read, k.write)
		}
		s.dl.resume()
		if !k.read.IsZero() || !k.write.IsZero() {
			t.Error("deadlines are", k.read, k.write)
		}
		s.Close()
	})
}

// TestConnClose closes while every other call is blocked. The bubble fails if a
// goroutine is left.
func TestConnClose(t *testing.T) {
	for name, call := range map[string]func(c *Conn) error{
		"Read":      func(c *Conn) error { _, err := c.Read(make([]byte, 10)); return err },
		"Write":     func(c *Conn) error { _, err := c.Write(make([]byte, 1<<20)); return err },
		"Handshake": func(c *Conn) error { return c.Handshake(context.Background()) },
	} {
		for _, ready := range []bool{true, false} {
			callers := 3
			if ready {
				callers = 1 // others wait for a mutex, which synctest cannot see
			}
			if ready && name == "Handshake" {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				var c, s *Conn
				if ready {
					c, s = established(t, "two tokens", nil)
				} else {
					c, s = pipe(t, "two tokens", nil)
				}
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						if err := call(c); !errors.Is(err, net.ErrClosed) {
							t.Errorf("%s, established %v: %v", name, ready, err)
						}
					})
				}
				synctest.Wait()
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				wg.Wait()
				if err := c.Close(); !errors.Is(err, net.ErrClosed) {
					t.Error("Close again:", err)
				}
				if err := call(c); ready && name != "Handshake" && !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after Close: %v", name, err)
				}
				if sc := c.SecContext(); sc != nil {
					if _, err := sc.MIC(nil, nil); !errors.Is(err, gss.NoContext) {
						t.Error("keys outlive Close:", err)
					}
				}
				s.Close()
			})
		}
	}
}

// slow is a handshake that waits for something outside.
type slow struct{ closed int }

func (s *slow) Step(ctx context.Context, _ []byte) ([]byte, gss.Context, error) {
	<-ctx.Done()
	return nil, nil, &gss.Error{Op: "Step", Major: gss.Failure, Err: ctx.Err()}
}

func (s *slow) Close() error { s.closed++; return nil }

// TestConnCloseStep: Close ends a Step, and waits for it before it closes h.
func TestConnCloseStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := net.Pipe()
		h := new(slow)
		c := Client(x, h)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Handshake(context.Background()); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() { // waits for the first one, no longer than it wants to
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Handshake(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		time.Sleep(2 * time.Second)
		c.Close()
		if h.closed == 0 {
			t.Error("the handshake was not closed")
		}
		wg.Wait()
		y.Close()

		h = new(slow)
		x, _ = net.Pipe()
		c = Client(x, h) // never used
		c.Close()
		if err := c.Handshake(t.Context()); h.closed != 1 || !errors.Is(err, net.ErrClosed) {
			t.Error("the handshake was closed", h.closed, "times;", err)
		}
	})
}

// TestConnFarewell: Close does not wait for ever for a peer that does not read.
func TestConnFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := established(t, "two tokens", nil)
		begin := time.Now()
		c.Close()
		if took := time.Since(begin); took != farewell {
			t.Error("Close took", took)
		}
		s.Close()

		c, s = established(t, "two tokens", nil)
		go c.Close()
		if got, err := io.ReadAll(s); len(got) != 0 || err != nil {
			t.Error("after a proper end:", got, err)
		}
		s.Close()
	})
}

// TestConnConcurrent: many write and read at once; every Write stays whole.
func TestConnConcurrent(t *testing.T) {
	c, s := established(t, "three tokens", nil)
	var writers, readers sync.WaitGroup
	const each, size = 50, 3000
	for w := range 4 {
		writers.Go(func() {
			for range each {
				if _, err := c.Write(bytes.Repeat([]byte{byte('a' + w)}, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	count := map[byte]int{}
	for range 3 {
		readers.Go(func() {
			for p := make([]byte, maxFrame); ; {
				n, err := s.Read(p)
				if err == io.EOF {
					return
				}
				if err != nil || n != size || bytes.Count(p[:n], p[:1]) != n {
					t.Errorf("%d octets, %v", n, err)
					return
				}
				mu.Lock()
				count[p[0]]++
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	c.Close()
	readers.Wait()
	s.Close()
	for w := range 4 {
		if got := count[byte('a'+w)]; got != each {
			t.Errorf("%d of %d messages of writer %d", got, each, w)
		}
	}
}

// loopback is a net.Conn to itself.
type loopback struct {
	net.Conn
	buf bytes.Buffer
}

func (l *loopback) Write(p []byte) (int, error) { return l.buf.Write(p) }
func (l *loopback) Read(p []byte) (int, error)  { return l.buf.Read(p) }

// ready is a Conn with a context, without a handshake.
func ready(nc net.Conn, sc gss.Context) *Conn {
	c := newConn(nc, nil, true)
	c.sc, c.chunk = sc, maxChunk
	c.done.Store(true)
	return c
}

func TestConnAllocations(t *testing.T) {
	i, a := both(t, initiator(t, mechanisms["three tokens"].make("alice"), nil), acceptor(t, mechanisms["three tokens"].make("files"), nil))
	l := new(loopback)
	w, r := ready(l, i.sc), ready(l, a.sc)
	for _, n := range []int{1, 1000, maxChunk, 100_000} {
		msg, p := make([]byte, n), make([]byte, 2*maxFrame)
		once := func() {
			if _, err := w.Write(msg); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < n; {
				k, err := r.Read(p)
				if err != nil {
					t.Fatal(err)
				}
				got += k
			}
		}
		once()
		if allocs := testing.AllocsPerRun(20, once); allocs != 0 && !raceDetector {
			t.Errorf("%d octets: %v allocations", n, allocs)
		}
		p = p[:min(n, 100)] // too short for a frame
		once()
		if allocs := testing.AllocsPerRun(20, once); allocs != 0 && !raceDetector {
			t.Errorf("%d octets, read in pieces: %v allocations", n, allocs)
		}
	}
}

func BenchmarkConn(b *testing.B) {
	m := mechanisms["three tokens"]
	x, y := net.Pipe()
	ch := make(chan gss.Context, 1)
	go func() {
		sc, err := Initiate(b.Context(), Stream(x, 0), initiator(b, m.make("alice"), nil))
		if err != nil {
			b.Error(err)
		}
		ch <- sc
	}()
	ac, err := Accept(b.Context(), Stream(y, 0), acceptor(b, m.make("files"), nil))
	if err != nil {
		b.Fatal(err)
	}
	l := new(loopback)
	w, r := ready(l, <-ch), ready(l, ac)
	msg, p := make([]byte, maxChunk), make([]byte, maxFrame)
	b.SetBytes(maxChunk)
	b.ReportAllocs()
	for b.Loop() {
		w.Write(msg)
		if _, err := r.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}
