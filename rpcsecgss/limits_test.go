package rpcsecgss

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
)

func certMech(t *testing.T, ca *pkixtest.CA, tpl pkixtest.Template, suites ...pkix.Suite) *pkix.Mechanism {
	t.Helper()
	cred, err := pkix.FromTLS(ca.Issue(tpl))
	if err != nil {
		t.Fatal(err)
	}
	m, err := pkix.New(pkix.Config{Roots: ca.Pool(), Credential: cred, Suites: suites,
		PeerAddress: func(ctx context.Context) string {
			if a := RemoteAddr(ctx); a != nil {
				return host(a)
			}
			return ""
		}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// firstToken is one that INIT carries.
func firstToken(t *testing.T, m gss.Mechanism) []byte {
	t.Helper()
	h, err := m.Initiate(service, &gss.InitOptions{Require: gss.Integ})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	tok, _, err := h.Step(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A hundred thousand INITs that are never completed, from one host and from
// everywhere: memory is capped, and an honest client is served meanwhile and after.
func TestFlood(t *testing.T) {
	ca := pkixtest.NewCA("root")
	server := certMech(t, ca, pkixtest.Template{DNS: []string{"localhost"}}, pkix.X25519)
	alice := certMech(t, ca, pkixtest.Template{Emails: []string{"alice@example.org"}}, pkix.X25519)
	// What the acceptor answers in full, and what it asks to be said otherwise.
	full := firstToken(t, alice)
	retry := firstToken(t, certMech(t, ca, pkixtest.Template{Emails: []string{"mallory@example.org"}}, pkix.P256, pkix.X25519))

	inits, dear := 100000, 25 // one in dear makes the acceptor sign
	if race || testing.Short() {
		inits = 4000
	}
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(server)})
	honest := func(bind string) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(bind)}}
		conn, err := d.Dial("tcp", s.addr.String())
		if err != nil {
			return err
		}
		c := NewClient(conn, testProg, testVers, ClientOptions{Mech: alice, Target: service})
		defer c.Close()
		got, err := c.Call(within(t), procEcho, text("honest"))
		if err == nil && !bytes.Equal(got, text("honest")) {
			err = errors.New("another answer")
		}
		return err
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	call := func(i int) []byte {
		tok := retry
		if i%dear == 0 {
			tok = full
		}
		var e Encoder
		e.header(header{xid: uint32(i), prog: testProg, vers: testVers, cred: gssCred{version1, procInit, 0, Privacy, nil}.auth()})
		e.auth(auth{})
		e.Opaque(tok)
		return e.Bytes()
	}
	before := heap()

	// From one host, over connections of its own.
	var done atomic.Bool
	var flood sync.WaitGroup
	var answered atomic.Int64
	for k := range 2 {
		conn := s.dial(t)
		flood.Go(func() {
			for i := k; i < inits/2; i += 2 {
				if _, err := conn.Write(frame(call(i))); err != nil {
					t.Error(err)
					return
				}
				reply, err := readRecord(conn, 1<<20)
				if err != nil || why(reply) != nil {
					t.Errorf("%v %v", err, why(reply))
					return
				}
				answered.Add(1)
			}
		})
	}
	go func() { flood.Wait(); done.Store(true) }()
	served := 0
	for !done.Load() {
		if err := honest("127.0.0.2"); err != nil {
			t.Fatalf("after %d INITs: %v", answered.Load(), err)
		}
		served++
		if n := s.half.len(); n > 64+8 {
			t.Fatalf("%d half open, of one host", n)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if served < 2 || answered.Load() != int64(inits/2) {
		t.Errorf("served %d times in %d INITs", served, answered.Load())
	}

	// From everywhere: by hand, as there are not so many addresses here.
	for i := range inits / 2 {
		a := &net.TCPAddr{IP: binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(i)), Port: 1}
		if why(s.deliver(&peer{addr: a, host: host(a)}, call(i))) != nil {
			t.Fatal("not answered")
		}
		if i%(inits/20) == 0 {
			if err := honest("127.0.0.1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.half.len(); n > 1024 {
		t.Errorf("%d half open", n)
	}
	if err := honest("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if grown := int64(heap()) - int64(before); grown > 32<<20 {
		t.Errorf("the heap has grown by %d octets", grown)
	}
}

func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := newTable(6, 3, time.Minute)
		put := func(peer string) *entry {
			e := &entry{handle: newHandle(), peer: peer}
			tb.put(e)
			time.Sleep(time.Second)
			return e
		}
		there := func(e *entry) bool { x, _ := tb.get(e.handle[:]); return x == e }
		a1, a2, a3 := put("a"), put("a"), put("a")
		b1 := put("b")
		tb.touch(a1)
		time.Sleep(time.Second)
		a4 := put("a") // a's least used goes
		for i, x := range []struct {
			e    *entry
			want bool
		}{{a1, true}, {a2, false}, {a3, true}, {b1, true}, {a4, true}} {
			if there(x.e) != x.want {
				t.Errorf("%d: there %v", i, !x.want)
			}
		}
		put("c")
		put("d")
		put("e") // the seventh: of all the least used goes
		if there(a3) || !there(b1) || tb.len() != 6 {
			t.Errorf("a3 %v b1 %v, %d", there(a3), there(b1), tb.len())
		}
		time.Sleep(58 * time.Second)
		tb.touch(a1)
		if _, ended := tb.get(b1.handle[:]); !ended {
			t.Error("b1 was not used for a minute")
		}
		if _, ended := tb.get(b1.handle[:]); ended {
			t.Error("b1 ended twice")
		}
		time.Sleep(30 * time.Second)
		put("f") // sweeps
		if tb.len() != 2 || !there(a1) || len(tb.count) != 2 {
			t.Errorf("%d, %v", tb.len(), tb.count)
		}
		if tb.take(a1.handle[:]) != a1 || tb.take(a1.handle[:]) != nil || tb.drop(a1) != nil {
			t.Error("taken twice")
		}
		if e, _ := tb.get(a1.handle[:15]); e != nil {
			t.Error("a short handle")
		}
		if tb.clear() != 1 || tb.len() != 0 || tb.order.Len() != 0 || len(tb.count) != 0 {
			t.Error("not empty")
		}
	})
}

// limited changes what an acceptor's contexts say of themselves.
type limited struct {
	gss.Handshake
	change func(*gss.Info)
}

func (h limited) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.Handshake.Step(ctx, in)
	if sc != nil {
		sc = changed{sc, h.change}
	}
	return out, sc, err
}

type changed struct {
	gss.Context
	change func(*gss.Info)
}

func (c changed) Info() gss.Info {
	i := c.Context.Info()
	c.change(&i)
	return i
}

// A context ends with its credentials, its time, or its rest; the client comes back.
func TestLifetime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		o      ServerOptions
		expiry time.Duration
		busy   bool
		ends   time.Duration
	}{
		{"credentials", ServerOptions{}, 10 * time.Minute, true, 10 * time.Minute},
		{"lifetime", ServerOptions{MaxLifetime: 5 * time.Minute}, 10 * time.Minute, true, 5 * time.Minute},
		{"not idle", ServerOptions{Idle: 2 * time.Minute}, 10 * time.Minute, true, 10 * time.Minute},
		{"idle", ServerOptions{Idle: 2 * time.Minute}, 10 * time.Minute, false, 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mechanisms()["pk"]
				o := tt.o
				start := time.Now()
				o.Accept = func() (gss.Handshake, error) {
					h, err := m.Accept(nil)
					return limited{h, func(i *gss.Info) { i.Expiry = start.Add(tt.expiry) }}, err
				}
				s := &testServer{Server: NewServer(o)}
				defer s.Close()
				s.Handle(testProg, testVers, s.dispatch)
				from := &peer{addr: &net.TCPAddr{}}
				ours, theirs := net.Pipe()
				go func() {
					for {
						msg, err := readRecord(theirs, 1<<20)
						if err != nil {
							return
						}
						theirs.Write(frame(s.deliver(from, msg)))
					}
				}()
				c := NewClient(ours, testProg, testVers, ClientOptions{Mech: m, Target: service})
				defer c.Close()
				if _, err := c.Call(t.Context(), procEcho, nil); err != nil {
					t.Fatal(err)
				}
				first := present(c)
				if tt.busy {
					for time.Since(start) < tt.ends-time.Minute {
						time.Sleep(time.Minute)
						if _, err := c.Call(t.Context(), procEcho, nil); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(tt.ends - time.Since(start) - time.Second)
				p := pair{s, first, t, from}
				if present(c) != first {
					t.Fatal("refreshed too early")
				}
				time.Sleep(2 * time.Second)
				if err := why(s.deliver(from, p.data(5000, Privacy, nil))); err != CtxProblem {
					t.Errorf("at its end: %v", err)
				}
				if err := why(s.deliver(from, p.data(5001, Privacy, nil))); err != CredProblem {
					t.Errorf("after it: %v", err)
				}
				start = time.Now() // a new ticket
				if _, err := c.Call(t.Context(), procEcho, nil); err != nil || present(c) == first {
					t.Errorf("%v, refreshed: %v", err, present(c) != first)
				}
			})
		})
	}
}

// A handshake that dawdles is forgotten, and one that is closed halfway leaves nothing.
// A handshake that is at it when all contexts end, ends with them.
func TestDropInHandshake(t *testing.T) {
	for name, m := range mechanisms() {
		if name == "uni" {
			continue
		}
		var s *testServer
		made, drops := 0, 0
		s = serve(t, "tcp", ServerOptions{Accept: func() (gss.Handshake, error) {
			made++
			h, err := m.Accept(nil)
			return limited{h, func(i *gss.Info) {
				if drops < 2 && s.open.len() == 0 { // as the context is looked at
					drops++
					s.DropContexts()
				}
			}}, err
		}})
		c := s.client(t, ClientOptions{Mech: m, Target: service})
		if _, err := c.Call(within(t), procEcho, nil); err != nil || made != 1+drops || drops != 2 || s.open.len() != 1 {
			t.Errorf("%s: %v, %d handshakes, %d drops", name, err, made, drops)
		}
	}
}

func TestHalfOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mechanisms()["pk"]
		for _, wait := range []time.Duration{29 * time.Second, 31 * time.Second} {
			s := &testServer{Server: NewServer(ServerOptions{Accept: acceptor(m)})}
			from := &peer{addr: &net.TCPAddr{}}
			ours, theirs := net.Pipe()
			go func() {
				for {
					msg, err := readRecord(theirs, 1<<20)
					if err != nil {
						return
					}
					reply := s.deliver(from, msg)
					if s.half.len() == 1 {
						time.Sleep(wait)
					}
					theirs.Write(frame(reply))
				}
			}()
			c := NewClient(ours, testProg, testVers, ClientOptions{Mech: m, Target: service})
			_, err := c.Establish(t.Context())
			if wait < 30*time.Second && err != nil || wait > 30*time.Second && !errors.Is(err, gss.NoContext) {
				t.Errorf("after %v: %v", wait, err)
			}
			c.Close()
			s.Close()
			if s.half.len()+s.open.len() != 0 {
				t.Error("something is left")
			}
		}
	})
}

// lossy loses datagrams in both directions by turns.
type lossy struct {
	net.Conn
	in, out atomic.Int64
}

func (c *lossy) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || c.in.Add(1)%3 != 0 {
			return n, err
		}
	}
}

func (c *lossy) Write(b []byte) (int, error) {
	if c.out.Add(1)%4 == 0 {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Lost calls are made again, and lost replies do not make a call happen twice.
func TestLoss(t *testing.T) {
	for name, m := range mechanisms() {
		if name == "uni" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := serve(t, "udp", ServerOptions{Accept: acceptor(m)})
			l := &lossy{Conn: s.dial(t)}
			c := NewClient(l, testProg, testVers, ClientOptions{Mech: m, Target: service, Retransmit: 10 * time.Millisecond})
			defer c.Close()
			const calls = 30
			for i := range calls {
				msg := text(fmt.Sprint(i))
				if got, err := c.Call(within(t), procEcho, msg); err != nil || !bytes.Equal(got, msg) {
					t.Fatalf("%d: %x, %v", i, got, err)
				}
				if i == calls/2 {
					s.DropContexts()
				}
			}
			if n := s.executed.Load(); n != calls {
				t.Errorf("executed %d, want %d", n, calls)
			}
			if l.in.Load() < calls || l.out.Load() < calls*4/3 {
				t.Error("nothing was lost")
			}
		})
	}
}

// echoing is a socket to which each datagram comes twice.
type echoing struct {
	net.Conn
	last []byte
}

func (c *echoing) Read(b []byte) (int, error) {
	if c.last != nil {
		n := copy(b, c.last)
		c.last = nil
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if err == nil {
		c.last = bytes.Clone(b[:n])
	}
	return n, err
}

// A denial that comes twice costs one context, and not the next one, too.
func TestDeniedTwice(t *testing.T) {
	m := mechanisms()["krb"]
	var made atomic.Int64
	s := serve(t, "udp", ServerOptions{Accept: func() (gss.Handshake, error) {
		made.Add(1)
		return m.Accept(nil)
	}})
	c := NewClient(&echoing{Conn: s.dial(t)}, testProg, testVers, ClientOptions{Mech: m, Target: service})
	defer c.Close()
	for i := range int64(5) {
		if _, err := c.Call(within(t), procEcho, nil); err != nil || made.Load() != i+1 {
			t.Fatalf("%v, %d contexts, want %d", err, made.Load(), i+1)
		}
		s.DropContexts()
	}
}

func TestReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplies(3, 3*replyCost+100)
		do := func(xid uint32, n int) bool {
			x, first := r.begin(replyKey{xid: xid})
			if first {
				r.end(x, answer{results: make([]byte, n)})
			}
			return first
		}
		for i, x := range []struct {
			xid   uint32
			n     int
			first bool
		}{{1, 10, true}, {1, 0, false}, {2, 10, true}, {3, 10, true}, {1, 0, false}, {4, 10, true}, {2, 0, false}, {1, 10, true},
			{5, 1000, true}, {1, 0, false}, {5, 1000, true}, {5, 10, true}, {5, 0, false}} {
			if do(x.xid, x.n) != x.first {
				t.Errorf("%d: first is %v", i, !x.first)
			}
			if r.order.Len() > 3 || r.size > r.octets || len(r.m) != r.order.Len() {
				t.Errorf("%d: %d of %d octets", i, r.order.Len(), r.size)
			}
		}
		time.Sleep(replyAge + time.Second)
		if !do(5, 0) || r.order.Len() != 1 {
			t.Error("an old answer")
		}
	})
}

// Who makes many calls, or has long answers, pushes out his own.
func TestRepliesShares(t *testing.T) {
	for _, n := range []int{0, 3000} {
		r := newReplies(100, 100*(replyCost+1000))
		do := func(who string, xid uint32, n int) bool {
			x, first := r.begin(replyKey{who: who, xid: xid})
			if first {
				r.end(x, answer{results: make([]byte, n)})
			}
			return first
		}
		for xid := range uint32(5) {
			do("quiet", xid, 10)
			do("also", xid, 10)
		}
		for xid := range uint32(1000) {
			do("busy", xid, n)
		}
		for xid := range uint32(5) {
			if do("quiet", xid, 10) || do("also", xid, 10) {
				t.Fatalf("answers of %d octets pushed out another's", n)
			}
		}
		if do("busy", 999, n) || do("busy", 980, n) {
			t.Error("its own last ones are gone")
		}
		r.mu.Lock()
		for r.order.Len() > 0 {
			r.forget(r.order.Front().Value.(*remembered))
		}
		if len(r.m) != 0 || len(r.of) != 0 || r.size != 0 {
			t.Error(len(r.m), len(r.of), r.size)
		}
		r.mu.Unlock()
	}
}

// Two who do the same at once with the same xid are not mixed up.
func TestRepliesOfOthers(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	a := s.client(t, ClientOptions{Mech: m, Target: service})
	if _, err := a.Establish(within(t)); err != nil {
		t.Fatal(err)
	}
	for i, host := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		p := pair{s, present(a), t, &peer{addr: s.addr, host: host}}
		msg, err := p.seal(p.header(1, procEcho), procData, uint32(10+i), Privacy, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := why(s.deliver(p.from, msg)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.executed.Load(); n != 2 {
		t.Errorf("executed %d", n)
	}
	// Nor are the nameless.
	for i, change := range []func(*gss.Info){func(i *gss.Info) { i.Peer = gss.Name{} }, func(i *gss.Info) { i.Flags |= gss.Anon }} {
		x := newPair(t, m, ServerOptions{Accept: func() (gss.Handshake, error) {
			h, err := m.Accept(nil)
			return limited{h, change}, err
		}})
		c := x.client(t, ClientOptions{Mech: m, Target: service})
		if _, err := c.Establish(within(t)); err != nil {
			t.Fatal(err)
		}
		y := &pair{x.testServer, present(c), t, x.from}
		for _, p := range []*pair{x, y} {
			if err := why(p.deliver(p.from, p.data(1, Privacy, nil))); err != nil {
				t.Fatal(err)
			}
		}
		if n := x.executed.Load(); n != 2 {
			t.Errorf("%d: executed %d", i, n)
		}
		if q := x.testServer.open.count; len(q) != 1 || q["host\x00127.0.0.1"] != 2 { // whatever name he has
			t.Errorf("%d: %v", i, q)
		}
	}
}

// A connection that says nothing, or not enough, is closed.
func TestConnIdle(t *testing.T) {
	s := serve(t, "tcp", ServerOptions{ConnIdle: 50 * time.Millisecond})
	for _, start := range [][]byte{nil, {0x80, 0, 1, 0}, {0x80, 0, 1, 0, 9, 9, 9}} {
		c := s.dial(t)
		c.Write(start)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after %x: %v", start, err)
		}
	}
}

// Close ends handlers in progress, and everything else.
func TestCloseInCall(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	c := s.client(t, ClientOptions{Mech: m, Target: service})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Call(within(t), procSlow, nil); err == nil {
			t.Error("it was done")
		}
	})
	<-s.entered
	s.Close()
	wg.Wait()
	if s.open.len() != 0 {
		t.Error("a context is left")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != net.ErrClosed {
		t.Error(err)
	}
}

// The client keeps to the server's window; the rest of its calls wait for a place.
func TestClientWindow(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m), MaxCalls: 2 * Window})
	c := s.client(t, ClientOptions{Mech: m, Target: service})
	var wg sync.WaitGroup
	const calls = Window + 50
	for i := range calls {
		wg.Go(func() {
			msg := text(fmt.Sprint(i))
			if got, err := c.Call(within(t), procSlow, msg); err != nil || !bytes.Equal(got, msg) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	for range Window {
		<-s.entered
	}
	select {
	case <-s.entered:
		t.Error("more calls than the window has room for")
	case <-time.After(50 * time.Millisecond):
	}
	close(s.gate)
	wg.Wait()
	if n := s.executed.Load(); n != calls {
		t.Errorf("executed %d", n)
	}
}

// mortal makes contexts that end when they are told to.
type mortal struct {
	gss.Mechanism
	made []*ended
}

type ended struct {
	gss.Context
	over atomic.Bool
}

func (c *ended) MIC(dst, msg []byte) ([]byte, error) {
	if c.over.Load() {
		return dst, &gss.Error{Op: "GetMIC", Major: gss.ContextExpired}
	}
	return c.Context.MIC(dst, msg)
}

type mortalHandshake struct {
	gss.Handshake
	m *mortal
}

func (m *mortal) Initiate(n gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	h, err := m.Mechanism.Initiate(n, o)
	return mortalHandshake{h, m}, err
}

func (h mortalHandshake) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.Handshake.Step(ctx, in)
	if sc != nil {
		c := &ended{Context: sc}
		h.m.made = append(h.m.made, c)
		sc = c
	}
	return out, sc, err
}

// A client whose context has ended by its own clock makes another.
func TestClientExpiry(t *testing.T) {
	m := &mortal{Mechanism: mechanisms()["pk"]}
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m.Mechanism)})
	c := s.client(t, ClientOptions{Mech: m, Target: service})
	for i := range 3 {
		if _, err := c.Call(within(t), procEcho, nil); err != nil {
			t.Fatal(err)
		}
		if len(m.made) != i+1 {
			t.Errorf("%d contexts, want %d", len(m.made), i+1)
		}
		m.made[i].over.Store(true)
		if i > 0 {
			if _, err := m.made[i-1].Context.MIC(nil, nil); !errors.Is(err, gss.NoContext) {
				t.Errorf("the context before is still open: %v", err)
			}
		}
	}
}
