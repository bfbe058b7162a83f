package rpcsecgss

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
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
		if g, err := parseGSSCred(b); err == nil && g.known() {
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

// vectors are all that Python made, by name.
func vectors(t testing.TB) map[string][]byte {
	paths, err := filepath.Glob("testdata/v*.hex")
	if err != nil || len(paths) != 28 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	all := make(map[string][]byte)
	for _, p := range paths {
		name := strings.TrimSuffix(filepath.Base(p), ".hex")
		all[name] = vector(t, name)
	}
	return all
}

// FuzzCallVersions has a server judge octets that name contexts of versions 2 and 3:
// nothing but the vectors' own octets is executed, binds, or makes a child.
func FuzzCallVersions(f *testing.F) {
	good := map[string]bool{}
	for name, b := range vectors(f) {
		f.Add(b)
		good[string(b)] = strings.Contains(name, "-call")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for version := uint32(2); version <= 3; version++ {
			s, from := vectorServer(t, version)
			s.o.MinService = Integrity // or arguments are anybody's
			s.deliver(from, b)
			e, _ := s.open.get([]byte(firstHandle))
			if (s.executed.Load() != 0 || s.open.len() != 2 || e == nil || e.boundTo(1)) && !good[string(b)] {
				t.Fatalf("version %d: %x did something", version, b)
			}
			s.Close()
		}
	})
}

// FuzzBodies reads what versions 2 and 3 have in verifiers and bodies: what is taken
// encodes again to the same.
func FuzzBodies(f *testing.F) {
	for _, b := range vectors(f) {
		if c, deny, err := parseCall(b); err == nil && deny == nil {
			f.Add(c.verf.body)
			f.Add(c.body)
			if body, err := unprotect(&hexContext{me: "acceptor", peer: "initiator"}, Privacy, vectorSeq, c.body); err == nil {
				f.Add(body)
			}
		} else if verf, body, _, err := parseReply(b); err == nil {
			f.Add(verf.body)
			for _, sv := range []Service{Integrity, Privacy} {
				if body, err := unprotect(vectorSession(3).sc, sv, vectorSeq, body); err == nil {
					f.Add(body)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, again []byte) {
			if !bytes.Equal(again, b) {
				t.Fatalf("%s: %x, again %x", what, b, again)
			}
		}
		if a, err := parseBindArgs(b); err == nil {
			same("arguments of BIND_CHANNEL", a.auth().body)
		} else if err != ErrXDR {
			t.Fatal(err)
		}
		if r, mic, err := parseBindRes(b); err == nil {
			same("result of BIND_CHANNEL", r.auth(mic).body)
		} else if err != ErrXDR {
			t.Fatal(err)
		}
		d := NewDecoder(b)
		if c := d.creation(); d.Done() == nil {
			var e Encoder
			e.creation(c)
			same("CREATE", e.b)
		}
		d = NewDecoder(b)
		if as, k := d.listed(), NewDecoder(b).Uint32(); d.Done() == nil && k <= 1 {
			var e Encoder
			e.listed(AssertionKind(k), as)
			same("LIST", e.b)
		}
	})
}
