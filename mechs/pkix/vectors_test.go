package pkix

import (
	"bytes"
	"context"
	"crypto"
	"crypto/mlkem"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

type octets []byte

func (o *octets) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	d, err := hex.DecodeString(s)
	*o = d
	return err
}

// vector is a file of testdata: a handshake between two sides that are not this
// implementation. testdata/vectors.py computes it.
type vector struct {
	Suite                         Suite
	Offered                       []Suite
	Deterministic                 bool // signatures are
	Unix                          int64
	Root, Bindings                octets
	InitiatorKey, AcceptorKey     octets
	InitiatorChain, AcceptorChain []octets
	InitiatorName, AcceptorName   string
	NI                            octets
	Ephemerals                    map[string]struct{ KEM, Curve octets }
	M1, MR, Again, M2, M3, Alert  octets
	Secret, TH1, M2Head, HS, MS   octets
	PRFFull, PRFPartial, Message  octets
}

func loadVectors(t testing.TB) map[string]*vector {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors", err)
	}
	vs := make(map[string]*vector)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v := new(vector)
		if err := json.Unmarshal(b, v); err != nil || len(v.M3) == 0 {
			t.Fatal(f, err)
		}
		vs[filepath.Base(f)] = v
	}
	return vs
}

func (v *vector) mechanism(t testing.TB, chain []octets, key octets) *Mechanism {
	t.Helper()
	var c tls.Certificate
	for _, der := range chain {
		c.Certificate = append(c.Certificate, der)
	}
	k, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.PrivateKey = k.(crypto.Signer)
	cred, err := FromTLS(c)
	if err != nil {
		t.Fatal(err)
	}
	root, err := ParseCertificate(v.Root)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	m, err := New(Config{Roots: roots, Credential: cred, Suites: v.Offered, Time: func() time.Time { return time.Unix(v.Unix, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// initiator returns one that has the vector's randomness, and its first token.
func (v *vector) initiator(t testing.TB, bindings []byte) (*initiator, []byte) {
	t.Helper()
	m := v.mechanism(t, v.InitiatorChain, v.InitiatorKey)
	hs, err := m.Initiate(gss.Service("host", "bob.example"), &gss.InitOptions{Bindings: bindings})
	if err != nil {
		t.Fatal(err)
	}
	h := hs.(*initiator)
	copy(h.hello.random[:], v.NI)
	for id, e := range v.Ephemerals {
		n, err := strconv.Atoi(id)
		if err != nil {
			t.Fatal(err)
		}
		key := &ephemeral{s: Suite(n).params()}
		if len(e.KEM) > 0 {
			if key.kem, err = mlkem.NewDecapsulationKey768(e.KEM); err != nil {
				t.Fatal(err)
			}
		}
		if key.ec, err = key.s.curve.NewPrivateKey(e.Curve); err != nil {
			t.Fatal(err)
		}
		h.keys = append(h.keys, key)
	}
	out, _, err := h.greet()
	if err != nil {
		t.Fatal(err)
	}
	return h, out
}

// acceptor returns one that has sent the vector's M2, and that as it makes it.
func (v *vector) acceptor(t testing.TB, bindings []byte) (*acceptor, []byte) {
	t.Helper()
	m := v.mechanism(t, v.AcceptorChain, v.AcceptorKey)
	hs, err := m.Accept(&gss.AcceptOptions{Bindings: bindings})
	if err != nil {
		t.Fatal(err)
	}
	h := hs.(*acceptor)
	_, inner, err := gss.ParseToken(v.M1)
	if err != nil {
		t.Fatal(err)
	}
	hello, ok := parseM1(inner)
	if !ok {
		t.Fatal("M1 is not understood")
	}
	if err := h.address(hello.target); err != nil {
		t.Fatal(err)
	}
	h.suite, h.granted = v.Suite.params(), hello.flags
	tr := transcript(inner)
	if len(v.MR) > 0 {
		_, mr, _ := gss.ParseToken(v.MR)
		_, again, _ := gss.ParseToken(v.Again)
		tr = retryTranscript(h.suite.sum(inner), mr, again)
	}
	if err := h.agree(bytes.Clone(v.Secret), tr, v.M2Head); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.th, v.TH1) || !bytes.Equal(h.hs, v.HS) {
		t.Fatalf("TH1 %x\nwant %x\nHS %x\nwant %x", h.th, v.TH1, h.hs, v.HS)
	}
	e, err := h.prove(acceptorProof, h.granted, h.local)
	if err != nil {
		t.Fatal(err)
	}
	h.next = h.last
	return h, frame(appendVec24(bytes.Clone(v.M2Head), e))
}

func (v *vector) check(t *testing.T, side string, c gss.Context, local, peer string) {
	t.Helper()
	i := c.Info()
	if i.Local.Text != local || i.Peer.Text != peer || i.Local.Mech != oid.PKIX || i.Flags.Has(gss.Bound) != (len(v.Bindings) > 0) {
		t.Errorf("%s: %+v", side, i)
	}
	for k, want := range map[gss.PRFKey]octets{gss.PRFFull: v.PRFFull, gss.PRFPartial: v.PRFPartial} {
		if got, err := c.PRF(k, []byte("known answer"), len(want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: PRF %d = %x, %v\nwant %x", side, k, got, err, want)
		}
	}
}

func TestVectors(t *testing.T) {
	ctx := context.Background()
	for name, v := range loadVectors(t) {
		t.Run(name, func(t *testing.T) {
			// Against their acceptor.
			h, out := v.initiator(t, v.Bindings)
			if !bytes.Equal(out, v.M1) {
				t.Fatalf("M1 = %x\nwant %x", out, v.M1)
			}
			if len(v.MR) > 0 {
				out, _, err := h.Step(ctx, v.MR)
				if err != nil || !bytes.Equal(out, v.Again) {
					t.Fatalf("M1 after MR = %x, %v\nwant %x", out, err, v.Again)
				}
			}
			out, c, err := h.Step(ctx, v.M2)
			if err != nil {
				t.Fatal("initiator:", err)
			}
			if v.Deterministic {
				if !bytes.Equal(out, v.M3) {
					t.Errorf("M3 = %x\nwant %x", out, v.M3)
				}
				v.check(t, "initiator", c, v.InitiatorName, v.AcceptorName)
				if tok, err := c.Wrap(nil, []byte("hello"), gss.Confidential); err != nil || !bytes.Equal(tok, v.Message) {
					t.Errorf("message %x, %v", tok, err)
				}
			}

			// Against their initiator.
			a, m2 := v.acceptor(t, v.Bindings)
			if v.Deterministic && !bytes.Equal(m2, v.M2) {
				t.Errorf("M2 = %x\nwant %x", m2, v.M2)
			}
			if !v.Deterministic {
				// M3 of the vector belongs to the M2 of the vector: take that one's proof.
				a.th = v.afterTheirM2(t, a)
			}
			_, c, err = a.Step(ctx, v.M3)
			if err != nil {
				t.Fatal("acceptor:", err)
			}
			v.check(t, "acceptor", c, v.AcceptorName, v.InitiatorName)
			if msg, _, err := c.Unwrap(nil, v.Message); err != nil || string(msg) != "hello" {
				t.Errorf("message: %q, %v", msg, err)
			}

			// Bindings that differ: the initiator says so, and how is known.
			h, _ = v.initiator(t, []byte("tls-unique:another"))
			if len(v.MR) > 0 {
				h.Step(ctx, v.MR)
			}
			out, _, err = h.Step(ctx, v.M2)
			if gss.MajorOf(err) != gss.BadBindings || !bytes.Equal(out, v.Alert) {
				t.Errorf("alert %x, %v\nwant %x", out, err, v.Alert)
			}
			a, _ = v.acceptor(t, v.Bindings)
			if !v.Deterministic {
				a.th = v.afterTheirM2(t, a)
			}
			if _, _, err = a.Step(ctx, v.Alert); gss.MajorOf(err) != gss.BadBindings {
				t.Error("the alert arrives:", err)
			}
		})
	}
}

// afterTheirM2 returns TH2 of the vector's own M2.
func (v *vector) afterTheirM2(t testing.TB, h *acceptor) []byte {
	t.Helper()
	_, inner, _ := gss.ParseToken(v.M2)
	m, ok := parseM2(inner)
	if !ok {
		t.Fatal("M2 is not understood")
	}
	p, err := h.suite.open(h.hs, "a hs", v.TH1, m.e)
	if err != nil {
		t.Fatal(err)
	}
	return h.suite.sum(v.TH1, p)
}

// Their key agreement, from our acceptor's side: a fresh answer to their share
// makes a secret that their private key finds too.
func TestRespond(t *testing.T) {
	for name, v := range loadVectors(t) {
		h, _ := v.initiator(t, nil)
		s := h.key.s
		mine, secret, err := s.respond(h.key.share())
		if err != nil || len(mine) != s.serverShare() {
			t.Fatal(name, err)
		}
		if theirs, err := h.key.finish(mine); err != nil || !bytes.Equal(secret, theirs) {
			t.Error(name, err)
		}
	}
}

func TestLowOrderShares(t *testing.T) {
	for _, id := range []Suite{X25519MLKEM768, X25519} {
		s := id.params()
		e, err := s.generate()
		if err != nil {
			t.Fatal(err)
		}
		share := e.share()
		clear(share[len(share)-32:])
		if _, _, err := s.respond(share); err == nil {
			t.Error(s.name, "acceptor took X25519's 0")
		}
		share = make([]byte, s.serverShare())
		share[len(share)-32] = 1
		if _, err := e.finish(share); err == nil {
			t.Error(s.name, "initiator took X25519's 1")
		}
	}
	for _, id := range []Suite{P256, SecP256r1MLKEM768} {
		s := id.params()
		e, err := s.generate()
		if err != nil {
			t.Fatal(err)
		}
		share := e.share()
		share[len(share)-1] ^= 1
		if _, _, err := s.respond(share); err == nil {
			t.Error(s.name, "took a point off the curve")
		}
	}
	s := X25519MLKEM768.params()
	e, _ := s.generate()
	share := e.share()
	share[0], share[1] = 0xff, 0xff // a coefficient of 4095, over the modulus
	if _, _, err := s.respond(share); err == nil {
		t.Error("took an encapsulation key that is not reduced")
	}
}
