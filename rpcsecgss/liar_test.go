package rpcsecgss

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

// A liar's contexts make wrong MICs of some messages.
type liar struct {
	gss.Mechanism
	lies func(msg []byte) bool
}

type liarHandshake struct {
	gss.Handshake
	lies func(msg []byte) bool
}

type liarContext struct {
	gss.Context
	lies func(msg []byte) bool
}

func (m liar) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	h, err := m.Mechanism.Accept(o)
	return liarHandshake{h, m.lies}, err
}

func (h liarHandshake) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.Handshake.Step(ctx, in)
	if sc != nil {
		sc = liarContext{sc, h.lies}
	}
	return out, sc, err
}

func (c liarContext) MIC(dst, msg []byte) ([]byte, error) {
	mic, err := c.Context.MIC(dst, msg)
	if err == nil && c.lies(msg) {
		mic[len(mic)-1] ^= 1
	}
	return mic, err
}

// A server that has not seen the channel, or the user, does not get away with it.
func TestLiars(t *testing.T) {
	alice := toy.NewParty("alice")
	bindings := func(net.Conn) [][]byte { return [][]byte{[]byte("a:1")} }
	header := []byte{0, 0, 0, 1, 0, 0, 0, 2} // REPLY, RPC version 2
	for _, tt := range []struct {
		name string
		lies func([]byte) bool
		o    ClientOptions
		want error
	}{
		{"nobody", func([]byte) bool { return false }, ClientOptions{Service: Channel, User: &User{Mech: &toy.PK{Party: alice}}}, nil},
		{"channel, version 2", func(msg []byte) bool { return len(msg) > 40 && msg[7] == 32 }, ClientOptions{Service: Channel, MaxVersion: 2}, errVerifier},
		{"channel, version 3", func(msg []byte) bool { return string(msg) == "a:1" }, ClientOptions{Service: Channel}, errVerifier},
		{"user", func(msg []byte) bool { return len(msg) > 40 && bytes.Equal(msg[4:12], header) }, ClientOptions{User: &User{Mech: &toy.PK{Party: alice}}}, errInner},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := &toy.Krb{Party: toy.NewParty("root")}
			accept := func() gss.Mechanism {
				if tt.o.User == nil {
					return liar{root, tt.lies}
				}
				return &toy.Nego{Mechs: []gss.Mechanism{liar{&toy.PK{Party: alice}, tt.lies}, root}}
			}()
			s := serve(t, "tcp", ServerOptions{Accept: acceptor(accept), Assertions: policy("root"), Bindings: bindings})
			tt.o.Mech, tt.o.Target, tt.o.Bindings = root, service, bindings
			if tt.o.User != nil {
				tt.o.Mech = &toy.Nego{Mechs: []gss.Mechanism{root}}
				tt.o.User.Mech = &toy.Nego{Mechs: []gss.Mechanism{tt.o.User.Mech}}
			}
			_, err := s.client(t, tt.o).Call(within(t), procEcho, nil)
			if !errors.Is(err, tt.want) || (s.executed.Load() == 0) != (tt.want != nil) {
				t.Errorf("%v, executed %d", err, s.executed.Load())
			}
		})
	}
}

// asked records what bindings a mechanism is given.
type asked struct {
	gss.Mechanism
	bindings *[]byte
}

func (m asked) Initiate(n gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	*m.bindings = o.Bindings
	return m.Mechanism.Initiate(n, o)
}

// Native channel bindings are not for version 2.
func TestNativeBindings(t *testing.T) {
	m := mechanisms()["krb"]
	s := serve(t, "tcp", ServerOptions{Accept: acceptor(m)})
	for version := uint32(1); version <= 3; version++ {
		var got []byte
		c := s.client(t, ClientOptions{Mech: asked{m, &got}, Target: service, MinVersion: version, MaxVersion: version,
			Init: gss.InitOptions{Bindings: []byte("a:1")}})
		if _, err := c.Call(within(t), procEcho, nil); err != nil || (got == nil) != (version == version2) {
			t.Errorf("version %d: %q, %v", version, got, err)
		}
	}
}

// A server that grants what nobody asked for is not believed.
func TestGrants(t *testing.T) {
	m := mechanisms()["krb"]
	asked := []Assertion{label("x"), privilege("PRIV_copy", "please")}
	for _, tt := range []struct {
		name    string
		granted []Assertion
		ok      bool
	}{
		{"all", asked, true},
		{"some", asked[1:], true},
		{"none", nil, true},
		{"another label", []Assertion{label("y")}, true},
		{"another format", []Assertion{{LFS: LFS{7, 2}, Data: []byte("x")}}, false},
		{"another privilege", []Assertion{privilege("PRIV_all", "please")}, false},
		{"another's contents", []Assertion{privilege("PRIV_copy", "all")}, false},
		{"one twice", []Assertion{asked[1], asked[1]}, false},
		{"more", append([]Assertion{privilege("PRIV_all", "")}, asked...), false},
	} {
		s := &testServer{Server: NewServer(ServerOptions{Accept: acceptor(m), Assertions: policy("")})}
		s.Handle(testProg, testVers, s.dispatch)
		from := &peer{addr: &net.TCPAddr{}}
		ours, theirs := net.Pipe()
		go func() {
			for {
				msg, err := readRecord(theirs, 1<<20)
				if err != nil {
					return
				}
				reply := s.deliver(from, msg)
				c, _, _ := parseCall(msg)
				if g, _ := parseGSSCred(c.cred.body); g.proc == procCreate {
					e, _ := s.open.get(g.handle)
					var res Encoder
					res.Opaque(make([]byte, 16))
					res.creation(creation{assertions: tt.granted})
					var body []byte
					verf, err := e.verifier(c, g)
					if err == nil {
						body, err = protect(e.sc, g.service, g.seq, res.b)
					}
					if err != nil {
						t.Error(err)
					}
					reply = accept(c.xid, verf, answer{results: body})
				}
				if reply != nil {
					theirs.Write(frame(reply))
				}
			}
		}()
		c := NewClient(ours, testProg, testVers, ClientOptions{Mech: m, Target: service, Assertions: asked})
		if _, err := c.Establish(within(t)); (err == nil) != tt.ok || err != nil && !errors.Is(err, errGranted) {
			t.Errorf("%s: %v", tt.name, err)
		}
		c.Close()
		s.Close()
	}
}
