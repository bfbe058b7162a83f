package rpcsecgss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

// restarts is a server that goes and comes back with nothing of what it knew.
type restarts struct {
	t       testing.TB
	addr    string
	o       ServerOptions
	handler Handler
	s       *Server
	done    chan error
}

func newRestarts(t testing.TB, o ServerOptions, h Handler) *restarts {
	r := &restarts{t: t, addr: "127.0.0.1:0", o: o, handler: h}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *restarts) start() {
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.s == nil {
		r.addr = l.Addr().String()
	}
	s, done := NewServer(r.o), make(chan error, 1)
	r.s, r.done = s, done
	s.Handle(testProg, testVers, r.handler)
	go func() { done <- s.Serve(l) }()
}

func (r *restarts) stop() {
	r.s.Close()
	<-r.done
}

func (r *restarts) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", r.addr)
}

// Callers do not notice that the server restarts under them: every call is answered,
// with its own answer, and by its key each has one effect.
func TestRestarts(t *testing.T) {
	for name, m := range mechanisms() {
		if name == "uni" {
			continue
		}
		for _, service := range []Service{0, Integrity} {
			t.Run(fmt.Sprint(name, "/", service), func(t *testing.T) { testRestarts(t, m, service) })
		}
	}
	t.Run("AUTH_NONE", func(t *testing.T) { testRestarts(t, nil, 0) })
}

func testRestarts(t *testing.T, m gss.Mechanism, sv Service) {
	var mu sync.Mutex
	done := map[[32]byte][]byte{}
	var executed, xids, slow atomic.Int64
	o := ServerOptions{AllowNone: m == nil}
	if m != nil {
		o.Accept = acceptor(m)
	}
	r := newRestarts(t, o, func(ctx context.Context, c *Call) ([]byte, error) {
		executed.Add(1)
		key, ok := c.Key()
		if ok != (m != nil) {
			t.Error("the key of", c.Info.Peer, ok)
		}
		mu.Lock()
		if done[key] == nil {
			done[key] = bytes.Clone(c.Args)
			xids.Add(1)
		}
		mu.Unlock()
		if n := slow.Add(1); n%10 == 3 { // done, but not answered when the server goes
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		return c.Args, nil
	})
	c := NewClient(nil, testProg, testVers, ClientOptions{Mech: m, Target: service, Dial: r.dial, Service: sv})
	defer c.Close()
	const callers, each, crashes = 8, 40, 5
	var answered atomic.Int64
	var wg sync.WaitGroup
	ctx := within(t)
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				msg := text(fmt.Sprint(i, " ", j))
				if got, err := c.Call(ctx, procEcho, msg); err != nil || !bytes.Equal(got, msg) {
					t.Errorf("%d %d: %x, %v", i, j, got, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for i := range int64(crashes) {
		for answered.Load() < (i+1)*callers*each/(crashes+1) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		r.stop()
		if i%2 == 0 {
			time.Sleep(30 * time.Millisecond) // nobody listens
		}
		r.start()
	}
	wg.Wait()
	if n := executed.Load(); n < callers*each {
		t.Errorf("executed %d", n)
	}
	if m != nil && xids.Load() != callers*each {
		t.Errorf("%d calls have %d keys", callers*each, xids.Load())
	}
}

// What Dial does not get is for the caller's patience to bound.
func TestDialFails(t *testing.T) {
	m := mechanisms()["krb"]
	refused := errors.New("refused")
	var dialed atomic.Int64
	c := NewClient(nil, testProg, testVers, ClientOptions{Mech: m, Target: service, Dial: func(context.Context) (net.Conn, error) {
		dialed.Add(1)
		return nil, refused
	}})
	ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, procEcho, nil); !errors.Is(err, refused) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if n := dialed.Load(); n < 2 || n > 10 {
		t.Errorf("dialed %d times", n)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := c.Call(within(t), procEcho, nil); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	c.Close()
	wg.Wait()
	n := dialed.Load()
	if _, err := c.Establish(within(t)); !errors.Is(err, net.ErrClosed) || dialed.Load() != n {
		t.Error(err)
	}

	// Close while Dial is at it.
	for _, late := range []bool{false, true} {
		entered := make(chan struct{})
		a, b := net.Pipe()
		c = NewClient(nil, testProg, testVers, ClientOptions{Mech: m, Target: service, Dial: func(ctx context.Context) (net.Conn, error) {
			close(entered)
			<-ctx.Done()
			if late {
				return a, nil
			}
			return nil, ctx.Err()
		}})
		wg.Go(func() {
			if _, err := c.Call(within(t), procEcho, nil); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
		<-entered
		c.Close()
		wg.Wait()
		if late {
			if _, err := b.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a connection that came too late: %v", err)
			}
		}
	}

	c = NewClient(nil, testProg, testVers, ClientOptions{Mech: m, Target: service})
	if _, err := c.Call(within(t), procEcho, nil); !errors.Is(err, errLine) {
		t.Error(err)
	}
	c.Close()
}

// Who speaks something else is not asked again.
func TestDialStrangers(t *testing.T) {
	for _, tt := range []struct {
		says string
		err  error
	}{{"\x80\x00\x00\x08abcdefgh", ErrReply}, {"\xff\xff\xff\xff", errRecord}} {
		dialed := 0
		c := NewClient(nil, testProg, testVers, ClientOptions{Mech: mechanisms()["krb"], Target: service, Dial: func(context.Context) (net.Conn, error) {
			dialed++
			a, b := net.Pipe()
			go func() {
				readRecord(b, 1<<20)
				io.WriteString(b, tt.says)
			}()
			return a, nil
		}})
		for i := range 2 {
			if _, err := c.Call(within(t), procEcho, nil); !errors.Is(err, tt.err) || dialed != i+1 {
				t.Errorf("%q: %v, dialed %d times", tt.says, err, dialed)
			}
		}
		c.Close()
	}
}

// A connection that was given comes first, and one that is lost takes its context
// along: the servers of MIT and libtirpc do not know it on another.
func TestDialAfterConn(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	conn := s.dial(t)
	dialed := 0
	c := NewClient(conn, testProg, testVers, ClientOptions{Mech: m, Target: service, Dial: func(ctx context.Context) (net.Conn, error) {
		dialed++
		return new(net.Dialer).DialContext(ctx, "tcp", s.addr.String())
	}})
	defer c.Close()
	var last *session
	for i := range 3 {
		if _, err := c.Call(within(t), procEcho, nil); err != nil || dialed != i {
			t.Fatalf("%v, dialed %d times", err, dialed)
		}
		if present(c) == last {
			t.Error("the session is that of the connection before")
		}
		last = present(c)
		c.line.conn.Close()
	}
}

func TestKey(t *testing.T) {
	base := Call{XID: 1, Prog: 2, Vers: 3, Proc: 4, Args: []byte("args"), Info: gss.Info{Peer: gss.Name{Mech: "1", Text: "alice"}}}
	keys := map[[32]byte]string{}
	for what, change := range map[string]func(*Call){
		"base": func(*Call) {}, "xid": func(c *Call) { c.XID++ }, "prog": func(c *Call) { c.Prog++ }, "vers": func(c *Call) { c.Vers++ },
		"proc": func(c *Call) { c.Proc++ }, "args": func(c *Call) { c.Args = []byte("argt") }, "name": func(c *Call) { c.Info.Peer.Text = "alicf" },
		"mech": func(c *Call) { c.Info.Peer.Mech = "2" },
		"host": func(c *Call) { c.Host.Peer = gss.Name{Mech: "1", Text: "root"} }, "other host": func(c *Call) { c.Host.Peer = gss.Name{Mech: "1", Text: "toor"} },
		"label": func(c *Call) { c.Assertions = []Assertion{label("x")} }, "other label": func(c *Call) { c.Assertions = []Assertion{label("y")} },
		"privilege": func(c *Call) { c.Assertions = []Assertion{privilege("x", "y")} },
		"host's label": func(c *Call) {
			c.Host.Peer, c.Assertions = gss.Name{Mech: "1", Text: "root"}, []Assertion{label("x")}
		},
	} {
		c := base
		change(&c)
		k, ok := c.Key()
		if !ok || keys[k] != "" {
			t.Errorf("%s: %v, as %s", what, ok, keys[k])
		}
		keys[k] = what
	}
	same := base
	same.Service, same.Remote, same.Info.Flags = Privacy, &net.TCPAddr{}, gss.Mutual
	a, _ := base.Key()
	if b, ok := same.Key(); !ok || a != b {
		t.Error("a repetition has another key")
	}
	anon, unnamed := base, base
	anon.Host.Peer, anon.Host.Flags, unnamed.Host.Flags = base.Info.Peer, gss.Anon, gss.Mutual
	for _, c := range []Call{{XID: 1}, {Info: gss.Info{Peer: base.Info.Peer, Flags: gss.Anon}}, anon, unnamed} {
		if _, ok := c.Key(); ok {
			t.Error("a key of nobody")
		}
	}
}

// switching is a mechanism whose credentials are replaced under it.
type switching struct {
	gss.Mechanism
	next func() gss.Mechanism
}

func (m switching) Initiate(n gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	return m.next().Initiate(n, o)
}

// A call that one principal has made is not repeated by another, whatever was lost: the
// server could not know it again. The next call is the other's.
func TestDialAsAnother(t *testing.T) {
	alice, bob := &toy.Krb{Party: toy.NewParty("alice")}, &toy.Krb{Party: toy.NewParty("bob")}
	user := &toy.Krb{Party: toy.NewParty("user")}
	for _, tt := range []struct {
		name         string
		first, later gss.Mechanism
		mp           bool
		want         error
	}{{"herself", alice, alice, false, nil}, {"another", alice, bob, false, gss.BadName},
		{"the same user", alice, alice, true, nil}, {"another user", alice, bob, true, gss.BadName}} {
		t.Run(tt.name, func(t *testing.T) {
			var made atomic.Int64
			m := switching{alice, func() gss.Mechanism {
				if made.Add(1) > 1 {
					return tt.later
				}
				return tt.first
			}}
			s := serve(t, "tcp", ServerOptions{Accept: acceptor(alice), Assertions: policy("user")})
			o := ClientOptions{Mech: m, Target: service, Dial: func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", s.addr.String())
			}}
			if tt.mp {
				o.Mech, o.User = user, &User{Mech: m}
			}
			c := NewClient(nil, testProg, testVers, o)
			defer c.Close()
			var err error
			var wg sync.WaitGroup
			wg.Go(func() { _, err = c.Call(within(t), procSlow, nil) })
			<-s.entered
			c.mu.Lock()
			c.line.conn.Close()
			c.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			close(s.gate)
			wg.Wait()
			if n := s.executed.Load(); !errors.Is(err, tt.want) || n != 1 {
				t.Errorf("%v, executed %d times", err, n)
			}
			if _, err := c.Call(within(t), procEcho, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
