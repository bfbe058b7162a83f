package rpcsecgss

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzCall has a server judge octets: what it takes for a call encodes again to
// the same, and without a key nothing is executed.
func FuzzCall(f *testing.F) {
	p := newPair(f, mechanisms()["krb"], ServerOptions{MinService: None})
	for i, sv := range []Service{None, Integrity, Privacy} {
		f.Add(p.data(uint32(1000+i), sv, text("seed")))
	}
	for _, proc := range []uint32{procInit, procContinue, procDestroy} {
		var e Encoder
		e.header(header{xid: 1, prog: testProg, vers: testVers, cred: gssCred{version1, proc, 0, Privacy, p.handle}.auth()})
		e.auth(auth{})
		e.Opaque([]byte("token"))
		f.Add(e.Bytes())
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, deny, err := parseCall(b)
		if err != nil && err != ErrXDR {
			t.Fatal(err)
		}
		if err == nil && deny == nil {
			var e Encoder
			e.header(c.header)
			if !bytes.Equal(e.Bytes(), c.raw) {
				t.Fatalf("%x, again %x", c.raw, e.Bytes())
			}
			e.auth(c.verf)
			if again := append(e.Bytes(), c.body...); !bytes.Equal(again, b) {
				t.Fatalf("%x, again %x", b, again)
			}
		}
		if g, err := parseGSSCred(b); err == nil && g.version == version1 {
			if again := g.auth(); !bytes.Equal(again.body, b) {
				t.Fatalf("%x, again %x", b, again.body)
			}
		}
		s := NewServer(ServerOptions{Accept: p.o.Accept, MinService: None})
		ts := &testServer{Server: s}
		s.Handle(testProg, testVers, ts.dispatch)
		ts.deliver(p.from, b)
		if ts.executed.Load() != 0 || s.open.len() != 0 {
			t.Fatal("executed, or a context was made of nothing")
		}
	})
}

// FuzzReply reads replies, and results of INIT: the answer encodes again to the same.
func FuzzReply(f *testing.F) {
	res := initRes{handle: make([]byte, 16), window: Window, token: []byte("token")}
	f.Add(accept(7, auth{flavorGSS, make([]byte, 28)}, answer{results: res.octets()}))
	f.Add(accept(7, auth{}, answer{stat: ProgMismatch, low: 1, high: 3}))
	f.Add(accept(7, auth{}, answer{stat: GarbageArgs}))
	f.Add(denyAuth(7, CtxProblem))
	f.Add(denyVersion(7))
	f.Add(res.octets())
	f.Fuzz(func(t *testing.T, b []byte) {
		verf, results, denied, err := parseReply(b)
		switch {
		case errors.Is(err, ErrReply):
		case denied:
			if err == nil || results != nil {
				t.Fatal("denied, and yet done")
			}
		case err == nil:
			if again := accept(0, verf, answer{results: results}); !bytes.Equal(again[8:], b[8:]) {
				t.Fatalf("%x, again %x", b, again)
			}
		}
		if r, err := parseInitRes(b); err == nil {
			if again := r.octets(); !bytes.Equal(again, b) {
				t.Fatalf("%x, again %x", b, again)
			}
		}
	})
}

// FuzzRecord reads records: no more than was allowed, and what was sent.
func FuzzRecord(f *testing.F) {
	f.Add(frame([]byte("hello")))
	f.Add([]byte{0, 0, 0, 2, 'a', 'b', 0x80, 0, 0, 1, 'c'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		msg, err := readRecord(r, 1000)
		if err != nil {
			return
		}
		if len(msg) > 1000 || len(msg)+4 > len(b)-r.Len() {
			t.Fatalf("%d octets of %d", len(msg), len(b))
		}
		again, err := readRecord(bytes.NewReader(frame(msg)), 1000)
		if err != nil || !bytes.Equal(again, msg) {
			t.Fatalf("%x, again %x, %v", msg, again, err)
		}
	})
}

// FuzzUnprotect opens bodies: none is fine but what was protected.
func FuzzUnprotect(f *testing.F) {
	p := newPair(f, mechanisms()["krb"], ServerOptions{})
	good := map[string]bool{}
	for _, sv := range []Service{Integrity, Privacy} {
		b, err := protect(p.sc, sv, 5, text("seed"))
		if err != nil {
			f.Fatal(err)
		}
		good[string(b)] = true
		f.Add(uint32(sv), b)
	}
	f.Add(uint32(9), []byte{})
	e, _ := p.testServer.open.get(p.handle)
	f.Fuzz(func(t *testing.T, sv uint32, b []byte) {
		if Service(sv) == None {
			return
		}
		if got, err := unprotect(e.sc, Service(sv), 5, b); err == nil && !good[string(b)] {
			t.Fatalf("%x is fine: %x", b, got)
		}
	})
}
