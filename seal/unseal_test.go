package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// Authentic messages with one thing wrong, made by the reference implementation:
// each is refused with its own type.
func TestAuthenticButRefused(t *testing.T) {
	at := time.Unix(497490*3600+1800, 0)
	alice, bob := pair("alice", "bob")
	bob.info.Expiry = at.Add(20 * 24 * time.Hour)
	root, _ := alice.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
	k := refDerive(root, oid.Krb5.AppendDER(nil), "i2a")
	c := &clock{t: at}
	r := newRecipient(&RecipientOptions{Store: strike.NewMemory(strike.MemoryOptions{})}, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		t.Fatal(err)
	}
	hAlice, _ := hashName(mn("alice"))
	hBob, _ := hashName(mn("bob"))
	hCarol, _ := hashName(mn("carol"))
	ms := at.UnixMilli()

	n := uint64(0)
	try := func(what string, change func(*refHeader), o *UnsealOptions, m gss.Major, cause error) {
		t.Helper()
		h := refHeader{version: 1, bodyLen: 4, n: n, sealedAt: ms, notAfter: ms + 3600000, from: hAlice, to: hBob, body: []byte("body")}
		change(&h)
		p := h.plaintext()
		e := uint32(ms / epochMS)
		if at := h.sealedAt / epochMS; at != int64(e) && m != gss.DefectiveToken {
			e = uint32(at)
		}
		msg := k.seal(n, e, "saltsalt!", p, nil)
		n++
		dst := make([]byte, 0, len(msg))
		got, err := r.Unseal(t.Context(), dst, msg, o)
		if m == 0 {
			if err != nil || string(got.Body) != "body" {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		wantMajor(t, what, err, m, cause)
		if got.Body != nil || got.StrikeKey != [32]byte{} || !got.Originator.IsZero() || !isZero(dst[:cap(dst)]) {
			t.Errorf("%s: something leaves", what)
		}
	}
	none := func(*refHeader) {}
	byCarol := &UnsealOptions{RelayNames: []gss.Name{mn("carol")}}

	try("nothing wrong", none, nil, 0, nil)
	for what, change := range map[string]func(*refHeader){
		"version 0":                    func(h *refHeader) { h.version = 0 },
		"version 2":                    func(h *refHeader) { h.version = 2 },
		"flag 10":                      func(h *refHeader) { h.flags = 0x10 },
		"flag 80":                      func(h *refHeader) { h.flags = 0x80 },
		"flag 08 alone":                func(h *refHeader) { h.flags = 0x08 },
		"flags 08 and 06":              func(h *refHeader) { h.flags, h.relay, h.key = 0x0e, hCarol, hCarol },
		"flags 08 and 03":              func(h *refHeader) { h.flags, h.relay = 0x0b, hCarol },
		"flags 08 and 05":              func(h *refHeader) { h.flags, h.key = 0x0d, hCarol },
		"reserved 1":                   func(h *refHeader) { h.reserved = 1 },
		"reserved 0100":                func(h *refHeader) { h.reserved = 0x100 },
		"another n":                    func(h *refHeader) { h.n++ },
		"n of another lane":            func(h *refHeader) { h.n |= 1 << 40 },
		"sealed in the hour before":    func(h *refHeader) { h.sealedAt -= epochMS },
		"sealed in the hour after":     func(h *refHeader) { h.sealedAt += epochMS; h.notAfter += epochMS },
		"sealed-at of 64 bits":         func(h *refHeader) { h.sealedAt = -1; h.notAfter = -1 },
		"not-after = sealed-at":        func(h *refHeader) { h.notAfter = h.sealedAt },
		"not-after before sealed-at":   func(h *refHeader) { h.notAfter = h.sealedAt - 1 },
		"not-after beyond 7 days":      func(h *refHeader) { h.notAfter = h.sealedAt + lifetimeMS + 1 },
		"not-after of 64 bits":         func(h *refHeader) { h.notAfter = -1 },
		"body longer than P":           func(h *refHeader) { h.bodyLen = 1000 },
		"body of 4 GiB":                func(h *refHeader) { h.bodyLen = 1<<32 - 1 },
		"body length 3":                func(h *refHeader) { h.bodyLen = 3 },
		"body length 0":                func(h *refHeader) { h.bodyLen = 0 },
		"padding not zero":             func(h *refHeader) { h.pad = make([]byte, 92); h.pad[0] = 1 },
		"last of padding not zero":     func(h *refHeader) { h.pad = make([]byte, 92); h.pad[91] = 1 },
		"more padding than it takes":   func(h *refHeader) { h.pad = make([]byte, 92+16) },
		"relay without its flag":       func(h *refHeader) { h.relay = hCarol },
		"relay key without its flag":   func(h *refHeader) { h.key = hCarol },
		"flag 02 and no relay":         func(h *refHeader) { h.flags = 0x02 },
		"flag 04 and no relay key":     func(h *refHeader) { h.flags = 0x04 },
		"flag 02, and a key besides":   func(h *refHeader) { h.flags, h.relay, h.key = 0x02, hCarol, hCarol },
		"flag 04, and a relay besides": func(h *refHeader) { h.flags, h.relay, h.key = 0x04, hCarol, hCarol },
	} {
		try(what, change, byCarol, gss.DefectiveToken, errHeader)
	}

	try("from carol", func(h *refHeader) { h.from = hCarol }, nil, gss.BadName, errNames)
	try("to carol", func(h *refHeader) { h.to = hCarol }, nil, gss.BadName, errNames)
	try("from and to swapped", func(h *refHeader) { h.to, h.from = h.from, h.to }, nil, gss.BadName, errNames)

	pad := func(n int) func(*refHeader) { return func(h *refHeader) { h.pad = make([]byte, n) } }
	try("a length that is not PADMÉ's", pad(93), nil, gss.BadMIC, nil)
	try("a length that is too short", pad(91), nil, gss.BadMIC, nil)

	shift := func(d time.Duration) func(*refHeader) {
		return func(h *refHeader) { h.sealedAt += d.Milliseconds(); h.notAfter += d.Milliseconds() }
	}
	try("sealed 5 minutes from now", shift(Skew), nil, 0, nil)
	try("sealed a little later", shift(Skew+time.Millisecond), nil, gss.OldToken, ErrNotYet)
	try("sealed in days", shift(72*time.Hour), nil, gss.OldToken, ErrNotYet)
	short := func(h *refHeader) { h.notAfter = h.sealedAt + 1000 }
	c.add(Skew + time.Second)
	try("at its end and Skew", short, nil, 0, nil)
	c.add(time.Millisecond)
	try("after that", short, nil, gss.OldToken, ErrExpired)
	c.add(-Skew - time.Second - time.Millisecond)

	c.add(Skew + time.Minute)
	try("a minute old", none, &UnsealOptions{MaxAge: time.Minute}, 0, nil)
	c.add(time.Millisecond)
	try("older than MaxAge", none, &UnsealOptions{MaxAge: time.Minute}, gss.OldToken, ErrExpired)
	c.add(-Skew - time.Minute - time.Millisecond)

	try("one-time required", none, &UnsealOptions{Require: OneTime}, gss.Unauthorized, ErrClaim)
	try("relay required", none, &UnsealOptions{Require: RelayByName, RelayNames: byCarol.RelayNames}, gss.Unauthorized, ErrClaim)
	try("relay's key required", none, &UnsealOptions{Require: RelayByKey, Unbound: true}, gss.Unauthorized, ErrClaim)
	try("introduction required", none, &UnsealOptions{Require: Introduction}, gss.Unauthorized, ErrClaim)
	relayed := func(h *refHeader) { h.flags, h.relay = 0x02, hCarol }
	try("only the other claim", relayed, &UnsealOptions{Require: RelayByName | OneTime, RelayNames: byCarol.RelayNames}, gss.Unauthorized, ErrClaim)
	try("by carol", relayed, byCarol, 0, nil)
	try("by carol, required", relayed, &UnsealOptions{Require: RelayByName, RelayNames: []gss.Name{mn("dave"), mn("carol")}}, 0, nil)
	try("by nobody known", relayed, nil, gss.BadName, ErrRelay)
	try("by dave", relayed, &UnsealOptions{RelayNames: []gss.Name{mn("dave"), {}, gss.User("carol")}}, gss.BadName, ErrRelay)
	try("by a name that has no exported form", func(h *refHeader) { h.flags, h.relay = 0x02, [32]byte{1} },
		&UnsealOptions{RelayNames: []gss.Name{{Mech: oid.OID(make([]byte, oid.MaxLen+1)), Text: "carol"}}}, gss.BadName, ErrRelay)
	try("by another mechanism's carol", relayed, &UnsealOptions{RelayNames: []gss.Name{{Mech: oid.PKIX, Text: "carol"}}}, gss.BadName, ErrRelay)
	keyed := func(h *refHeader) { h.flags, h.key = 0x04, hCarol }
	try("by key, without a proof", keyed, nil, gss.BadBindings, ErrProof)
	try("by key, without a proof, unbound", keyed, &UnsealOptions{Unbound: true}, gss.BadBindings, ErrProof)
	try("an introduction", func(h *refHeader) { h.flags, h.relay, h.key = 0x0f, hCarol, hCarol },
		&UnsealOptions{RelayNames: byCarol.RelayNames, Unbound: true}, gss.Unauthorized, ErrIntroduction)

	r.mu.RLock()
	s := r.sources[1]
	r.mu.RUnlock()
	s.keys.expiry = at.UnixMilli() - skewMS - 1
	try("sealed after the context's end", none, nil, gss.ContextExpired, nil)
	s.keys.expiry++
	try("sealed at it, and Skew", none, nil, 0, nil)
	s.keys.tree.raise(497491)
	try("sealed in an erased hour", none, nil, gss.OldToken, ErrErased)
}

// The context on which a message comes names its relay.
func TestRelayContext(t *testing.T) {
	alice, bob := pair("alice", "bob")
	_, fromCarol := pair("carol", "bob")
	_, fromDave := pair("dave", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	m := mustSeal(t, s, "x", &Options{Relay: mn("carol")})
	for what, change := range map[string]func(*testContext){
		"anonymous": func(c *testContext) { c.info.Flags |= gss.Anon },
		"expired":   func(c *testContext) { c.info.Expiry = time.Now().Add(-time.Second) },
		"nameless":  func(c *testContext) { c.info.Peer = gss.Name{} },
	} {
		_, c := pair("carol", "bob")
		change(c)
		_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: c})
		wantMajor(t, what, err, gss.BadName, ErrRelay)
	}
	_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: fromDave})
	wantMajor(t, "by dave", err, gss.BadName, ErrRelay)
	got, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: fromCarol})
	if err != nil || got.Relay != mn("carol") {
		t.Errorf("by carol: %v", err)
	}
	got, err = r.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: fromDave, RelayNames: []gss.Name{mn("carol")}})
	if err != nil || got.Relay != mn("carol") {
		t.Errorf("by dave, who is carol too: %v", err)
	}
	_, err = r.Unseal(t.Context(), nil, append(m, make([]byte, 128)...), &UnsealOptions{Relay: fromCarol})
	wantMajor(t, "octets behind it", err, gss.DefectiveToken, nil)
}

func TestOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
		once := mustSeal(t, s, "once", &Options{OneTime: true})
		often := mustSeal(t, s, "often", nil)
		got, err := r.Unseal(t.Context(), nil, once, &UnsealOptions{Require: OneTime})
		if err != nil || got.Claims != OneTime {
			t.Fatal(err)
		}
		for range 2 {
			_, err = r.Unseal(t.Context(), nil, once, nil)
			wantMajor(t, "again", err, gss.DuplicateToken, strike.ErrSeen)
			if _, err := r.Unseal(t.Context(), nil, often, nil); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Unseal(t.Context(), nil, often, &UnsealOptions{Strike: true}); err != nil {
			t.Error(err)
		}
		_, err = r.Unseal(t.Context(), nil, often, &UnsealOptions{Strike: true})
		wantMajor(t, "struck by the recipient's wish", err, gss.DuplicateToken, strike.ErrSeen)
		time.Sleep(2 * time.Hour)
		_, err = r.Unseal(t.Context(), nil, once, nil)
		wantMajor(t, "expired", err, gss.OldToken, ErrExpired)
	})
}

// However many hands it comes through at once, a one-time message opens once.
func TestOneTimeRace(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	for range 20 {
		m := mustSeal(t, s, "once", &Options{OneTime: true})
		var opened atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				got, err := r.Unseal(t.Context(), nil, m, nil)
				if err == nil && string(got.Body) == "once" {
					opened.Add(1)
				} else if gss.MajorOf(err) != gss.DuplicateToken {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if opened.Load() != 1 {
			t.Fatalf("opened %d times", opened.Load())
		}
	}
}

// A refusal for want of the relay does not use up a one-time message.
func TestWrongRelayDoesNotStrike(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	m := mustSeal(t, s, "x", &Options{OneTime: true, Relay: mn("carol")})
	_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{RelayNames: []gss.Name{mn("dave")}})
	wantMajor(t, "dave", err, gss.BadName, ErrRelay)
	if _, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{RelayNames: []gss.Name{mn("carol")}}); err != nil {
		t.Error(err)
	}
}

// A store that fails in every way it can.
type brokenStore struct{ err error }

func (s *brokenStore) Strike(context.Context, [32]byte, time.Time, time.Time) error { return s.err }

func TestStoreErrors(t *testing.T) {
	alice, bob := pair("alice", "bob")
	store := new(brokenStore)
	s, r := mustSender(t, alice), mustRecipient(t, &RecipientOptions{Store: store, Quota: 2}, bob)
	m := mustSeal(t, s, "x", &Options{OneTime: true})
	disk := errors.New("disk full")
	for _, c := range []struct {
		err   error
		major gss.Major
	}{
		{strike.ErrSeen, gss.DuplicateToken},
		{fmt.Errorf("wrapped: %w", strike.ErrUnsure), gss.Unavailable},
		{strike.ErrFull, gss.Unavailable},
		{disk, gss.Failure},
		{context.DeadlineExceeded, gss.Failure},
	} {
		store.err = c.err
		_, err := r.Unseal(t.Context(), nil, m, nil)
		wantMajor(t, "store", err, c.major, c.err)
	}
	// What may have been struck counts.
	store.err = nil
	_, err := r.Unseal(t.Context(), nil, m, nil)
	wantMajor(t, "third that may be struck", err, gss.Unavailable, ErrQuota)
}

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		carol, bobC := pair("carol", "bob")
		s, sc := mustSender(t, alice), mustSender(t, carol)
		r := mustRecipient(t, &RecipientOptions{Quota: 10}, bob, bobC)
		seal := func(s *Sender) []byte { return mustSeal(t, s, "", &Options{OneTime: true, Lifetime: time.Minute}) }
		for i := range 10 {
			m := seal(s)
			if _, err := r.Unseal(t.Context(), nil, m, nil); err != nil {
				t.Fatal(err)
			}
			if i < 9 { // a replay costs nothing
				_, err := r.Unseal(t.Context(), nil, m, nil)
				wantMajor(t, "replay", err, gss.DuplicateToken, nil)
			}
		}
		m := seal(s)
		_, err := r.Unseal(t.Context(), nil, m, nil)
		wantMajor(t, "one more", err, gss.Unavailable, ErrQuota)
		if _, err := r.Unseal(t.Context(), nil, seal(sc), nil); err != nil {
			t.Errorf("another originator: %v", err)
		}
		if _, err := r.Unseal(t.Context(), nil, mustSeal(t, s, "", nil), nil); err != nil {
			t.Errorf("not to be struck: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := r.Unseal(t.Context(), nil, seal(s), nil); err != nil {
			t.Errorf("after the others expired: %v", err)
		}
	})
}

// A message that is tried again and again while the store is broken does not spend
// what its originator may have struck; one whose caller goes away does.
func TestQuotaOfBrokenStore(t *testing.T) {
	for _, c := range []struct {
		err   error
		major gss.Major
	}{
		{fmt.Errorf("%w: disk full", strike.ErrBroken), 0},
		{strike.ErrClosed, 0},
		{context.Canceled, gss.Unavailable},
	} {
		alice, bob := pair("alice", "bob")
		s := mustSender(t, alice)
		store := &brokenStore{c.err}
		r := mustRecipient(t, &RecipientOptions{Quota: 10, Store: store}, bob)
		m := mustSeal(t, s, "x", &Options{OneTime: true})
		for range 10 {
			_, err := r.Unseal(t.Context(), nil, m, nil)
			wantMajor(t, "broken", err, gss.Failure, c.err)
		}
		store.err = nil
		_, err := r.Unseal(t.Context(), nil, m, nil)
		if gss.MajorOf(err) != c.major {
			t.Errorf("%v, and then: %v", c.err, err)
		}
	}
}

// What was struck before this store was must not open again: a context that may
// have been used before gives no more than sealed-at to go by.
func TestUnsureWithoutClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		s := mustSender(t, alice)
		first := mustRecipient(t, nil, bob)
		time.Sleep(time.Minute)
		m := mustSeal(t, s, "x", &Options{OneTime: true})
		if _, err := first.Unseal(t.Context(), nil, m, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for what, sc := range map[string]Secret{"added again": bob, "imported": bob.imported(), "no claim": noClaim{bob}} {
			second := mustRecipient(t, nil, sc)
			_, err := second.Unseal(t.Context(), nil, m, nil)
			wantMajor(t, what, err, gss.Unavailable, strike.ErrUnsure)
		}
		second := mustRecipient(t, nil, bob.imported())
		time.Sleep(Skew)
		m = mustSeal(t, s, "x", &Options{OneTime: true})
		if _, err := second.Unseal(t.Context(), nil, m, nil); err != nil {
			t.Errorf("sealed Skew after the store was made: %v", err)
		}
	})
}

// Gaps of any size, forwards and backwards, up to the last number of a lane.
func TestGaps(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	for range 9 { // contexts that it is not
		_, sc := pair(rand.Text(), "bob")
		if _, err := r.Add(sc); err != nil {
			t.Fatal(err)
		}
	}
	for _, lane := range []uint32{0, 77} {
		for _, n := range []uint64{0, 1, 1 << 8, 1 << 16, 1 << 31, 1<<32 - 1, 5, 1<<31 + 1, 2} {
			s.lane, s.count = lane, n
			got, err := r.Unseal(t.Context(), nil, mustSeal(t, s, "body", nil), nil)
			if err != nil || string(got.Body) != "body" || got.N != uint64(lane)<<32|n {
				t.Errorf("lane %d, number %d: %v, N %#x", lane, n, err, got.N)
			}
		}
	}
}

// Loss, disorder, gaps, restarts of the originator: everything arrives, and scans
// are few.
func TestLossAndReorder(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s := mustSender(t, alice)
	r := mustRecipient(t, nil, bob)
	at := time.Now()
	r.now = func() time.Time { return at } // the budget is not filled meanwhile
	for i := range 50 {
		_, sc := pair(fmt.Sprint(i), "bob")
		if _, err := r.Add(sc); err != nil {
			t.Fatal(err)
		}
	}
	ms := make([][]byte, 400)
	for i := range ms {
		ms[i] = mustSeal(t, s, fmt.Sprint(i), nil)
	}
	open := func(i int) {
		t.Helper()
		got, err := r.Unseal(t.Context(), nil, ms[i], nil)
		if err != nil || string(got.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	scanned := func(f func()) int64 {
		before := r.budget.nobody.tokens
		f()
		return (before - r.budget.nobody.tokens) / 1000
	}
	if n := scanned(func() { open(1); open(0); open(2) }); n != 0 {
		t.Errorf("%d inversions in order, nearly", n)
	}
	if n := scanned(func() {
		for i := 18; i > 2; i-- {
			open(i)
		}
	}); n != 0 {
		t.Errorf("%d inversions for 16 in reverse", n)
	}
	if n := scanned(func() { open(19); open(36) }); n == 0 {
		t.Error("a gap of 17 is found without a scan")
	}
	if n := scanned(func() {
		for i := 20; i < 36; i++ {
			open(i)
		}
	}); n != 0 {
		t.Errorf("%d inversions for 16 skipped ones", n)
	}
	open(399)
	if n := scanned(func() { open(383) }); n != 0 {
		t.Errorf("%d inversions for the first of the skipped that are kept", n)
	}
	if n := scanned(func() { open(200) }); n == 0 {
		t.Error("what was given up is found without a scan")
	}
	if n := scanned(func() { open(200); open(399) }); n != 0 {
		t.Errorf("%d inversions for recent ones", n)
	}
	for i := range ms {
		open(i)
	}
	// Gap after gap: no more skipped ones are kept than w.
	for i := 0; i < 60; i++ {
		m := mustSeal(t, s, "", nil)
		if i%10 == 9 {
			if _, err := r.Unseal(t.Context(), nil, m, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := 50*wUnused + 2*wActive; r.entries() != want {
		t.Errorf("%d entries after gaps, want %d", r.entries(), want)
	}
	// Another sender has a lane of its own.
	again := mustSender(t, alice)
	if n := scanned(func() {
		for i := range 10 {
			ms[i] = mustSeal(t, again, fmt.Sprint(i), nil)
			open(i)
		}
	}); n == 0 || n > 51 {
		t.Errorf("%d inversions for a new lane", n)
	}
	// The fifth lane drives out the least recently used; no entry is left behind.
	var old [][]byte
	for range 6 {
		l := mustSender(t, alice)
		ms[0] = mustSeal(t, l, "0", nil)
		open(0)
		old = append(old, ms[0])
	}
	// What comes again drives out nobody.
	last := mustSender(t, alice)
	ms[0] = mustSeal(t, last, "0", nil)
	open(0)
	if n := scanned(func() {
		for i := 1; i < 20; i++ {
			ms[i] = mustSeal(t, last, fmt.Sprint(i), nil)
			open(i)
			for _, m := range old {
				if _, err := r.Unseal(t.Context(), nil, m, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}); n != 0 {
		t.Errorf("%d inversions among replays of old lanes", n)
	}
	src := r.sources[1]
	if len(src.lanes) != maxLanes {
		t.Errorf("%d lanes", len(src.lanes))
	}
	if want := 50*wUnused + maxLanes*wActive; r.index.used != want {
		t.Errorf("%d entries in the index, want %d", r.index.used, want)
	}
	src.Remove()
	if r.index.used != 50*wUnused {
		t.Errorf("%d entries after Remove, want %d", r.index.used, 50*wUnused)
	}
}

// An index has what a map would have.
func TestIndex(t *testing.T) {
	x := newIndex()
	model := map[entry]int{}
	state := uint64(1)
	rnd := func(n uint64) uint64 {
		state = state*6364136223846793005 + 1442695040888963407
		return state >> 33 % n
	}
	for i := range 60000 {
		grow := uint64(6)
		if i/10000%2 == 1 {
			grow = 3
		}
		tag, id := rnd(40)<<58*rnd(3)|rnd(300), uint32(1+rnd(3))
		e := newEntry(tag, id)
		if rnd(9) < grow {
			if model[e] == 0 {
				x.add(tag, id)
				model[e] = 1
			}
		} else {
			x.remove(tag, id)
			delete(model, e)
		}
		if x.used != len(model) || x.used*4 > len(x.entries)*3 {
			t.Fatalf("%d used of %d, want %d", x.used, len(x.entries), len(model))
		}
		found := x.find(nil, tag)
		want := 0
		for id := uint32(1); id <= 3; id++ {
			want += model[newEntry(tag, id)]
		}
		if len(found) != want {
			t.Fatalf("found %v, want %d", found, want)
		}
	}
}

// Garbage spends the budget of nobody; an authenticated relay still has its own.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const contexts = 100
		r := mustRecipient(t, &RecipientOptions{ScanRate: 16 * contexts})
		for i := range contexts - 1 {
			_, sc := pair(fmt.Sprint(i), "bob")
			if _, err := r.Add(sc); err != nil {
				t.Fatal(err)
			}
		}
		alice, bob := pair("alice", "bob")
		if _, err := r.Add(bob); err != nil {
			t.Fatal(err)
		}
		garbage := func(i uint64) []byte {
			h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
			return bytes.Repeat(h[:], 11)[:336]
		}
		_, err := r.Unseal(t.Context(), nil, garbage(0), nil)
		wantMajor(t, "first", err, gss.BadMIC, nil)
		_, err = r.Unseal(t.Context(), nil, garbage(1), nil)
		wantMajor(t, "second within a second", err, gss.Unavailable, ErrBusy)
		known := mustSender(t, alice)
		if _, err := r.Unseal(t.Context(), nil, mustSeal(t, known, "x", nil), nil); err != nil {
			t.Errorf("an expected message: %v", err)
		}
		for i := range 200 { // a known tag costs no search, whatever follows it
			f := mustSeal(t, known, "x", nil)
			f[16+i]++
			_, err = r.Unseal(t.Context(), nil, f, nil)
			wantMajor(t, "damaged", err, gss.BadMIC, nil)
			if _, err := r.Unseal(t.Context(), nil, mustSeal(t, known, "x", nil), nil); err != nil {
				t.Error(err)
			}
		}
		unknown := mustSeal(t, mustSender(t, alice), "x", nil)
		_, err = r.Unseal(t.Context(), nil, unknown, nil)
		wantMajor(t, "a new lane, by nobody", err, gss.Unavailable, ErrBusy)
		_, err = r.Unseal(t.Context(), nil, unknown, &UnsealOptions{From: mn("nobody")})
		wantMajor(t, "from somebody without a context", err, gss.BadMIC, nil)
		_, fromCarol := pair("carol", "bob")
		_, err = r.Unseal(t.Context(), nil, garbage(2), &UnsealOptions{Relay: fromCarol})
		wantMajor(t, "carol's own garbage", err, gss.BadMIC, nil)
		_, err = r.Unseal(t.Context(), nil, garbage(2), &UnsealOptions{Relay: fromCarol})
		wantMajor(t, "more of it", err, gss.Unavailable, ErrBusy)
		_, fromDave := pair("dave", "bob")
		if _, err := r.Unseal(t.Context(), nil, unknown, &UnsealOptions{Relay: fromDave}); err != nil {
			t.Errorf("a new lane, by dave: %v", err)
		}
		time.Sleep(time.Second)
		_, err = r.Unseal(t.Context(), nil, garbage(3), nil)
		wantMajor(t, "a second later", err, gss.BadMIC, nil)

		// From counts only what is tried.
		time.Sleep(time.Second)
		for i := range uint64(50) {
			_, err = r.Unseal(t.Context(), nil, garbage(i), &UnsealOptions{From: mn("alice")})
			wantMajor(t, "narrowed", err, gss.BadMIC, nil)
		}
		// All of them together: 16 relays can spend what there is in a second.
		time.Sleep(time.Minute)
		busy := 0
		for i := range uint64(40) {
			_, err := r.Unseal(t.Context(), nil, garbage(i), &UnsealOptions{RelayNames: []gss.Name{mn(fmt.Sprint("relay", i))}})
			if errors.Is(err, ErrBusy) {
				busy++
			}
		}
		if busy != 40-16 {
			t.Errorf("%d of 40 relays refused, want 24", busy)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Minute)
		_, err = r.Unseal(ctx, nil, garbage(9), nil)
		wantMajor(t, "cancelled", err, gss.Unavailable, context.Canceled)
	})
}

func (r *Recipient) entries() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.index.used
}

// Time passes: messages expire, keys are erased, lanes rest, contexts end.
func TestRecipientAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		bob.info.Expiry = time.Now().Add(30 * time.Hour)
		s := mustSender(t, alice)
		r := mustRecipient(t, &RecipientOptions{MaxLifetime: 24 * time.Hour}, bob)
		early := mustSeal(t, s, "early", &Options{Lifetime: MaxLifetime})
		got, err := r.Unseal(t.Context(), nil, early, nil)
		if err != nil || !got.Until.Equal(got.SealedAt.Add(24*time.Hour)) {
			t.Fatalf("%v", err)
		}
		if n := r.entries(); n != wActive {
			t.Errorf("%d entries", n)
		}
		src := r.sources[1]
		time.Sleep(2*time.Hour + time.Minute)
		src.mu.Lock()
		cold := src.hot == nil
		src.mu.Unlock()
		if n := r.entries(); n != wIdle || !cold {
			t.Errorf("idle: %d entries, cold %v", n, cold)
		}
		time.Sleep(22*time.Hour + 2*time.Minute)
		if _, err := r.Unseal(t.Context(), nil, early, nil); err != nil {
			t.Errorf("a day old, less than Skew over: %v", err)
		}
		time.Sleep(10 * time.Minute)
		_, err = r.Unseal(t.Context(), nil, early, nil)
		wantMajor(t, "too old", err, gss.OldToken, ErrExpired)
		time.Sleep(time.Hour)
		_, err = r.Unseal(t.Context(), nil, early, nil)
		wantMajor(t, "its hour erased", err, gss.OldToken, ErrErased)
		time.Sleep(40 * time.Hour)
		if r.Len() != 0 || r.entries() != 0 {
			t.Errorf("%d contexts, %d entries long after the end", r.Len(), r.entries())
		}
		_, err = r.Unseal(t.Context(), nil, early, nil)
		wantMajor(t, "from a context that is gone", err, gss.BadMIC, nil)
	})
}

// Messages of two hours come mixed.
func TestFullHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := pair("alice", "bob")
		s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
		var ms [][]byte
		for range 4 {
			for range 3 {
				ms = append(ms, mustSeal(t, s, "x", &Options{Lifetime: 5 * time.Hour}))
			}
			time.Sleep(time.Hour)
		}
		for i := range 60 {
			if _, err := r.Unseal(t.Context(), nil, ms[i*5%len(ms)], nil); err != nil {
				t.Fatal(err)
			}
		}
		// States of erased hours are dropped with their keys.
		src := r.sources[1]
		src.mu.Lock()
		defer src.mu.Unlock()
		src.raise(time.Now().Add(MaxLifetime).UnixMilli() - epochMS/2)
		for i, x := range src.hot.x {
			if (x.mac != nil) != (src.hot.epoch[i] >= src.keys.tree.low) {
				t.Errorf("epoch %d, low %d: %v", src.hot.epoch[i], src.keys.tree.low, x.mac != nil)
			}
		}
	})
}

// Two contexts between the same two: each message is of one of them.
func TestTwoContexts(t *testing.T) {
	alice1, bob1 := pair("alice", "bob")
	bob2, alice2 := pair("bob", "alice")
	r := NewRecipient(nil)
	defer r.Close()
	src1, err := r.Add(bob1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Add(bob2); err != nil {
		t.Fatal(err)
	}
	s1, s2 := mustSender(t, alice1), mustSender(t, alice2)
	m1, m2 := mustSeal(t, s1, "one", nil), mustSeal(t, s2, "two", nil)
	for want, m := range map[string][]byte{"one": m1, "two": m2} {
		if got, err := r.Unseal(t.Context(), nil, m, nil); err != nil || string(got.Body) != want || got.Originator != src1.Originator() {
			t.Errorf("%s: %v", want, err)
		}
	}
	src1.Remove()
	src1.Remove()
	_, err = r.Unseal(t.Context(), nil, m1, nil)
	wantMajor(t, "removed", err, gss.BadMIC, nil)
	if _, err := r.Unseal(t.Context(), nil, m2, nil); err != nil || r.Len() != 1 {
		t.Errorf("%v", err)
	}
	// The same context twice: removing one leaves the other.
	twice, _ := r.Add(bob1)
	if _, err := r.Add(bob1.imported()); err != nil {
		t.Fatal(err)
	}
	twice.Remove()
	if _, err := r.Unseal(t.Context(), nil, m1, nil); err != nil {
		t.Error(err)
	}
	r.Close()
	r.Close()
	_, err = r.Unseal(t.Context(), nil, m2, nil)
	wantMajor(t, "closed", err, gss.BadMIC, nil)
	_, err = r.Add(bob1)
	wantMajor(t, "closed", err, gss.NoContext, nil)
}

// Senders seal and contexts come and go while messages are unsealed.
func TestConcurrent(t *testing.T) {
	r := mustRecipient(t, nil)
	alice, bob := pair("alice", "bob")
	if _, err := r.Add(bob); err != nil {
		t.Fatal(err)
	}
	s := mustSender(t, alice)
	var wg sync.WaitGroup
	var done atomic.Bool
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				m := mustSeal(t, s, fmt.Sprint(g, i), &Options{OneTime: i%2 == 0})
				if i%3 == 0 {
					runtime.Gosched()
				}
				if got, err := r.Unseal(t.Context(), nil, m, nil); err != nil || string(got.Body) != fmt.Sprint(g, i) {
					t.Errorf("%d %d: %v", g, i, err)
				}
			}
		})
	}
	var comers sync.WaitGroup
	for g := range 2 {
		comers.Go(func() {
			for i := 0; !done.Load(); i++ {
				a, b := pair(fmt.Sprint(g, "-", i), "bob")
				src, err := r.Add(b)
				if err != nil {
					t.Error(err)
					return
				}
				as, err := NewSender(a)
				if err != nil {
					t.Error(err)
					return
				}
				m := mustSeal(t, as, "x", nil)
				if _, err := r.Unseal(t.Context(), nil, m, nil); err != nil {
					t.Error(err)
				}
				var both sync.WaitGroup
				both.Go(src.Remove)
				both.Go(func() {
					_, err := r.Unseal(t.Context(), nil, m, nil)
					if mj := gss.MajorOf(err); err != nil && mj != gss.BadMIC && mj != gss.NoContext {
						t.Error(err)
					}
				})
				both.Go(func() { r.eraseOld() })
				both.Wait()
				as.Close()
			}
		})
	}
	wg.Wait()
	done.Store(true)
	comers.Wait()
	if r.Len() != 1 {
		t.Errorf("%d contexts left", r.Len())
	}
}

// Into buffers that are big enough, the cipher of the message is all that is
// allocated: its key schedule and its mode.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	body := make([]byte, 1000)
	sealed, opened := make([]byte, 0, Size(len(body))), make([]byte, 0, Size(len(body)))
	for what, o := range map[string]*Options{"plain": nil, "by relay": {Relay: mn("carol")}} {
		u := &UnsealOptions{RelayNames: []gss.Name{mn("carol")}}
		var m []byte
		var err error
		if n := testing.AllocsPerRun(50, func() { m, err = s.Seal(sealed, body, o) }); n > 2 || err != nil {
			t.Errorf("%s: Seal allocates %v times, %v", what, n, err)
		}
		if n := testing.AllocsPerRun(50, func() { _, err = r.Unseal(context.Background(), opened, m, u) }); n > 2 || err != nil {
			t.Errorf("%s: Unseal allocates %v times, %v", what, n, err)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	// The same messages in every process.
	c := &clock{t: time.Unix(497490*3600, 0)}
	alice, bob := pair("alice", "bob")
	s, err := newSender(alice, c.now)
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	s.fixedSalt = new([saltSize]byte)
	r := newRecipient(&RecipientOptions{ScanRate: math.MaxInt}, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		f.Fatal(err)
	}
	genuine := map[string]bool{}
	for i := range 4 {
		m, err := s.Seal(nil, make([]byte, i*100), nil)
		if err != nil {
			f.Fatal(err)
		}
		genuine[string(m)] = true
		f.Add(m)
		f.Add(m[:len(m)-1])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := r.Unseal(t.Context(), nil, in, &UnsealOptions{Unbound: true})
		if (err == nil) != genuine[string(in)] {
			t.Errorf("%d octets of body, %v", len(got.Body), err)
		}
		if _, ok := errors.AsType[*gss.Error](err); err != nil && !ok {
			t.Errorf("untyped: %v", err)
		}
	})
}
