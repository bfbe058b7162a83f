package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// A trio is Alice, Bob and Carol, each with a context with each: Alice seals to Bob
// through Carol.
type trio struct {
	alice  *Sender // to Bob
	grants *Sender // to Carol
	carol  *Relay
	toBob  *testContext // Carol's
	bob    *Recipient
	onBob  *testContext // Bob's end of it
}

func newTrio(t *testing.T) trio {
	t.Helper()
	ab, ba := pair("alice", "bob")
	ca, ac := pair("carol", "alice") // Alice accepted this one
	cb, bc := pair("carol", "bob")
	carol, err := NewRelay(ca)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { carol.Close() })
	return trio{mustSender(t, ab), mustSender(t, ac), carol, cb, mustRecipient(t, nil, ba), bc}
}

func (x trio) grant(t *testing.T, o *Options) *Held {
	t.Helper()
	g, err := x.alice.Grant([]byte("dst"), []byte("body"), x.grants, o)
	if err != nil || string(g[:3]) != "dst" {
		t.Fatal(err)
	}
	h, err := x.carol.Accept(g[3:])
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (x trio) present(t *testing.T, h *Held, ch Channel) []byte {
	t.Helper()
	m, err := h.Present([]byte("dst"), []byte("payload"), ch)
	if err != nil || string(m[:3]) != "dst" {
		t.Fatal(err)
	}
	return m[3:]
}

func TestPresent(t *testing.T) {
	x := newTrio(t)
	h := x.grant(t, &Options{Relay: mn("carol")})
	if h.Originator() != mn("alice") || h.Recipient() != mn("bob") || time.Until(h.NotAfter()) > time.Hour {
		t.Errorf("%v, %v, %v", h.Originator(), h.Recipient(), h.NotAfter())
	}
	names := []gss.Name{mn("carol")}
	tls := []byte("tls-exporter:0123456789")
	for what, c := range map[string]struct {
		ch Channel
		o  UnsealOptions
	}{
		"context":      {Channel{Context: x.toBob}, UnsealOptions{Relay: x.onBob}},
		"bindings":     {Channel{Bindings: tls}, UnsealOptions{Bindings: tls, RelayNames: names}},
		"unbound":      {Channel{Unbound: true}, UnsealOptions{Unbound: true, RelayNames: names}},
		"any of them":  {Channel{Bindings: tls}, UnsealOptions{Relay: x.onBob, Bindings: tls, Unbound: true}},
		"the last one": {Channel{Unbound: true}, UnsealOptions{Relay: x.onBob, Bindings: tls, Unbound: true}},
	} {
		c.o.Require = RelayByName | RelayByKey
		m := x.present(t, h, c.ch)
		got, err := x.bob.Unseal(t.Context(), nil, m, &c.o)
		if err != nil || string(got.Body) != "body" || string(got.Payload) != "payload" || got.Relay != mn("carol") || got.Claims != RelayByName|RelayByKey {
			t.Fatalf("%s: %+v, %v", what, got, err)
		}
		// The proof comes once; a new proof of the same message is welcome.
		_, err = x.bob.Unseal(t.Context(), nil, m, &c.o)
		wantMajor(t, what+", again", err, gss.DuplicateToken, strike.ErrSeen)
	}

	inContext := x.present(t, h, Channel{Context: x.toBob})
	other, _ := pair("carol", "bob2")
	for what, c := range map[string]struct {
		m []byte
		o UnsealOptions
	}{
		"on another context":        {inContext, UnsealOptions{Relay: other, RelayNames: names}},
		"on no context":             {inContext, UnsealOptions{Unbound: true, Bindings: tls, RelayNames: names}},
		"bound to other bindings":   {x.present(t, h, Channel{Bindings: tls}), UnsealOptions{Bindings: tls[:5], RelayNames: names}},
		"unbound, unasked":          {x.present(t, h, Channel{Unbound: true}), UnsealOptions{Relay: x.onBob, Bindings: tls}},
		"bindings for a context":    {x.present(t, h, Channel{Bindings: tls}), UnsealOptions{Relay: x.onBob}},
		"without the proof":         {inContext[:len(h.sealed)], UnsealOptions{Relay: x.onBob}},
		"a proof of another sealed": {append(bytes.Clone(h.sealed), x.present(t, x.grant(t, &Options{Relay: mn("carol")}), Channel{Context: x.toBob})[len(h.sealed):]...), UnsealOptions{Relay: x.onBob}},
	} {
		_, err := x.bob.Unseal(t.Context(), nil, c.m, &c.o)
		wantMajor(t, what, err, gss.BadBindings, ErrProof)
	}
	// Nobody expects a proof: then what follows is damage.
	_, err := x.bob.Unseal(t.Context(), nil, inContext, &UnsealOptions{RelayNames: names})
	wantMajor(t, "no proof expected", err, gss.BadMIC, nil)

	for bit := range (len(inContext) - len(h.sealed)) * 8 {
		f := bytes.Clone(inContext)
		f[len(h.sealed)+bit/8] ^= 1 << (bit % 8)
		if _, err := x.bob.Unseal(t.Context(), nil, f, &UnsealOptions{Relay: x.onBob}); gss.MajorOf(err) != gss.BadBindings {
			t.Fatalf("bit %d of the proof: %v", bit, err)
		}
	}
	for n := len(h.sealed); n < len(inContext); n++ {
		if _, err := x.bob.Unseal(t.Context(), nil, inContext[:n], &UnsealOptions{Relay: x.onBob}); gss.MajorOf(err) != gss.BadBindings {
			t.Fatalf("first %d octets: %v", n, err)
		}
	}
	if _, err := x.bob.Unseal(t.Context(), nil, inContext, &UnsealOptions{Relay: x.onBob}); err != nil {
		t.Error(err)
	}
}

// A one-time message by key: a proof that comes again does not use it up, and a
// second proof finds it used.
func TestPresentOneTime(t *testing.T) {
	x := newTrio(t)
	h := x.grant(t, &Options{OneTime: true})
	o := &UnsealOptions{Relay: x.onBob, Require: OneTime | RelayByKey}
	first, second := x.present(t, h, Channel{Context: x.toBob}), x.present(t, h, Channel{Context: x.toBob})
	if got, err := x.bob.Unseal(t.Context(), nil, first, o); err != nil || !got.Relay.IsZero() {
		t.Fatal(err)
	}
	_, err := x.bob.Unseal(t.Context(), nil, second, o)
	wantMajor(t, "second proof", err, gss.DuplicateToken, strike.ErrSeen)

	store := new(recordingStore)
	r := NewRecipient(&RecipientOptions{Store: store})
	defer r.Close()
	_, ba := pair("alice", "bob")
	if _, err := r.Add(ba); err != nil {
		t.Fatal(err)
	}
	m := x.present(t, h, Channel{Context: x.toBob})
	got, err := r.Unseal(t.Context(), nil, m, o)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(h.sealed)
	nonce := m[len(h.sealed):][:16]
	if want := sha256.Sum256(append(append([]byte("gss seal proof strike 1"), nonce...), digest[:]...)); store.keys[0] != want {
		t.Error("first strike is not the proof's")
	}
	if store.keys[1] != got.StrikeKey || len(store.keys) != 2 {
		t.Error("second strike is not the message's")
	}
	if d := store.until[1].Sub(got.SealedAt); d != time.Hour+Skew {
		t.Errorf("the message's until is %v after sealed-at", d)
	}
	if d := time.Until(store.until[0]); d < 2*Skew-time.Minute || d > 2*Skew {
		t.Errorf("the proof's until is in %v", d)
	}
	for i, from := range store.from { // not before the keys were there
		if !from.Equal(r.sources[1].keys.established) {
			t.Errorf("from %d is %v", i, from)
		}
	}

	// Who cannot claim to be first has sealed-at to go by; MaxAge changes nothing.
	again := NewRecipient(&RecipientOptions{Store: store})
	defer again.Close()
	if _, err := again.Add(ba.imported()); err != nil {
		t.Fatal(err)
	}
	o.MaxAge = time.Second
	if got, err = again.Unseal(t.Context(), nil, m, o); err != nil {
		t.Fatal(err)
	}
	if from, until := store.from[3], store.until[3]; !from.Equal(got.SealedAt.Add(-Skew)) || !until.Equal(got.SealedAt.Add(time.Hour+Skew)) {
		t.Errorf("struck from %v until %v, sealed at %v", from, until, got.SealedAt)
	}
}

type recordingStore struct {
	keys        [][32]byte
	from, until []time.Time
}

func (s *recordingStore) Strike(_ context.Context, key [32]byte, from, until time.Time) error {
	s.keys, s.from, s.until = append(s.keys, key), append(s.from, from), append(s.until, until)
	return nil
}

func TestPresentTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTrio(t)
		h := x.grant(t, nil)
		m := x.present(t, h, Channel{Context: x.toBob})
		time.Sleep(Skew)
		if _, err := x.bob.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: x.onBob}); err != nil {
			t.Errorf("a proof of 5 minutes ago: %v", err)
		}
		time.Sleep(time.Millisecond)
		_, err := x.bob.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: x.onBob})
		wantMajor(t, "an older proof", err, gss.OldToken, ErrExpired)
		h.now = func() time.Time { return time.Now().Add(Skew + time.Millisecond) }
		_, err = x.bob.Unseal(t.Context(), nil, x.present(t, h, Channel{Context: x.toBob}), &UnsealOptions{Relay: x.onBob})
		wantMajor(t, "a proof of the future", err, gss.OldToken, ErrNotYet)
		h.now = time.Now

		time.Sleep(time.Hour + time.Millisecond)
		synctest.Wait() // for the timer
		h.mu.Lock()
		if !isZero(h.key[:]) {
			t.Error("the relay key is still there after the message's end")
		}
		h.mu.Unlock()
		_, err = h.Present(nil, nil, Channel{Context: x.toBob})
		wantMajor(t, "after its end", err, gss.OldToken, ErrExpired)
	})
}

func TestPresentErrors(t *testing.T) {
	x := newTrio(t)
	h := x.grant(t, nil)
	for what, ch := range map[string]Channel{
		"nothing":              {},
		"context and unbound":  {Context: x.toBob, Unbound: true},
		"bindings and unbound": {Bindings: []byte("x:"), Unbound: true},
		"context and bindings": {Context: x.toBob, Bindings: []byte("x:")},
	} {
		got, err := h.Present([]byte("dst"), nil, ch)
		wantMajor(t, what, err, gss.Failure, errBinding)
		if string(got) != "dst" {
			t.Error("dst changed")
		}
	}
	x.toBob.prfErr = gss.NoContext
	_, err := h.Present(nil, nil, Channel{Context: x.toBob})
	wantMajor(t, "closed context", err, gss.NoContext, nil)
	x.toBob.prfErr = nil
	m := x.present(t, h, Channel{Context: x.toBob})
	x.onBob.prfErr = gss.NoContext
	_, err = x.bob.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: x.onBob})
	wantMajor(t, "recipient's context closed", err, gss.NoContext, nil)
	h.Close()
	h.Close()
	x.toBob.prfErr = nil
	_, err = h.Present(nil, nil, Channel{Context: x.toBob})
	wantMajor(t, "closed", err, gss.OldToken, ErrExpired)
}

// The relay key is what the protocol says, by a second implementation, and does
// not travel; a carried one does.
func TestGrantAgainstReference(t *testing.T) {
	at := time.Unix(497490*3600+99, 0)
	c := &clock{t: at}
	alice, _ := pair("alice", "bob")
	toCarol, fromAlice := pair("alice", "carol")
	s, err := newSender(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	via, err := newSender(toCarol, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer via.Close()
	s.fixedSalt = (*[saltSize]byte)([]byte("saltsalt!"))

	root, _ := alice.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
	k := refDerive(root, oid.Krb5.AppendDER(nil), "i2a")
	rootC, _ := toCarol.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
	kc := refDerive(rootC, oid.Krb5.AppendDER(nil), "i2a")
	hAlice, _ := hashName(mn("alice"))
	hBob, _ := hashName(mn("bob"))
	export := func(n gss.Name) []byte {
		b, err := n.Export()
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	notAfter := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()+3600000))
	relay, err := newRelay(fromAlice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()

	for n, v := range []*Sender{via, nil} {
		got, err := s.Grant(nil, []byte("body"), v, nil)
		if err != nil {
			t.Fatal(err)
		}
		tu := k.refTU(uint64(n), 497490, 256, "saltsalt!")
		key := refExpand(kc.epoch(497490), bytes.Join([][]byte{[]byte("relay"), tu, hAlice[:], hBob[:], notAfter}, nil), 32)
		if v == nil {
			key = got[14:46] // random
		}
		h := refHeader{version: 1, flags: 0x04, bodyLen: 4, n: uint64(n), sealedAt: at.UnixMilli(), notAfter: at.UnixMilli() + 3600000,
			from: hAlice, to: hBob, key: [32]byte(key), body: []byte("body")}
		sealed := k.seal(uint64(n), 497490, "saltsalt!", h.plaintext(), nil)
		want := append([]byte{1, byte(n), 0x07, 0x97, 0x52}, notAfter...)
		if v == nil {
			want = append(append(want, 32), key...)
		} else {
			want = append(want, 0)
		}
		want = append(append(want, export(mn("alice"))...), export(mn("bob"))...)
		want = append(binary.BigEndian.AppendUint32(want, uint32(len(sealed))), sealed...)
		if !bytes.Equal(got, want) {
			t.Fatalf("mode %d: grant\n%x, want\n%x", n, got, want)
		}
		held, err := relay.Accept(got)
		if err != nil || !bytes.Equal(held.key[:], key) {
			t.Fatalf("mode %d: the relay's key differs: %v", n, err)
		}
		// A proof by the reference.
		r, b := []byte("0123456789abcdef"), append([]byte{0}, make([]byte, 32)...)
		digest := sha256.Sum256(sealed)
		kp := refExpand(key, bytes.Join([][]byte{[]byte("proof"), r, digest[:], b}, nil), 32)
		q := append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), 0, 0, 0, 2, 'h', 'i')
		proof := append(bytes.Clone(r), refGCM(kp, nil, append(q, make([]byte, 64-len(q))...))...)
		bob := newRecipient(nil, c.now)
		defer bob.Close()
		_, ba := pair("alice", "bob")
		bob.o.Store = new(recordingStore)
		if _, err := bob.Add(ba); err != nil {
			t.Fatal(err)
		}
		m, err := bob.Unseal(t.Context(), nil, append(sealed, proof...), &UnsealOptions{Unbound: true})
		if err != nil || string(m.Payload) != "hi" || string(m.Body) != "body" {
			t.Fatalf("mode %d: %v", n, err)
		}
		// Malformed inside: each is authentic.
		for what, q := range map[string][]byte{
			"payload longer than it": append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), append([]byte{0, 0, 1, 0}, make([]byte, 52)...)...),
			"4 GiB":                  append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), append([]byte{255, 255, 255, 255}, make([]byte, 52)...)...),
			"padding":                append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), append([]byte{0, 0, 0, 0}, bytes.Repeat([]byte{1}, 52)...)...),
			"too much padding":       append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), make([]byte, 80)...),
		} {
			proof := append(bytes.Clone(r), refGCM(kp, nil, q)...)
			_, err := bob.Unseal(t.Context(), nil, append(bytes.Clone(sealed), proof...), &UnsealOptions{Unbound: true})
			wantMajor(t, what, err, gss.DefectiveToken, errHeader)
		}
	}
}

// A grant that was altered is malformed, or its key is wrong.
func TestGrantTampered(t *testing.T) {
	x := newTrio(t)
	g, err := x.alice.Grant(nil, []byte("body"), x.grants, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range g {
		if _, err := x.carol.Accept(g[:n]); gss.MajorOf(err) != gss.DefectiveToken {
			t.Fatalf("first %d octets: %v", n, err)
		}
	}
	_, err = x.carol.Accept(append(bytes.Clone(g), 0))
	wantMajor(t, "one octet more", err, gss.DefectiveToken, errGrant)
	bits := len(g) * 8
	for bit := 0; bit < bits; bit++ {
		if bit > 8*(len(g)-250) && bit%37 != 0 {
			continue // the ciphertext: some will do
		}
		f := bytes.Clone(g)
		f[bit/8] ^= 1 << (bit % 8)
		h, err := x.carol.Accept(f)
		if err != nil {
			if m := gss.MajorOf(err); m != gss.DefectiveToken && m != gss.OldToken {
				t.Fatalf("bit %d: %v", bit, err)
			}
			continue
		}
		m := x.present(t, h, Channel{Context: x.toBob})
		if _, err := x.bob.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: x.onBob}); err == nil {
			t.Fatalf("bit %d flipped, and it opens", bit)
		}
		h.Close()
	}
	h, err := x.carol.Accept(g)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.bob.Unseal(t.Context(), nil, x.present(t, h, Channel{Context: x.toBob}), &UnsealOptions{Relay: x.onBob}); err != nil {
		t.Error(err)
	}
	// Another relay of Alice cannot derive the key.
	mallory, _ := pair("mallory", "alice")
	r, err := NewRelay(mallory)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if h, err = r.Accept(g); err != nil {
		t.Fatal(err)
	}
	_, err = x.bob.Unseal(t.Context(), nil, x.present(t, h, Channel{Context: x.toBob}), &UnsealOptions{Relay: x.onBob})
	wantMajor(t, "another relay's key", err, gss.BadBindings, ErrProof)
}

// What is well-formed by its lengths and makes no sense.
func TestGrantMalformed(t *testing.T) {
	x := newTrio(t)
	derived, err := x.alice.Grant(nil, nil, x.grants, nil)
	if err != nil {
		t.Fatal(err)
	}
	carried, err := x.alice.Grant(nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := epochOf(time.Now().UnixMilli())
	set := func(g []byte, off int, to []byte) []byte {
		return append(append(bytes.Clone(g[:off]), to...), g[off+len(to):]...)
	}
	insert := func(g []byte, off int, b []byte) []byte {
		return append(append(bytes.Clone(g[:off]), b...), g[off:]...)
	}
	longer := bytes.Clone(derived[:len(derived)-336-4])
	longer = append(binary.BigEndian.AppendUint32(longer, 337), make([]byte, 337)...)
	for what, g := range map[string][]byte{
		"version 2":                set(derived, 0, []byte{2}),
		"mode 2":                   set(derived, 1, []byte{2}),
		"derived, with a key":      set(carried, 1, []byte{0}),
		"carried, without a key":   set(derived, 1, []byte{1}),
		"carried, with 33 octets":  insert(set(carried, 13, []byte{33}), 14, []byte{0}),
		"dead before its hour":     set(derived, 5, appendUint64(nil, epochStart(e)-1)),
		"alive for longer than it": set(derived, 5, appendUint64(nil, epochStart(e+1)+lifetimeMS+1)),
		"not-after of 64 bits":     set(derived, 5, appendUint64(nil, -1)),
		"sealed of 337 octets":     longer,
	} {
		_, err := x.carol.Accept(g)
		wantMajor(t, what, err, gss.DefectiveToken, errGrant)
	}
	for what, g := range map[string][]byte{
		"derived": derived, "carried": carried,
		"the longest life": set(derived, 5, appendUint64(nil, epochStart(e+1)+lifetimeMS-1)),
	} {
		if _, err := x.carol.Accept(g); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The hour ends between looking at the clock for the one context and for the other.
func TestGrantAtFullHour(t *testing.T) {
	before := &clock{t: time.Unix(497491*3600, 0).Add(-time.Millisecond)}
	after := &clock{t: before.t.Add(time.Millisecond)}
	for what, c := range map[string][2]*clock{"relay's first": {after, before}, "relay's last": {before, after}} {
		ab, _ := pair("alice", "bob")
		ac, ca := pair("alice", "carol")
		s, err := newSender(ab, before.now)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		via, err := newSender(ac, before.now)
		if err != nil {
			t.Fatal(err)
		}
		defer via.Close()
		s.now, via.now = c[0].now, c[1].now
		g, err := s.Grant(nil, nil, via, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r, err := newRelay(ca, after.now)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		h, err := r.Accept(g)
		if err != nil {
			t.Fatal(err)
		}
		bob := newRecipient(&RecipientOptions{Store: new(recordingStore)}, after.now)
		defer bob.Close()
		_, ba := pair("alice", "bob")
		if _, err := bob.Add(ba); err != nil {
			t.Fatal(err)
		}
		m, err := h.Present(nil, nil, Channel{Unbound: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Unseal(t.Context(), nil, m, &UnsealOptions{Unbound: true}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRelayAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTrio(t)
		g, err := x.alice.Grant(nil, nil, x.grants, &Options{Lifetime: MaxLifetime})
		if err != nil {
			t.Fatal(err)
		}
		short, err := x.alice.Grant(nil, nil, x.grants, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		_, err = x.carol.Accept(short)
		wantMajor(t, "a dead message", err, gss.OldToken, ErrExpired)
		time.Sleep(MaxLifetime - 3*time.Hour)
		if _, err := x.carol.Accept(g); err != nil {
			t.Errorf("an hour before its end: %v", err)
		}
		time.Sleep(3*time.Hour + time.Minute)
		synctest.Wait()
		x.carol.mu.Lock()
		if low := epochOf(time.Now().Add(-MaxLifetime - Skew).UnixMilli()); x.carol.keys.tree.low != low {
			t.Errorf("low is %d, want %d", x.carol.keys.tree.low, low)
		}
		x.carol.mu.Unlock()
		x.carol.Close()
		_, err = x.carol.Accept(g)
		wantMajor(t, "closed", err, gss.NoContext, nil)
	})
}

// Grants both ways at once, over each other's senders.
func TestGrantsCross(t *testing.T) {
	x := newTrio(t)
	done := make(chan error)
	for _, s := range [][2]*Sender{{x.alice, x.grants}, {x.grants, x.alice}} {
		go func() {
			var err error
			for i := 0; i < 200 && err == nil; i++ {
				_, err = s[0].Grant(nil, []byte(fmt.Sprint(i)), s[1], nil)
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzAccept(f *testing.F) {
	ab, _ := pair("alice", "bob")
	ac, ca := pair("alice", "carol")
	s, err := NewSender(ab)
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	via, err := NewSender(ac)
	if err != nil {
		f.Fatal(err)
	}
	defer via.Close()
	r, err := NewRelay(ca)
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	for _, v := range []*Sender{nil, via} {
		g, err := s.Grant(nil, []byte("x"), v, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(g)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := r.Accept(in)
		if m := gss.MajorOf(err); err != nil && m != gss.DefectiveToken && m != gss.OldToken {
			t.Error(err)
		}
		if err == nil {
			h.Close()
		}
	})
}
