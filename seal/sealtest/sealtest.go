// Package sealtest runs package seal over real contexts: whoever writes a mechanism
// learns here whether its names agree, its PRF and its Claim are what sealing needs.
package sealtest

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
)

// Parties are both ends of three contexts, each of any mechanism: AliceBob is
// Alice's end of hers with Bob. It does not matter who initiated which. All ends
// have names, and each has just completed its handshake.
type Parties struct {
	AliceBob, BobAlice     gss.Context
	AliceCarol, CarolAlice gss.Context
	CarolBob, BobCarol     gss.Context
}

// Run runs the suite. open makes fresh contexts; what it closes, it closes with
// t.Cleanup, and closing them twice does no harm.
func Run(t *testing.T, open func(t *testing.T) Parties) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Parties)
	}{
		{"Contexts", contexts},
		{"FiveClaims", fiveClaims},
		{"BothDirections", bothDirections},
		{"RelayByKey", relayByKey},
		{"ContextsClosed", contextsClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func (p Parties) pairs() map[string][2]gss.Context {
	return map[string][2]gss.Context{
		"Alice and Bob":   {p.AliceBob, p.BobAlice},
		"Alice and Carol": {p.AliceCarol, p.CarolAlice},
		"Carol and Bob":   {p.CarolBob, p.BobCarol},
	}
}

// contexts: the ends know each other by the same names, derive the same keys, and
// say once that they are the first.
func contexts(t *testing.T, p Parties) {
	const label = "sealtest 1"
	for who, pair := range p.pairs() {
		a, b := pair[0].Info(), pair[1].Info()
		if a.Initiator == b.Initiator {
			t.Errorf("%s: not one initiator", who)
		}
		if !a.Local.IsMN() || !a.Peer.IsMN() || a.Local != b.Peer || a.Peer != b.Local {
			t.Errorf("%s: names do not agree: %q and %q; %q and %q", who, a.Local, a.Peer, b.Local, b.Peer)
		}
		if a.Mech != b.Mech {
			t.Errorf("%s: mechanisms %v and %v", who, a.Mech, b.Mech)
		}
		x, errX := pair[0].PRF(gss.PRFFull, []byte(label), 64)
		y, errY := pair[1].PRF(gss.PRFFull, []byte(label), 64)
		if errX != nil || errY != nil || len(x) != 64 || subtle.ConstantTimeCompare(x, y) != 1 || bytes.Equal(x, make([]byte, 64)) {
			t.Errorf("%s: PRFs do not agree: %v, %v", who, errX, errY)
		}
		for i, sc := range pair {
			c, ok := sc.(gss.Claimer)
			if !ok {
				t.Errorf("%s, end %d: a %T is no gss.Claimer", who, i, sc)
				continue
			}
			if !c.Claim(label) || c.Claim(label) || !c.Claim(label+" other") {
				t.Errorf("%s, end %d: Claim is not true once per label", who, i)
			}
		}
	}
}

// fiveClaims: Alice sealed it, for Bob, through Carol, recently, and it opens once.
func fiveClaims(t *testing.T, p Parties) {
	alice, bob := sender(t, p.AliceBob), recipient(t, p.BobAlice)
	carol := p.BobCarol.Info().Peer
	body := []byte("pay Carol 10")
	m, err := alice.Seal(nil, body, &seal.Options{OneTime: true, Relay: carol, Lifetime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []gss.Name{p.AliceBob.Info().Local, p.AliceBob.Info().Peer, carol} {
		if bytes.Contains(m, []byte(n.Text)) {
			t.Errorf("the message shows %q", n)
		}
	}

	_, err = recipient(t, p.CarolAlice).Unseal(t.Context(), nil, m, nil)
	want(t, "Carol opens it", err, gss.BadMIC, nil)
	_, err = recipient(t, p.BobCarol).Unseal(t.Context(), nil, m, nil)
	want(t, "Bob opens it as Carol's", err, gss.BadMIC, nil)
	o := &seal.UnsealOptions{Relay: p.BobCarol, Require: seal.OneTime | seal.RelayByName, MaxAge: time.Minute}
	for i := range m {
		f := bytes.Clone(m)
		f[i] ^= 1 << (i % 8)
		if _, err := bob.Unseal(t.Context(), nil, f, o); gss.MajorOf(err) != gss.BadMIC {
			t.Fatalf("octet %d changed: %v", i, err)
		}
	}
	_, err = bob.Unseal(t.Context(), nil, m, nil)
	want(t, "handed over by nobody", err, gss.BadName, seal.ErrRelay)
	_, err = bob.Unseal(t.Context(), nil, m, &seal.UnsealOptions{Relay: p.BobAlice})
	want(t, "handed over by Alice", err, gss.BadName, seal.ErrRelay)

	got, err := bob.Unseal(t.Context(), nil, m, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Body, body) || got.Originator != p.BobAlice.Info().Peer || got.Recipient != p.BobAlice.Info().Local ||
		got.Relay != carol || time.Since(got.SealedAt).Abs() > seal.Skew || got.N != 0 {
		t.Errorf("got %+v", got)
	}
	_, err = bob.Unseal(t.Context(), nil, m, o)
	want(t, "again", err, gss.DuplicateToken, strike.ErrSeen)

	plain, err := alice.Seal(nil, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bob.Unseal(t.Context(), nil, plain, o)
	want(t, "without the claims", err, gss.Unauthorized, seal.ErrClaim)
}

// bothDirections: either end of each context seals to the other.
func bothDirections(t *testing.T, p Parties) {
	for who, pair := range p.pairs() {
		for i := range pair {
			s, r := sender(t, pair[i]), recipient(t, pair[1-i])
			for n := range 3 {
				body := bytes.Repeat([]byte{byte(n)}, n*1000)
				m, err := s.Seal(nil, body, nil)
				if err != nil {
					t.Fatalf("%s, end %d: %v", who, i, err)
				}
				got, err := r.Unseal(t.Context(), nil, m, nil)
				if err != nil || !bytes.Equal(got.Body, body) || got.Originator != pair[i].Info().Local {
					t.Fatalf("%s, end %d: %v", who, i, err)
				}
			}
		}
	}
}

// relayByKey: Carol derives the key that Alice gave the message, from their own
// context, and proves it on hers with Bob.
func relayByKey(t *testing.T, p Parties) {
	alice, via, bob := sender(t, p.AliceBob), sender(t, p.AliceCarol), recipient(t, p.BobAlice)
	carol, err := seal.NewRelay(p.CarolAlice)
	if err != nil {
		t.Fatal(err)
	}
	defer carol.Close()
	grant, err := alice.Grant(nil, []byte("body"), via, &seal.Options{OneTime: true, Relay: p.BobCarol.Info().Peer})
	if err != nil {
		t.Fatal(err)
	}
	if p.AliceCarol.Info().Flags.Has(gss.Conf) {
		w, err := p.AliceCarol.Wrap(nil, grant, gss.Confidential)
		if err == nil {
			grant, _, err = p.CarolAlice.Unwrap(nil, w)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	held, err := carol.Accept(grant)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if held.Originator() != p.AliceBob.Info().Local || held.Recipient() != p.AliceBob.Info().Peer {
		t.Errorf("grant of %q for %q", held.Originator(), held.Recipient())
	}
	m, err := held.Present(nil, []byte("payload"), seal.Channel{Context: p.CarolBob})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bob.Unseal(t.Context(), nil, m, &seal.UnsealOptions{Relay: p.BobAlice, RelayNames: []gss.Name{p.BobCarol.Info().Peer}})
	want(t, "on another channel", err, gss.BadBindings, seal.ErrProof)
	got, err := bob.Unseal(t.Context(), nil, m, &seal.UnsealOptions{Relay: p.BobCarol, Require: seal.RelayByKey | seal.RelayByName | seal.OneTime})
	if err != nil || string(got.Body) != "body" || string(got.Payload) != "payload" || got.Relay != p.BobCarol.Info().Peer {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err = bob.Unseal(t.Context(), nil, m, &seal.UnsealOptions{Relay: p.BobCarol})
	want(t, "again", err, gss.DuplicateToken, strike.ErrSeen)
}

// contextsClosed: sealing goes on without the contexts, and does not begin.
func contextsClosed(t *testing.T, p Parties) {
	s, r := sender(t, p.AliceBob), recipient(t, p.BobAlice)
	if err := errors.Join(p.AliceBob.Close(), p.BobAlice.Close()); err != nil {
		t.Fatal(err)
	}
	m, err := s.Seal(nil, []byte("body"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Unseal(t.Context(), nil, m, nil); err != nil || string(got.Body) != "body" {
		t.Error(err)
	}
	_, err = seal.NewSender(p.AliceBob)
	want(t, "a closed context", err, gss.NoContext, nil)
}

func sender(t *testing.T, sc gss.Context) *seal.Sender {
	t.Helper()
	s, err := seal.NewSender(sc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func recipient(t *testing.T, sc gss.Context) *seal.Recipient {
	t.Helper()
	r := seal.NewRecipient(nil)
	t.Cleanup(func() { r.Close() })
	if _, err := r.Add(sc); err != nil {
		t.Fatal(err)
	}
	return r
}

// want fails unless err has this Major and cause (nil: any).
func want(t *testing.T, what string, err error, m gss.Major, cause error) {
	t.Helper()
	if gss.MajorOf(err) != m || cause != nil && !errors.Is(err, cause) {
		t.Errorf("%s: %v, want %v (%v)", what, err, m, cause)
	}
}
