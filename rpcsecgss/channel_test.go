package rpcsecgss

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
)

// A tlsServer serves over TLS.
type tlsServer struct {
	*testServer
	roots *x509.CertPool
	cert  tls.Certificate
}

func serveTLS(t testing.TB, o ServerOptions) *tlsServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	s := serve(t, "tcp", o) // which ends with the test, as what follows does
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Server.Close()
		<-done
	})
	return &tlsServer{s, roots, cert}
}

func (s *tlsServer) dialTLS(ctx context.Context) (net.Conn, error) {
	d := tls.Dialer{Config: &tls.Config{RootCAs: s.roots, ServerName: "localhost"}}
	return d.DialContext(ctx, "tcp", s.addr.String())
}

// tlsBindings are both kinds, of a connection's either end.
func tlsBindings(leaf func(tls.ConnectionState) *x509.Certificate) func(net.Conn) [][]byte {
	return func(c net.Conn) [][]byte {
		tc, ok := c.(*tls.Conn)
		if !ok {
			return nil
		}
		cs := tc.ConnectionState()
		var all [][]byte
		if b, err := gssnet.TLSExporter(cs); err == nil {
			all = append(all, b)
		}
		if b, err := gssnet.TLSServerEndPoint(leaf(cs)); err == nil {
			all = append(all, b)
		}
		return all
	}
}

func peerLeaf(cs tls.ConnectionState) *x509.Certificate { return cs.PeerCertificates[0] }

func (s *tlsServer) leaf(tls.ConnectionState) *x509.Certificate { return s.cert.Leaf }

// only leaves the kinds with these prefixes, in this order.
func only(f func(net.Conn) [][]byte, prefixes ...string) func(net.Conn) [][]byte {
	return func(c net.Conn) (out [][]byte) {
		for _, p := range prefixes {
			if b := withPrefix(f(c), []byte(p)); b != nil {
				out = append(out, b)
			}
		}
		return out
	}
}

const exporter, endPoint = "tls-exporter", "tls-server-end-point"

// Calls over a real TLS connection, to which the context is bound: by what both sides
// have of bindings, in version 2 and 3, after the server forgets everything, too.
func TestChannel(t *testing.T) {
	for name, m := range mechanisms() {
		if name == "uni" {
			continue
		}
		for version := uint32(2); version <= 3; version++ {
			for _, tt := range []struct {
				client, server []string
				ok             bool
			}{
				{[]string{exporter}, []string{exporter}, true},
				{[]string{exporter, endPoint}, []string{endPoint, exporter}, true},
				{[]string{exporter, endPoint}, []string{endPoint}, true},
				{[]string{endPoint, exporter}, []string{exporter}, true},
				{[]string{exporter}, []string{endPoint}, false},
				{[]string{exporter}, nil, false},
				{nil, []string{exporter}, false},
			} {
				if !tt.ok && name != "krb" {
					continue
				}
				t.Run(fmt.Sprint(name, "/v", version, tt.client, tt.server), func(t *testing.T) {
					var s *tlsServer
					s = serveTLS(t, ServerOptions{Accept: acceptor(m), MinService: Channel,
						Bindings: func(c net.Conn) [][]byte { return only(tlsBindings(s.leaf), tt.server...)(c) }})
					c := NewClient(nil, testProg, testVers, ClientOptions{Mech: m, Target: service, Service: Channel, MinVersion: version,
						MaxVersion: version, Dial: s.dialTLS, Bindings: only(tlsBindings(peerLeaf), tt.client...)})
					defer c.Close()
					for i := range 3 {
						msg := text(fmt.Sprint("hello ", i))
						got, err := c.Call(within(t), procEcho, msg)
						if !tt.ok {
							if !errors.Is(err, gss.BadBindings) || s.executed.Load() != 0 {
								t.Fatal(err)
							}
							return
						}
						if err != nil || !bytes.Equal(got, msg) {
							t.Fatalf("%x, %v", got, err)
						}
						if present(c).version != version {
							t.Error("version", present(c).version)
						}
						if i == 1 {
							s.DropContexts()
						}
					}
					got, err := c.Call(within(t), procWho, nil)
					d := NewDecoder(got)
					if who, v, _ := d.String(99), d.Uint32(), d.Bool(); err != nil || who != "user:alice" || Service(v) != Channel {
						t.Errorf("who: %q %d, %v", who, v, err)
					}
					if _, err := c.Call(within(t), 99, nil); !errors.Is(err, ProcUnavail) {
						t.Error(err)
					}
					first := present(c)
					c.line.conn.Close() // what was bound is gone with it
					if _, err := c.Call(within(t), procEcho, nil); err != nil || present(c) == first {
						t.Error(err)
					}
				})
			}
		}
	}
}

// A channel of the client's that is not the server's is not bound, and each attempt
// costs the context half of its life.
func TestChannelInTheMiddle(t *testing.T) {
	m := mechanisms()["krb"]
	for version := uint32(2); version <= 3; version++ {
		var s *tlsServer
		s = serveTLS(t, ServerOptions{Accept: acceptor(m), Bindings: func(c net.Conn) [][]byte { return only(tlsBindings(s.leaf), exporter)(c) }})
		// Two connections, and what is said on one is handed on.
		front, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer front.Close()
		go func() {
			for {
				a, err := front.Accept()
				if err != nil {
					return
				}
				b, err := s.dialTLS(context.Background())
				if err != nil {
					return
				}
				relay := func(from, to net.Conn) {
					defer to.Close()
					buf := make([]byte, 1<<16)
					for {
						n, err := from.Read(buf)
						if err != nil {
							return
						}
						to.Write(buf[:n])
					}
				}
				go relay(a, b)
				go relay(b, a)
			}
		}()
		c := NewClient(nil, testProg, testVers, ClientOptions{Mech: m, Target: service, Service: Channel, MinVersion: version, MaxVersion: version,
			Dial: func(ctx context.Context) (net.Conn, error) {
				d := tls.Dialer{Config: &tls.Config{RootCAs: s.roots, ServerName: "localhost"}}
				return d.DialContext(ctx, "tcp", front.Addr().String())
			}, Bindings: only(tlsBindings(peerLeaf), exporter)})
		if _, err := c.Call(within(t), procEcho, nil); !errors.Is(err, gss.BadBindings) || s.executed.Load() != 0 {
			t.Errorf("version %d: %v", version, err)
		}
		c.Close()
	}
}

// A boundPair is a pair over a channel with these bindings on the server's side.
func boundPair(t testing.TB, version uint32, o ServerOptions, bindings ...string) *pair {
	t.Helper()
	m := mechanisms()["krb"]
	if o.Accept == nil {
		o.Accept = acceptor(m)
	}
	s := &testServer{Server: NewServer(o), gate: make(chan struct{}), entered: make(chan struct{}, 1000)}
	t.Cleanup(func() { s.Close() })
	s.Handle(testProg, testVers, s.dispatch)
	from := &peer{addr: &net.TCPAddr{}, host: "192.0.2.1", channel: 1, bound: func() (all [][]byte) {
		for _, b := range bindings {
			all = append(all, []byte(b))
		}
		return all
	}}
	return &pair{s, initiated(t, s, from, m, version), t, from}
}

// initiated makes a context by hand.
func initiated(t testing.TB, s *testServer, from *peer, m gss.Mechanism, version uint32) *session {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			msg, err := readRecord(theirs, 1<<20)
			if err != nil {
				return
			}
			if reply := s.deliver(from, msg); reply != nil {
				theirs.Write(frame(reply))
			}
		}
	}()
	c := NewClient(ours, testProg, testVers, ClientOptions{Mech: m, Target: service, MinVersion: version, MaxVersion: version})
	if _, err := c.Establish(within(t)); err != nil {
		t.Fatal(err)
	}
	session := present(c)
	session.use() // keeps it when c is gone
	ours.Close()
	<-done
	t.Cleanup(func() {
		c.Close()
		session.unuse()
	})
	return session
}

// bindCall is a BIND_CHANNEL.
func (p *pair) bindCall(seq uint32, version uint32, oid, prefix, bindings string) []byte {
	p.t.Helper()
	h := header{xid: seq, prog: testProg, vers: testVers, cred: gssCred{version, procBind, seq, None, p.handle}.auth()}
	var e Encoder
	e.header(h)
	hash := hashBindings([]byte(oid), []byte(bindings))
	mic, err := p.sc.MIC(nil, bindInput(e.b, hash))
	if err != nil {
		p.t.Fatal(err)
	}
	e.auth(bindArgs{[]byte(prefix), []byte(oid), mic}.auth())
	return e.b
}

// bound is a call under Channel.
func (p *pair) bound(seq uint32, args []byte) []byte {
	p.t.Helper()
	msg, _, err := p.sealRequest(p.header(seq, procEcho), seq, request{procEcho, procData, Channel, fixed(args)})
	if err != nil {
		p.t.Fatal(err)
	}
	return msg
}

func TestBindChannel(t *testing.T) {
	sha256, sha384 := hashes[0].oid, hashes[1].oid
	p := boundPair(t, version2, ServerOptions{}, "a:1", "b:2")
	step := func(what string, msg []byte, want error) []byte {
		t.Helper()
		reply := p.deliver(p.from, msg)
		if err := why(reply); !errors.Is(err, want) && err != want {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
		return reply
	}
	result := func(reply []byte) (bindRes, []byte) {
		verf, body, _, _ := parseReply(reply)
		res, mic, err := parseBindRes(verf.body)
		if err != nil || len(body) > 0 {
			t.Fatal(err)
		}
		return res, mic
	}
	step("not bound yet", p.bound(1, nil), AuthBadCred)
	// What cannot be authenticated is answered a few times, takes its number, and
	// does not move the window far.
	res, mic := result(step("unknown prefix", p.bindCall(1, 2, sha256, "z", "z:1"), nil))
	if res.status != bindNoPrefix || fmt.Sprintf("%s", res.list) != "[a b]" || p.sc.VerifyMIC(res.input(1, hashBindings([]byte(sha256), []byte("a:1"))), mic) != nil {
		t.Errorf("%v", res)
	}
	res, mic = result(step("unknown hash", p.bindCall(2, 2, "\x2a\x03", "b", "b:2"), nil))
	if res.status != bindNoHash || len(res.list) != 3 || string(res.list[0]) != sha256 || p.sc.VerifyMIC(res.input(2, hashBindings([]byte(sha256), []byte("b:2"))), mic) != nil {
		t.Errorf("%v", res)
	}
	if reply := p.deliver(p.from, p.data(2, Privacy, nil)); reply != nil {
		t.Error("its number was for a call, too")
	}
	step("far ahead", p.bindCall(1000, 2, sha256, "z", "z:1"), AuthRejectedVerf)
	step("far ahead", p.bindCall(3+Window/8, 2, sha256, "z", "z:1"), AuthRejectedVerf)
	step("third", p.bindCall(3, 2, sha256, "z", "z:1"), nil)
	step("fourth", p.bindCall(5, 2, sha256, "z", "z:1"), nil)
	step("fifth", p.bindCall(6, 2, sha256, "z", "z:1"), AuthRejectedVerf)
	step("another channel's", p.bindCall(6, 2, sha256, "a", "a:9"), CredProblem)
	step("another version", p.bindCall(6, 3, sha256, "a", "a:1"), AuthBadCred)
	step("still not bound", p.bound(6, nil), AuthBadCred)
	res, mic = result(step("bound", p.bindCall(6, 2, sha384, "b", "b:2"), nil))
	if res.status != bindOK || p.sc.VerifyMIC(res.input(6, hashBindings([]byte(sha384), []byte("b:2"))), mic) != nil {
		t.Errorf("%v", res)
	}
	if reply := p.deliver(p.from, p.bindCall(6, 2, sha384, "b", "b:2")); reply != nil {
		t.Error("a number twice is answered")
	}
	reply := step("a call", p.bound(7, text("hello")), nil)
	if verf, body, _, _ := parseReply(reply); verf.flavor != flavorNone || len(verf.body) > 0 || !bytes.Equal(body, text("hello")) {
		t.Errorf("%v %x", verf, body)
	}
	if reply := p.deliver(p.from, p.bound(7, nil)); reply != nil {
		t.Error("a number twice is answered")
	}
	// It is good on this connection, and with an empty verifier.
	other := *p.from
	other.channel = 2
	if err := why(p.deliver(&other, p.bound(8, nil))); err != AuthBadCred {
		t.Error(err)
	}
	if err := why(p.deliver(&peer{addr: p.from.addr, datagram: true}, p.bound(8, nil))); err != AuthBadCred {
		t.Error(err)
	}
	h := p.header(8, procEcho)
	h.cred = gssCred{version2, procData, 8, Channel, p.handle}.auth()
	var e Encoder
	e.header(h)
	e.auth(auth{flavorGSS, make([]byte, 16)})
	step("a verifier", e.b, AuthBadVerf)
	step("the context still works", p.data(8, Privacy, nil), nil)
	msg, err := p.seal(p.header(9, nullProc), procDestroy, 9, Integrity, nil)
	if err != nil {
		t.Fatal(err)
	}
	step("destroy", msg, nil)
	step("destroyed", p.bound(10, nil), CredProblem)
	if p.testServer.open.len() != 0 {
		t.Error("it is still there")
	}
}

// Bits and lengths: nothing but what was sent binds, and what does not is nobody's.
func TestBindChannelBits(t *testing.T) {
	p := boundPair(t, version2, ServerOptions{}, "a:1")
	good := p.bindCall(5, 2, hashes[0].oid, "a", "a:1")
	e, _ := p.testServer.open.get(p.handle)
	bound := func() bool { return e.boundTo(1) }
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		p.testServer.open.mu.Lock()
		e.ends = time.Now().Add(24 * time.Hour)
		p.testServer.open.mu.Unlock()
		if p.deliver(p.from, bad); bound() {
			t.Fatalf("bit %d: it is bound", bit)
		}
	}
	for n := range good {
		if p.deliver(p.from, good[:n]); bound() {
			t.Fatalf("%d octets: it is bound", n)
		}
	}
	good = p.bindCall(1000, 2, hashes[0].oid, "a", "a:1") // 5 may have been taken by a prefix that nobody knows
	if err := why(p.deliver(p.from, append(bytes.Clone(good), 0, 0, 0, 0))); err != GarbageArgs || bound() {
		t.Error("with arguments:", err)
	}
	if reply := p.deliver(p.from, good); why(reply) != nil || !bound() {
		t.Error(why(reply))
	}
}

// A context of which somebody guesses at the MIC of a BIND_CHANNEL does not last.
func TestBindChannelHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := boundPair(t, version2, ServerOptions{MaxLifetime: 8 * time.Hour}, "a:1")
		start := time.Now()
		e, _ := p.testServer.open.get(p.handle)
		for i := range 15 { // as RFC 5403 §9 counts
			if left := e.ends.Sub(start); left > 8*time.Hour>>i {
				t.Fatalf("after %d: %v", i, left)
			}
			if err := why(p.deliver(p.from, p.bindCall(1, 2, hashes[0].oid, "a", "a:2"))); err != CredProblem {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if p.testServer.open.len() != 0 {
			t.Error("it is still there")
		}
		if err := p.sc.Info(); err.Peer.IsZero() {
			t.Error(err)
		}
	})
}

// What is under Channel ends with the context.
func TestChannelExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := boundPair(t, version2, ServerOptions{MaxLifetime: time.Minute}, "a:1")
		if err := why(p.deliver(p.from, p.bindCall(1, 2, hashes[0].oid, "a", "a:1"))); err != nil {
			t.Fatal(err)
		}
		if err := why(p.deliver(p.from, p.bound(2, nil))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + time.Second)
		if err := why(p.deliver(p.from, p.bound(3, nil))); err != CtxProblem {
			t.Error(err)
		}
	})
}

// A server that answers for a channel without having seen it is not believed.
func TestBindAnswers(t *testing.T) {
	m := mechanisms()["krb"]
	for name, change := range map[string]func([]byte){
		"MIC":    func(b []byte) { b[len(b)-12] ^= 1 },
		"status": func(b []byte) { b[23] = 1 },
		"flavor": func(b []byte) { b[15] = 0 },
	} {
		s := &testServer{Server: NewServer(ServerOptions{Accept: acceptor(m)})}
		s.Handle(testProg, testVers, s.dispatch)
		from := &peer{addr: &net.TCPAddr{}, channel: 1, bound: func() [][]byte { return [][]byte{[]byte("a:1")} }}
		ours, theirs := net.Pipe()
		var changed atomic.Bool
		go func() {
			for {
				msg, err := readRecord(theirs, 1<<20)
				if err != nil {
					return
				}
				reply := s.deliver(from, msg)
				if c, _, _ := parseCall(msg); bytes.HasPrefix(c.cred.body, []byte{0, 0, 0, 2, 0, 0, 0, 4}) {
					change(reply)
					changed.Store(true)
				}
				theirs.Write(frame(reply))
			}
		}()
		c := NewClient(ours, testProg, testVers, ClientOptions{Mech: m, Target: service, Service: Channel, MaxVersion: 2,
			Bindings: func(net.Conn) [][]byte { return [][]byte{[]byte("a:1")} }})
		if _, err := c.Call(within(t), procEcho, nil); err == nil || !changed.Load() || s.executed.Load() != 0 {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		s.Close()
	}
}

// What is bound to no channel is not bound to the one that datagrams have, which is
// none. A reply that claims to be verified is not one under a channel.
func TestNoChannel(t *testing.T) {
	for version := uint32(2); version <= 3; version++ {
		p := boundPair(t, version, ServerOptions{}, "a:1")
		for _, from := range []*peer{{addr: p.from.addr, datagram: true}, {addr: p.from.addr}, p.from} {
			if err := why(p.deliver(from, p.bound(1, nil))); err != AuthBadCred {
				t.Errorf("version %d: %v", version, err)
			}
		}
		for _, verf := range []auth{{}, {flavorNone, []byte{1}}, {flavorGSS, nil}, {flavorGSS, make([]byte, 16)}} {
			_, _, err := p.session.open(accept(1, verf, answer{}), []sent{{seq: 1}}, Channel)
			if want := verf.flavor == flavorNone && len(verf.body) == 0; (err == nil) != want {
				t.Errorf("version %d, %v: %v", version, verf, err)
			}
		}
	}
}
