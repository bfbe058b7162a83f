package rpcsecgss

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

var errNo = errors.New("no")

// policy supports a format of labels, of which "secret" comes out as "s0" and "bad" is
// refused, and a privilege, which needs "please"; and takes host's word.
func policy(host string) AssertionPolicy {
	return AssertionPolicy{
		Labels: map[LFS]func(context.Context, gss.Info, []byte) ([]byte, error){
			{7, 1}: func(_ context.Context, _ gss.Info, label []byte) ([]byte, error) {
				switch string(label) {
				case "secret":
					return []byte("s0"), nil
				case "bad":
					return nil, errNo
				}
				return label, nil
			},
			{3, 0}: nil, // listed, and never held
		},
		Privileges: map[string]func(context.Context, gss.Info, []byte) (bool, error){
			"PRIV_copy": func(_ context.Context, who gss.Info, p []byte) (bool, error) {
				if len(p) == 0 {
					return false, errNo
				}
				return string(p) == "please" && who.Peer.Text == "user:alice", nil
			},
		},
		Host: func(i gss.Info) bool { return i.Peer.Text == "user:"+host },
	}
}

func label(s string) Assertion {
	return Assertion{Kind: LabelAssertion, LFS: LFS{7, 1}, Data: []byte(s)}
}

func privilege(name, s string) Assertion {
	return Assertion{Kind: PrivilegeAssertion, Name: name, Data: []byte(s)}
}

func same(a, b []Assertion) bool {
	return slices.EqualFunc(a, b, func(a, b Assertion) bool {
		return a.Kind == b.Kind && a.LFS == b.LFS && a.Name == b.Name && bytes.Equal(a.Data, b.Data)
	})
}

// Assertions reach the handler as the server's policy has them, also after the server
// forgot them, and a denial says why.
func TestAssertions(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		for name, m := range mechanisms() {
			if name == "uni" {
				continue
			}
			for _, tt := range []struct {
				claim, get []Assertion
				err        error
			}{
				{[]Assertion{label("public")}, []Assertion{label("public")}, nil},
				{[]Assertion{privilege("PRIV_copy", "please"), label("secret")}, []Assertion{privilege("PRIV_copy", "please"), label("s0")}, nil},
				{[]Assertion{privilege("PRIV_copy", "now"), label("x")}, []Assertion{label("x")}, nil},
				{[]Assertion{privilege("PRIV_copy", "now")}, nil, nil},
				{[]Assertion{label("bad")}, nil, LabelProblem},
				{[]Assertion{{LFS: LFS{7, 2}}}, nil, LabelProblem},
				{[]Assertion{label("x"), privilege("PRIV_other", "")}, nil, UnknownMessage},
				{[]Assertion{privilege("PRIV_copy", "")}, nil, PrivilegeProblem},
				{[]Assertion{{Kind: 2, Data: []byte("x")}}, nil, UnknownMessage},
			} {
				t.Run(fmt.Sprint(network, "/", name, "/", tt.claim), func(t *testing.T) {
					s := serve(t, network, ServerOptions{Accept: acceptor(m), Assertions: policy("")})
					var mu sync.Mutex
					var seen []Assertion
					s.Handle(testProg, testVers, func(_ context.Context, c *Call) ([]byte, error) {
						mu.Lock()
						defer mu.Unlock()
						if seen = c.Assertions; c.Version != version3 || !c.Host.Peer.IsZero() || c.Info.Peer.Text != "user:alice" {
							t.Errorf("%+v", c)
						}
						return c.Args, nil
					})
					c := s.client(t, ClientOptions{Mech: m, Target: service, Assertions: tt.claim})
					for i := range 3 {
						got, err := c.Call(within(t), procEcho, text("x"))
						if tt.err != nil {
							if err != tt.err {
								t.Fatal(err)
							}
							return
						}
						if err != nil || !bytes.Equal(got, text("x")) {
							t.Fatal(err)
						}
						granted, err := c.Granted(within(t))
						mu.Lock()
						if err != nil || !same(granted, tt.get) || !same(seen, tt.get) {
							t.Errorf("granted %v, seen %v, %v", granted, seen, err)
						}
						mu.Unlock()
						if i == 1 {
							s.DropContexts()
						}
					}
					as, err := c.List(within(t), PrivilegeAssertion, LabelAssertion, 9)
					if want := []Assertion{privilege("PRIV_copy", ""), {LFS: LFS{3, 0}}, {LFS: LFS{7, 1}}}; err != nil || !same(as, want) {
						t.Errorf("%v, %v", as, err)
					}
					c.Close() // ends the parent, and so the child
					for i := 0; s.open.len() > 0; i++ {
						if i == 500 {
							t.Fatal("something is left")
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
	}
}

// A host vouches for a user, who is there with a context of his own.
func TestUsers(t *testing.T) {
	root, alice, guest := &toy.Krb{Party: toy.NewParty("root")}, &toy.PK{Party: toy.NewParty("alice")}, &toy.Krb{Party: toy.NewParty("guest")}
	nego := &toy.Nego{Mechs: []gss.Mechanism{alice, root}} // takes either
	for _, network := range []string{"tcp", "udp"} {
		for _, tt := range []struct {
			name   string
			host   gss.Mechanism
			policy AssertionPolicy
			err    error
		}{
			{"host", root, policy("root"), nil},
			{"no host", guest, policy("root"), AuthRejectedCred},
			{"no hosts", root, AssertionPolicy{}, gss.Unavailable},
		} {
			t.Run(network+"/"+tt.name, func(t *testing.T) {
				s := serve(t, network, ServerOptions{Accept: acceptor(nego), Assertions: tt.policy})
				var calls atomic.Pointer[Call]
				s.Handle(testProg, testVers, func(_ context.Context, c *Call) ([]byte, error) {
					calls.Store(c)
					return c.Args, nil
				})
				o := ClientOptions{Mech: &toy.Nego{Mechs: []gss.Mechanism{tt.host}}, Target: service,
					User: &User{Mech: &toy.Nego{Mechs: []gss.Mechanism{alice}}}}
				if tt.err == nil {
					o.Assertions = []Assertion{privilege("PRIV_copy", "please")} // alice's, not root's
				}
				c := s.client(t, o)
				for i := range 3 {
					_, err := c.Call(within(t), procEcho, nil)
					if tt.err != nil {
						if !errors.Is(err, tt.err) {
							t.Fatal(err)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					got := calls.Load()
					if got.Info.Peer.Text != "user:alice" || got.Host.Peer.Text != "user:root" || len(got.Assertions) != 1 {
						t.Errorf("%v for %v, %v", got.Host.Peer, got.Info.Peer, got.Assertions)
					}
					if n := s.open.len(); n != 3 {
						t.Errorf("%d handles", n)
					}
					if i == 1 {
						s.DropContexts()
					}
				}
				c.Close()
				for i := 0; s.open.len() > 0; i++ {
					if i == 500 {
						t.Fatal("something is left")
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
}

// created is the session of a child handle of p's, made by hand.
func (p *pair) created(seq uint32, want creation) (*session, creation) {
	p.t.Helper()
	var args Encoder
	args.creation(want)
	msg, raw, err := p.sealRequest(p.header(seq, nullProc), seq, request{nullProc, procCreate, Privacy, fixed(args.b)})
	if err != nil {
		p.t.Fatal(err)
	}
	res, _, err := p.session.open(p.deliver(p.from, msg), []sent{{seq, raw}}, Privacy)
	if err != nil {
		p.t.Fatal(err)
	}
	d := NewDecoder(res)
	s := &session{sc: p.sc, version: version3, handle: bytes.Clone(d.Opaque(maxAuth)), service: Privacy}
	got := d.creation()
	if d.Done() != nil {
		p.t.Fatalf("%x", res)
	}
	return s, got
}

// request3 is a call of version 3 in s.
func (p *pair) request3(s *session, proc, gss, seq uint32, sv Service, args []byte) ([]byte, sent) {
	p.t.Helper()
	msg, raw, err := s.sealRequest(p.header(seq, proc), seq, request{proc, gss, sv, fixed(args)})
	if err != nil {
		p.t.Fatal(err)
	}
	return msg, sent{seq, raw}
}

func TestChildren(t *testing.T) {
	p := boundPair(t, version3, ServerOptions{Assertions: policy("alice")}, "a:1")
	try := func(what string, s *session, proc, gss, seq uint32, sv Service, args []byte, want error) []byte {
		t.Helper()
		msg, _ := p.request3(s, proc, gss, seq, sv, args)
		reply := p.deliver(p.from, msg)
		if err := why(reply); err != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		return reply
	}
	var empty Encoder
	empty.creation(creation{})
	child, _ := p.created(1, creation{assertions: []Assertion{label("x")}})
	second, _ := p.created(2, creation{})
	if p.testServer.open.len() != 3 {
		t.Errorf("%d handles", p.testServer.open.len())
	}

	// Numbers are each handle's own, and the answer to one is not that to another.
	msg1, sent1 := p.request3(p.session, procEcho, procData, 7, Privacy, text("same"))
	msg2, sent2 := p.request3(child, procEcho, procData, 7, Privacy, text("same"))
	reply1, reply2 := p.deliver(p.from, msg1), p.deliver(p.from, msg2)
	for i, x := range []struct {
		reply []byte
		sent  sent
		ok    bool
	}{{reply1, sent1, true}, {reply2, sent2, true}, {reply1, sent2, false}, {reply2, sent1, false}} {
		if _, _, err := p.session.open(x.reply, []sent{x.sent}, Privacy); (err == nil) != x.ok {
			t.Errorf("%d: %v", i, err)
		}
	}

	try("a child's child", child, nullProc, procCreate, 8, Privacy, empty.b, AuthBadCred)
	try("without protection", p.session, nullProc, procCreate, 9, None, empty.b, AuthBadCred)
	try("CREATE of another procedure", p.session, procEcho, procCreate, 9, Privacy, empty.b, AuthBadCred)
	try("LIST without protection", child, nullProc, procList, 9, None, []byte{0, 0, 0, 0}, AuthBadCred)
	try("LIST under a channel that is none", child, nullProc, procList, 9, Channel, []byte{0, 0, 0, 0}, AuthBadCred)
	try("LIST by a child", child, nullProc, procList, 9, Integrity, []byte{0, 0, 0, 0}, nil)
	try("LIST of too much", child, nullProc, procList, 10, Integrity, append([]byte{0, 0, 0, 17}, make([]byte, 68)...), GarbageArgs)
	try("CREATE of nothing", p.session, nullProc, procCreate, 10, Privacy, nil, GarbageArgs)
	try("4 G assertions", p.session, nullProc, procCreate, 11, Privacy, append(bytes.Repeat([]byte{0}, 8), 255, 255, 255, 255), GarbageArgs)
	try("trailing octets", p.session, nullProc, procCreate, 12, Privacy, append(bytes.Clone(empty.b), 0, 0, 0, 0), GarbageArgs)

	// What is kept for long is bounded.
	for n, want := range map[int]error{maxCreate - 64: nil, maxCreate: GarbageArgs} {
		var long Encoder
		long.creation(creation{assertions: []Assertion{label(strings.Repeat("x", n))}})
		try("CREATE of much", p.session, nullProc, procCreate, uint32(13+n/maxCreate), Privacy, long.b, want)
	}
	p.testServer.open.mu.Lock()
	for e := range p.testServer.open.m[handle(p.handle)].below {
		if len(e.child.as) != 32 {
			t.Errorf("%d octets to tell calls apart", len(e.child.as))
		}
	}
	p.testServer.open.mu.Unlock()

	// BIND_CHANNEL is not there, and is nothing that moves the window.
	bind := boundPair(t, version3, ServerOptions{}, "a:1")
	if err := why(bind.deliver(bind.from, bind.bindCall(1000, 3, hashes[0].oid, "a", "a:1"))); err != ProcUnavail {
		t.Error(err)
	}
	if err := why(bind.deliver(bind.from, bind.bindCall(1000, 2, hashes[0].oid, "a", "a:1"))); err != AuthBadCred {
		t.Error(err)
	}
	if msg, _ := bind.request3(bind.session, procEcho, procData, 1, Privacy, nil); why(bind.deliver(bind.from, msg)) != nil {
		t.Error("the window has moved")
	}

	// Channel: a MIC of the bindings as they are.
	mic := func(b string) []byte {
		m, err := p.sc.MIC(nil, []byte(b))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i, b := range []string{"a:2", "a:", "", "a"} {
		if c, got := p.created(uint32(20+i), creation{channel: mic(b)}); got.channel != nil {
			t.Errorf("%q is bound", b)
		} else if msg, _ := p.request3(c, procEcho, procData, 1, Channel, nil); why(p.deliver(p.from, msg)) != AuthBadCred {
			t.Errorf("%q is good for Channel", b)
		}
	}
	bound, got := p.created(30, creation{channel: mic("a:1")})
	if got.channel == nil || p.sc.VerifyMIC([]byte("a:1"), got.channel) != nil {
		t.Fatal("not bound")
	}
	try("under the channel", bound, procEcho, procData, 1, Channel, text("x"), nil)
	try("LIST under the channel", bound, nullProc, procList, 2, Channel, []byte{0, 0, 0, 0}, nil)
	try("the parent is not", p.session, procEcho, procData, 31, Channel, nil, AuthBadCred)
	other := *p.from
	other.channel = 2
	if msg, _ := p.request3(bound, procEcho, procData, 3, Channel, nil); why(p.deliver(&other, msg)) != AuthBadCred {
		t.Error("another connection is good, too")
	}

	// A child goes alone, a parent with all.
	try("DESTROY of a child", second, nullProc, procDestroy, 1, Privacy, nil, nil)
	try("destroyed", second, procEcho, procData, 2, Privacy, nil, CredProblem)
	try("its sibling", child, procEcho, procData, 20, Privacy, nil, nil)
	try("its parent", p.session, procEcho, procData, 40, Privacy, nil, nil)
	if n := p.testServer.open.len(); n != 1+2+4+1 {
		t.Errorf("%d handles", n)
	}
	try("DESTROY of the parent", p.session, nullProc, procDestroy, 41, Privacy, nil, nil)
	try("with it", child, procEcho, procData, 21, Privacy, nil, CredProblem)
	if p.testServer.open.len() != 0 || len(p.testServer.open.count) != 0 || p.testServer.open.order.Len() != 0 {
		t.Error("something is left")
	}
}

// What a host says of users has to be proved by theirs.
func TestInner(t *testing.T) {
	p := boundPair(t, version3, ServerOptions{Assertions: policy("alice")})
	user := initiated(t, p.testServer, p.from, mechanisms()["krb"], version3)
	old := initiated(t, p.testServer, p.from, mechanisms()["krb"], version1)
	var seq uint32
	try := func(sv Service, by *session, handle []byte, spoil bool) ([]byte, sent) {
		t.Helper()
		seq++
		msg, raw, err := p.sealRequest(p.header(seq, nullProc), seq, request{nullProc, procCreate, sv, func(raw []byte) ([]byte, error) {
			mic, err := by.sc.MIC(nil, raw)
			if spoil {
				mic[len(mic)-1] ^= 1
			}
			var e Encoder
			e.creation(creation{mp: &mpAuth{handle, mic}})
			return e.b, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		return p.deliver(p.from, msg), sent{seq, raw}
	}
	reply, tx := try(Privacy, user, user.handle, false)
	res, _, err := p.session.open(reply, []sent{tx}, Privacy)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(res)
	child := &session{sc: p.sc, version: version3, handle: d.Opaque(maxAuth)}
	if got := d.creation(); got.mp == nil || !bytes.Equal(got.mp.handle, user.handle) || user.sc.VerifyMIC(asReply(tx.raw), got.mp.mic) != nil {
		t.Errorf("%+v", got)
	}
	for _, tt := range []struct {
		name   string
		sv     Service
		by     *session
		handle []byte
		spoil  bool
		want   error
	}{
		{"in clear", Integrity, user, user.handle, false, AuthTooWeak},
		{"another MIC", Privacy, user, user.handle, true, InnerCredProblem},
		{"the host's MIC", Privacy, p.session, user.handle, false, InnerCredProblem},
		{"the host itself", Privacy, p.session, p.handle, false, InnerCredProblem},
		{"nobody", Privacy, user, make([]byte, 16), false, InnerCredProblem},
		{"no handle", Privacy, user, nil, false, InnerCredProblem},
		{"a child", Privacy, child, child.handle, false, InnerCredProblem},
		{"a user of version 1", Privacy, old, old.handle, false, InnerCredProblem},
	} {
		if reply, _ := try(tt.sv, tt.by, tt.handle, tt.spoil); why(reply) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, why(reply), tt.want)
		}
	}
	msg, _ := p.request3(child, procEcho, procData, 1, Privacy, nil)
	if err := why(p.deliver(p.from, msg)); err != nil {
		t.Error(err)
	}
	// It ends with the user's context.
	msg, _ = p.request3(user, nullProc, procDestroy, 1, Privacy, nil)
	if err := why(p.deliver(p.from, msg)); err != nil {
		t.Error(err)
	}
	msg, _ = p.request3(child, procEcho, procData, 2, Privacy, nil)
	if err := why(p.deliver(p.from, msg)); err != CredProblem {
		t.Error(err)
	}
}

// Replies of version 3 are to this call: whatever is changed in one, it is none.
func TestReplies3(t *testing.T) {
	p := boundPair(t, version3, ServerOptions{MinService: None})
	for i, sv := range []Service{None, Integrity, Privacy} {
		msg, tx := p.request3(p.session, procEcho, procData, uint32(i+1), sv, text("hello"))
		reply := p.deliver(p.from, msg)
		if res, _, err := p.session.open(reply, []sent{tx}, sv); err != nil || !bytes.Equal(res, text("hello")) {
			t.Fatalf("%x, %v", res, err)
		}
		for bit := 64; bit < 8*len(reply); bit++ {
			bad := bytes.Clone(reply)
			bad[bit/8] ^= 1 << (bit % 8)
			if _, _, err := p.session.open(bad, []sent{tx}, sv); err == nil && (sv != None || bit < 8*(len(reply)-len(text("hello")))) {
				t.Fatalf("%v: bit %d", sv, bit)
			}
		}
		for bit := range 8 * len(tx.raw) {
			if bit >= 32 && bit < 64 {
				continue // its type, which is that of a reply
			}
			bad := sent{tx.seq, bytes.Clone(tx.raw)}
			bad.raw[bit/8] ^= 1 << (bit % 8)
			if _, _, err := p.session.open(reply, []sent{bad}, sv); !errors.Is(err, errVerifier) {
				t.Fatalf("%v: bit %d of the call: %v", sv, bit, err)
			}
		}
		old := &session{sc: p.sc, version: version1, handle: p.handle}

		if _, _, err := old.open(reply, []sent{tx}, sv); !errors.Is(err, errVerifier) {
			t.Error(err)
		}
	}
}

// A server that denies versions above one that it knows: the client comes down, once
// for all its contexts, as far as it may.
func TestVersions(t *testing.T) {
	m := mechanisms()["pk"]
	for _, tt := range []struct{ min, max, knows, gets uint32 }{
		{0, 0, 3, 1}, {0, 3, 3, 3}, {0, 3, 2, 2}, {0, 3, 1, 1}, {2, 0, 3, 3}, {2, 3, 2, 2}, {2, 3, 1, 0}, {3, 0, 2, 0}, {0, 2, 1, 1}, {1, 2, 3, 2}, {3, 2, 3, 0}, {0, 4, 3, 0},
	} {
		for _, stat := range []AuthStat{AuthBadCred, AuthRejectedCred, AuthFailed} {
			t.Run(fmt.Sprint(tt, stat), func(t *testing.T) {
				s := &testServer{Server: NewServer(ServerOptions{Accept: acceptor(m)})}
				defer s.Close()
				s.Handle(testProg, testVers, s.dispatch)
				from := &peer{addr: &net.TCPAddr{}}
				ours, theirs := net.Pipe()
				denied := 0
				go func() {
					for {
						msg, err := readRecord(theirs, 1<<20)
						if err != nil {
							return
						}
						reply := s.deliver(from, msg)
						if c, _, _ := parseCall(msg); len(c.cred.body) > 4 && binary.BigEndian.Uint32(c.cred.body) > tt.knows {
							denied++
							reply = denyAuth(c.xid, stat)
						}
						if reply != nil {
							theirs.Write(frame(reply))
						}
					}
				}()
				c := NewClient(ours, testProg, testVers, ClientOptions{Mech: m, Target: service, MinVersion: tt.min, MaxVersion: tt.max})
				defer c.Close()
				for i := range 2 {
					_, err := c.Call(within(t), procEcho, nil)
					if tt.gets == 0 || stat == AuthFailed && tt.max > tt.knows {
						if err == nil || s.executed.Load() != 0 {
							t.Errorf("version %d", present(c).version)
						}
						return
					}
					if err != nil || present(c).version != tt.gets {
						t.Fatal(err)
					}
					if want := max(int(tt.max)-int(tt.gets), 0); denied != want {
						t.Errorf("%d: denied %d times, want %d", i, denied, want)
					}
					s.DropContexts()
				}
			})
		}
	}
}

// A handle of one version is none of another.
func TestVersionsDoNotMix(t *testing.T) {
	for version := uint32(1); version <= 3; version++ {
		p := boundPair(t, version, ServerOptions{}, "a:1")
		seq := uint32(0)
		for other := uint32(0); other <= 4; other++ {
			for _, proc := range []uint32{procData, procDestroy, procCreate, procList} {
				if other == version {
					continue
				}
				seq++
				s := &session{sc: p.sc, version: other, handle: p.handle}

				msg, _ := p.request3(s, nullProc, proc, seq, Privacy, nil)
				want := AuthBadCred
				if other == 0 || other == 4 {
					want = AuthRejectedCred
				}
				if err := why(p.deliver(p.from, msg)); err != want {
					t.Errorf("%d as %d, procedure %d: %v", version, other, proc, err)
				}
			}
		}
		if msg, _ := p.request3(p.session, procEcho, procData, 1, Privacy, nil); why(p.deliver(p.from, msg)) != nil {
			t.Error("the context is gone, or its window has moved")
		}
	}
	// Nor a handshake's.
	s := &testServer{Server: NewServer(ServerOptions{Accept: acceptor(mechanisms()["pk"])})}
	defer s.Close()
	from := &peer{addr: &net.TCPAddr{}}
	init := func(version, proc uint32, handle, tok []byte) initRes {
		var e Encoder
		e.header(header{xid: 1, prog: testProg, vers: testVers, cred: gssCred{version, proc, 0, Privacy, handle}.auth()})
		e.auth(auth{})
		e.Opaque(tok)
		_, body, _, err := parseReply(s.deliver(from, e.b))
		if err != nil {
			t.Fatal(err)
		}
		res, err := parseInitRes(body)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := init(1, procInit, nil, firstToken(t, mechanisms()["pk"]))
	if res.major != majorContinue {
		t.Fatal(res)
	}
	if res := init(2, procContinue, res.handle, []byte("x")); gss.Major(res.major) != gss.NoContext {
		t.Error(res)
	}
	if s.half.len() != 0 {
		t.Error("half open")
	}
}

// vouched is the child handle by which p's host calls for user.
func (p *pair) vouched(seq uint32, user *session) *session {
	p.t.Helper()
	msg, raw, err := p.sealRequest(p.header(seq, nullProc), seq, request{nullProc, procCreate, Privacy, func(raw []byte) ([]byte, error) {
		mic, err := user.sc.MIC(nil, raw)
		var e Encoder
		e.creation(creation{mp: &mpAuth{user.handle, mic}})
		return e.b, err
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	res, _, err := p.session.open(p.deliver(p.from, msg), []sent{{seq, raw}}, Privacy)
	if err != nil {
		p.t.Fatal(err)
	}
	return &session{sc: p.sc, version: version3, handle: bytes.Clone(NewDecoder(res).Opaque(maxAuth)), service: Privacy}
}

// The same xid and arguments from who is another, or the same with other rights, or by
// another host, is another call, for the memory of replies and for handlers.
func TestChildrenAreOthers(t *testing.T) {
	all := policy("")
	all.Host = func(gss.Info) bool { return true }
	p := boundPair(t, version3, ServerOptions{Assertions: all})
	as := func(who string) *session {
		return initiated(t, p.testServer, p.from, &toy.Krb{Party: toy.NewParty(who)}, version3)
	}
	root, bob, carol := as("root"), as("bob"), as("carol")
	keys := map[[32]byte]string{}
	who := ""
	p.Handle(testProg, testVers, func(_ context.Context, c *Call) ([]byte, error) {
		key, ok := c.Key()
		if !ok || keys[key] != "" {
			t.Errorf("%s: the key is that of %s", who, keys[key])
		}
		keys[key] = who
		return text(who), nil
	})
	x, _ := p.created(1, creation{assertions: []Assertion{label("x")}})
	y, _ := p.created(2, creation{assertions: []Assertion{label("y")}})
	again, _ := p.created(3, creation{assertions: []Assertion{label("x")}})
	byRoot := &pair{p.testServer, root, t, p.from}
	for i, tt := range []struct {
		who string
		s   *session
		is  string
	}{
		{"alice", p.session, ""}, {"alice, x", x, ""}, {"alice, y", y, ""}, {"alice, x again", again, "alice, x"},
		{"bob", bob, ""}, {"bob by alice", p.vouched(4, bob), ""}, {"carol by alice", p.vouched(5, carol), ""},
		{"bob by root", byRoot.vouched(1, bob), ""}, {"bob by alice again", p.vouched(6, bob), "bob by alice"},
	} {
		who = tt.who
		seq := uint32(20 + i)
		msg, raw, err := tt.s.sealRequest(p.header(77, procEcho), seq, request{procEcho, procData, Privacy, fixed(text("same"))})
		if err != nil {
			t.Fatal(err)
		}
		want := tt.is
		if want == "" {
			want = tt.who
		}
		if res, _, err := tt.s.open(p.deliver(p.from, msg), []sent{{seq, raw}}, Privacy); err != nil || !bytes.Equal(res, text(want)) {
			t.Errorf("%s: %q, %v, want what %s gets", tt.who, res, err, want)
		}
	}
	if len(keys) != 7 {
		t.Errorf("%d keys", len(keys))
	}
}

// A child handle ends when the first of its contexts does.
func TestChildExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := policy("")
		all.Host = func(gss.Info) bool { return true }
		p := boundPair(t, version3, ServerOptions{Assertions: all, MaxLifetime: time.Minute})
		time.Sleep(30 * time.Second)
		host := &pair{p.testServer, initiated(t, p.testServer, p.from, mechanisms()["krb"], version3), t, p.from}
		plain, _ := p.created(1, creation{})
		for i, s := range []*session{plain, host.vouched(1, p.session)} {
			if msg, _ := p.request3(s, procEcho, procData, 1, Privacy, nil); why(p.deliver(p.from, msg)) != nil {
				t.Errorf("%d is not there", i)
			}
		}
		child := host.vouched(2, p.session) // of which nobody makes use before
		time.Sleep(31 * time.Second)
		for i, s := range []*session{child, plain} {
			msg, _ := p.request3(s, procEcho, procData, 2, Privacy, nil)
			if err := why(p.deliver(p.from, msg)); err != CtxProblem && err != CredProblem {
				t.Errorf("%d: %v", i, err)
			}
		}
		if msg, _ := p.request3(host.session, procEcho, procData, 9, Privacy, nil); why(p.deliver(p.from, msg)) != nil {
			t.Error("the host's own has ended")
		}
	})
}

// A context that ends while its CREATE is judged has no child, which under a channel
// would need nothing of it.
func TestNoChildOfTheDead(t *testing.T) {
	var p *pair
	all := policy("")
	all.Labels[LFS{9, 9}] = func(_ context.Context, _ gss.Info, label []byte) ([]byte, error) {
		e, _ := p.testServer.open.get(p.handle)
		p.testServer.open.drop(e) // and its keys are there still, as long as this takes
		return label, nil
	}
	p = boundPair(t, version3, ServerOptions{Assertions: all}, "a:1")
	mic, err := p.sc.MIC(nil, []byte("a:1"))
	if err != nil {
		t.Fatal(err)
	}
	var args Encoder
	args.creation(creation{channel: mic, assertions: []Assertion{{LFS: LFS{9, 9}}}})
	msg, _ := p.request3(p.session, nullProc, procCreate, 1, Privacy, args.b)
	if err := why(p.deliver(p.from, msg)); err != CredProblem {
		t.Error(err)
	}
	if p.testServer.open.len() != 0 || len(p.testServer.open.count) != 0 {
		t.Error("there is a child")
	}
}
