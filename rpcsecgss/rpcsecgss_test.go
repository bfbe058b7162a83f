package rpcsecgss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

const (
	testProg = 0x20001234
	testVers = 3

	procEcho = 1 // results are the arguments
	procFail = 2 // SystemErr
	procSlow = 3 // waits for the test's gate
	procWho  = 4 // who calls
)

var service = gss.Service("rpc", "localhost")

// A testServer has a program and counts what it executes.
type testServer struct {
	*Server
	executed atomic.Int64
	gate     chan struct{}
	entered  chan struct{}
	addr     net.Addr
}

func acceptor(m gss.Mechanism) func() (gss.Handshake, error) {
	return func() (gss.Handshake, error) { return m.Accept(nil) }
}

func (s *testServer) dispatch(ctx context.Context, c *Call) ([]byte, error) {
	s.executed.Add(1)
	switch c.Proc {
	case nullProc:
		return nil, nil
	case procEcho:
		return c.Args, nil
	case procFail:
		return nil, fmt.Errorf("a secret that stays here")
	case procSlow:
		s.entered <- struct{}{}
		select {
		case <-s.gate:
			return c.Args, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case procWho:
		var e Encoder
		e.String(c.Info.Peer.Text)
		e.Uint32(uint32(c.Service))
		e.Bool(RemoteAddr(ctx) == c.Remote)
		return e.Bytes(), nil
	}
	return nil, ProcUnavail
}

// serve serves over TCP ("tcp") or UDP ("udp") until the test ends, and then
// checks that no goroutine is left.
func serve(t testing.TB, network string, o ServerOptions) *testServer {
	t.Helper()
	before := runtime.NumGoroutine()
	s := &testServer{Server: NewServer(o), gate: make(chan struct{}), entered: make(chan struct{}, 1000)}
	s.Handle(testProg, testVers, s.dispatch)
	s.Handle(testProg, testVers+2, s.dispatch)
	done := make(chan error, 1)
	if network == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addr = l.Addr()
		go func() { done <- s.Serve(l) }()
	} else {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addr = pc.LocalAddr()
		go func() { done <- s.ServePacket(pc) }()
	}
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("serving ended with %v", err)
		}
		_, fuzzing := t.(*testing.F) // which has goroutines of its own
		for range 200 {
			if fuzzing || runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		buf := make([]byte, 1<<16)
		t.Errorf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
	})
	return s
}

func (s *testServer) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *testServer) client(t testing.TB, o ClientOptions) *Client {
	t.Helper()
	c := NewClient(s.dial(t), testProg, testVers, o)
	t.Cleanup(func() { c.Close() })
	return c
}

// present is the session that c has.
func present(c *Client) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == nil {
		return nil
	}
	return c.line.session
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func text(s string) []byte {
	var e Encoder
	e.String(s)
	return e.Bytes()
}

func mechanisms() map[string]gss.Mechanism {
	p := toy.NewParty("alice")
	return map[string]gss.Mechanism{
		"krb":  &toy.Krb{Party: p},
		"pk":   &toy.PK{Party: p},
		"nego": &toy.Nego{Mechs: []gss.Mechanism{&toy.PK{Party: p}, &toy.Krb{Party: p}}},
		"uni":  &toy.Uni{Party: p},
	}
}

// Every mechanism, service and transport.
func TestCalls(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		for name, m := range mechanisms() {
			for _, sv := range []Service{None, Integrity, Privacy} {
				t.Run(fmt.Sprint(network, "/", name, "/", sv), func(t *testing.T) {
					s := serve(t, network, ServerOptions{Accept: acceptor(m), MinService: None})
					o := ClientOptions{Mech: m, Target: service, Service: sv}
					if name == "uni" {
						o.Init.Require = gss.Integ
					}
					c := s.client(t, o)
					ctx := within(t)
					for _, msg := range []string{"", "x", strings.Repeat("long ", 5000)} {
						got, err := c.Call(ctx, procEcho, text(msg))
						if err != nil || !bytes.Equal(got, text(msg)) {
							t.Fatalf("%d octets: %d octets, %v", len(msg), len(got), err)
						}
					}
					if got, err := c.Call(ctx, nullProc, nil); err != nil || len(got) != 0 {
						t.Errorf("null: %x, %v", got, err)
					}
					if _, err := c.Call(ctx, procFail, nil); !errors.Is(err, SystemErr) || strings.Contains(err.Error(), "secret") {
						t.Errorf("fail: %v", err)
					}
					if _, err := c.Call(ctx, 99, nil); !errors.Is(err, ProcUnavail) {
						t.Errorf("proc 99: %v", err)
					}
					got, err := c.Call(ctx, procWho, nil)
					d := NewDecoder(got)
					if who, v, same := d.String(99), d.Uint32(), d.Bool(); err != nil || who != "user:alice" || Service(v) != sv || !same || d.Done() != nil {
						t.Errorf("who: %q %d %v, %v", who, v, same, err)
					}
					if n := s.open.len(); n != 1 {
						t.Errorf("%d contexts", n)
					}
					c.Close()
					for i := 0; s.open.len() > 0; i++ {
						if i == 500 {
							t.Fatal("the context was not destroyed")
						}
						time.Sleep(time.Millisecond)
					}
					if _, err := c.Call(ctx, procEcho, nil); !errors.Is(err, net.ErrClosed) {
						t.Errorf("after Close: %v", err)
					}
				})
			}
		}
	}
}

func TestPrograms(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	c := NewClient(s.dial(t), testProg+1, 1, ClientOptions{Mech: m, Target: service})
	defer c.Close()
	if _, err := c.Call(within(t), 0, nil); !errors.Is(err, ProgUnavail) {
		t.Error(err)
	}
	c = NewClient(s.dial(t), testProg, 4, ClientOptions{Mech: m, Target: service})
	defer c.Close()
	_, err := c.Call(within(t), 0, nil)
	if v, ok := errors.AsType[*VersionError](err); !ok || !errors.Is(err, ProgMismatch) || *v != (VersionError{Low: 3, High: 5}) {
		t.Error(err)
	}
}

func TestAuthNone(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		s := serve(t, network, ServerOptions{AllowNone: true})
		c := s.client(t, ClientOptions{})
		if got, err := c.Call(within(t), procEcho, text("hello")); err != nil || !bytes.Equal(got, text("hello")) {
			t.Errorf("%x, %v", got, err)
		}
		if _, err := c.Establish(within(t)); !errors.Is(err, gss.NoContext) {
			t.Error(err)
		}
		m := mechanisms()["krb"]
		if _, err := s.client(t, ClientOptions{Mech: m, Target: service}).Call(within(t), 0, nil); err != AuthRejectedCred {
			t.Error(err)
		}
		s = serve(t, network, ServerOptions{Accept: acceptor(m)})
		if _, err := s.client(t, ClientOptions{}).Call(within(t), procEcho, nil); err != AuthTooWeak {
			t.Error(err)
		}
		c = s.client(t, ClientOptions{Mech: m, Target: service, Service: None})
		if _, err := c.Call(within(t), procEcho, nil); err != AuthTooWeak || s.executed.Load() != 0 {
			t.Error(err)
		}
	}
}

// 64 callers, many calls each, while contexts are dropped under them: each call is
// answered, with its own answer, and executed once.
func TestConcurrentRefresh(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			m := mechanisms()["pk"]
			s := serve(t, network, ServerOptions{Accept: acceptor(m), Replies: 5000})
			c := s.client(t, ClientOptions{Mech: m, Target: service, Retransmit: 100 * time.Millisecond})
			ctx := within(t)
			stop := make(chan struct{})
			var dropper sync.WaitGroup
			drops := 0
			dropper.Go(func() {
				for next := int64(100); ; {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						if n := s.executed.Load(); n >= next {
							drops += s.DropContexts()
							next = n + 250
						}
					}
				}
			})
			const callers, each = 64, 20
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					for j := range each {
						msg := text(fmt.Sprint(i, " ", j, strings.Repeat("x", 500*(i%4))))
						if got, err := c.Call(ctx, procEcho, msg); err != nil || !bytes.Equal(got, msg) {
							t.Errorf("%d %d: %v", i, j, err)
							return
						}
						if i == 0 {
							time.Sleep(10 * time.Millisecond)
						}
					}
				})
			}
			wg.Wait()
			close(stop)
			dropper.Wait()
			if n := s.executed.Load(); n != callers*each {
				t.Errorf("%d calls were executed %d times", callers*each, n)
			}
			if drops < 2 {
				t.Errorf("contexts were dropped %d times", drops)
			}
		})
	}
}

// A context that ends while its call is executed: the client comes back with
// another one, and gets the first answer.
func TestDroppedInCall(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	c := s.client(t, ClientOptions{Mech: m, Target: service})
	var got []byte
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { got, err = c.Call(within(t), procSlow, text("once")) })
	<-s.entered
	if n := s.DropContexts(); n != 1 {
		t.Errorf("%d contexts", n)
	}
	close(s.gate)
	wg.Wait()
	if err != nil || !bytes.Equal(got, text("once")) || s.executed.Load() != 1 {
		t.Errorf("%x, %v, executed %d times", got, err, s.executed.Load())
	}
}

// A client that has used up its sequence numbers makes a new context.
func TestMaxSeq(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	c := s.client(t, ClientOptions{Mech: m, Target: service})
	if _, err := c.Establish(within(t)); err != nil {
		t.Fatal(err)
	}
	present(c).seq = maxSeq - 2
	first := present(c)
	for i := range 3 {
		if _, err := c.Call(within(t), procEcho, nil); err != nil {
			t.Fatal(err)
		}
		if (present(c) == first) != (i == 0) {
			t.Errorf("call %d: the session is the first: %v", i, present(c) == first)
		}
	}
	if s.executed.Load() != 3 {
		t.Errorf("executed %d", s.executed.Load())
	}
}

func TestCancel(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		m := mechanisms()["krb"]
		s := serve(t, network, ServerOptions{Accept: acceptor(m)})
		c := s.client(t, ClientOptions{Mech: m, Target: service})
		ctx, cancel := context.WithCancel(within(t))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Call(ctx, procSlow, nil); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		<-s.entered
		cancel()
		wg.Wait()
		if _, err := c.Call(ctx, procEcho, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// The connection outlives that.
		if _, err := c.Call(within(t), procEcho, nil); err != nil {
			t.Error(err)
		}
	}
}

// What a handshake comes to grief with reaches the caller.
func TestInitFails(t *testing.T) {
	ms := mechanisms()
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(ms["pk"])})
	_, err := s.client(t, ClientOptions{Mech: ms["krb"], Target: service}).Call(within(t), 0, nil)
	if e, ok := errors.AsType[*gss.Error](err); !ok || !e.Remote || e.Major != gss.DefectiveToken {
		t.Errorf("%v", err)
	}
	_, err = s.client(t, ClientOptions{Mech: ms["krb"]}).Call(within(t), 0, nil)
	if !errors.Is(err, gss.BadName) {
		t.Errorf("%v", err)
	}
	if s.half.len() != 0 {
		t.Errorf("%d half open", s.half.len())
	}
}

// sequenced asks for gss.Sequence, whatever it is told.
type sequenced struct{ gss.Mechanism }

func (m sequenced) Initiate(n gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	r := *o
	r.Request |= gss.Sequence
	return m.Mechanism.Initiate(n, &r)
}

func TestSequenceRefused(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	_, err := s.client(t, ClientOptions{Mech: sequenced{m}, Target: service}).Call(within(t), 0, nil)
	if e, ok := errors.AsType[*gss.Error](err); !ok || !e.Remote || e.Major != gss.Unavailable {
		t.Error(err)
	}
	if s.open.len() != 0 {
		t.Error("a context is there")
	}
}
