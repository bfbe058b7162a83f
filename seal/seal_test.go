package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// wantMajor fails unless err has this Major and cause (nil: any).
func wantMajor(t *testing.T, what string, err error, m gss.Major, cause error) {
	t.Helper()
	if _, ok := errors.AsType[*gss.Error](err); !ok || gss.MajorOf(err) != m || cause != nil && !errors.Is(err, cause) {
		t.Errorf("%s: %v, want %v (%v)", what, err, m, cause)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// The known answer of an independent implementation.
func TestKnownAnswer(t *testing.T) {
	r := make([]byte, 64)
	for i := range r {
		r[i] = byte(i)
	}
	der := unhex("06092a864886f712010202")
	if !bytes.Equal(oid.Krb5.AppendDER(nil), der) {
		t.Fatal("OID")
	}
	p := append([]byte{1}, make([]byte, 255)...)
	copy(p[160:], "hello")
	want := map[string]string{
		"E": "c499acdc51df8a8055c12f4504c8f4bebf56645df3a9d40bc59eeb130f247f37",
		"T": "92a9cc4a54c240be42f4dccd983cfea3",
		"U": "8f52545aa5735f01589f2db63d8f95c4",
		"C": "07398133f23c115a15840f96450d5e6e19d6aeda9771aeccc15f4fac9a503669",
		"M": "783e77768b3622c8f1fb60b097dab06286d91a2e6827f2acb30567753637f125",
	}

	k := refDerive(r, der, "i2a")
	m := k.seal(7, 497490, "saltsalt!", p, nil)
	sum := sha256.Sum256(m)
	for name, got := range map[string][]byte{"E": k.epoch(497490), "T": m[:16], "U": m[16:32], "C": m[32:64], "M": sum[:]} {
		if hex.EncodeToString(got) != want[name] {
			t.Errorf("reference: %s %x, want %s", name, got, want[name])
		}
	}

	l := link{mech: oid.Krb5}
	if err := l.derive(bytes.Clone(r), "i2a", 497480, 497490); err != nil {
		t.Fatal(err)
	}
	leaf, ok := l.tree.leaf(497490)
	if !ok || hex.EncodeToString(leaf[:]) != want["E"] {
		t.Errorf("E %x", leaf)
	}
	// The message, through the recipient's half.
	s := &Source{r: NewRecipient(nil), keys: &l}
	defer s.r.Close()
	s.keys.established = time.Unix(497490*3600, 0)
	var got match
	if f := s.match(m, true, 497490*epochMS, &got); f != fits || got.n != 7 || got.e != 497490 || got.size != 336 {
		t.Errorf("match: %d, %+v", f, got)
	}
	a, err := newGCM(got.key[:])
	if err != nil {
		t.Fatal(err)
	}
	if q, err := a.Open(nil, zeroNonce[:], m[64:], nil); err != nil || !bytes.Equal(q, p) {
		t.Errorf("open: %v", err)
	}
}

// The sender's half: octet for octet what the reference makes.
func TestSenderAgainstReference(t *testing.T) {
	at := time.Unix(497490*3600+1234, 567e6)
	for _, d := range []string{"i2a", "a2i"} {
		alice, bob := pair("alice", "bob")
		if d == "a2i" {
			bob, alice = pair("bob", "alice")
		}
		root, _ := alice.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
		k := refDerive(root, oid.Krb5.AppendDER(nil), d)
		c := &clock{t: at}
		s, err := newSender(alice, c.now)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.fixedSalt = (*[saltSize]byte)([]byte("saltsalt!"))
		r := newRecipient(nil, c.now)
		defer r.Close()
		if _, err := r.Add(bob); err != nil {
			t.Fatal(err)
		}
		name := func(text string) [32]byte {
			der := oid.Krb5.AppendDER(nil)
			b := append([]byte{4, 1, 0, byte(len(der))}, der...)
			return sha256.Sum256(append(append(b, 0, 0, 0, byte(len(text))), text...))
		}
		for n, size := range []int{0, 1, 96, 97, 1000, 5000, 70000} {
			body := bytes.Repeat([]byte{'x'}, size)
			h := refHeader{
				version: 1, flags: 0x02, bodyLen: uint32(size), n: uint64(n),
				sealedAt: at.UnixMilli(), notAfter: at.UnixMilli() + 120000,
				from: name("alice"), to: name("bob"), relay: name("carol"), body: body,
			}
			want := k.seal(uint64(n), 497490, "saltsalt!", h.plaintext(), []byte("data"))
			got, err := s.Seal([]byte("dst"), body, &Options{Relay: mn("carol"), Lifetime: 2 * time.Minute, Data: []byte("data")})
			if err != nil || !bytes.Equal(got, append([]byte("dst"), want...)) {
				t.Fatalf("%s, %d octets: %v, not what the reference makes", d, size, err)
			}
			if Size(size) != len(want) {
				t.Errorf("Size(%d) = %d, want %d", size, Size(size), len(want))
			}
			m, err := r.Unseal(t.Context(), nil, want, &UnsealOptions{RelayNames: []gss.Name{mn("carol")}, Data: []byte("data")})
			if err != nil || !bytes.Equal(m.Body, body) || m.N != uint64(n) || m.Relay != mn("carol") || m.Originator != mn("alice") ||
				m.Recipient != mn("bob") || !m.SealedAt.Equal(at) || !m.Until.Equal(at.Add(2*time.Minute)) || m.Claims != RelayByName {
				t.Fatalf("%s, %d octets: %+v, %v", d, size, m, err)
			}
			if m.StrikeKey != sha256.Sum256(append([]byte("gss seal strike 1"), want[:64]...)) {
				t.Error("strike key")
			}
		}
	}
}

func TestPadme(t *testing.T) {
	for n, want := range map[uint64]uint64{
		// Computed by hand from the definition.
		1: 1, 2: 2, 3: 3, 8: 8, 9: 10, 100: 104, 255: 256, 256: 256, 257: 272, 272: 272, 273: 288, 1000: 1024, 1184: 1216,
		65536: 65536, 65537: 67584, 1 << 20: 1 << 20, 1<<20 + 1: 1081344, 1<<31 - 1: 1 << 31,
	} {
		if got := padme(n); got != want {
			t.Errorf("padme(%d) = %d, want %d", n, got, want)
		}
	}
	for n := 4; n < 200000; n += 1 + n/97 {
		got := padme(uint64(n))
		if got != uint64(refPADME(n)) || padme(got) != got || got < uint64(n) || float64(got) > 1.12*float64(n)+8 {
			t.Errorf("padme(%d) = %d, reference %d", n, got, refPADME(n))
		}
	}
	if Size(0) != 336 || Size(96) != 336 || Size(97) != 80+272 || Size(-1) != 0 || Size(math.MaxInt) != 0 || Size(1<<31-161) != 0 {
		t.Error("Size")
	}
}

func TestTree(t *testing.T) {
	root := sha256.Sum256([]byte("root"))
	k := refKeys{root: root[:]}
	const low, high = 497490, 497490 + 725
	tr := newTree(&root, low, high)
	if n := len(tr.nodes); n < 1 || n > 2*treeHeight {
		t.Errorf("%d nodes", n)
	}
	check := func(from uint32) {
		t.Helper()
		for _, e := range []uint32{0, low - 1, from - 1, from, from + 1, from + 100, high - 1, high, high + 1, lastEpoch} {
			got, ok := tr.leaf(e)
			if want := e >= from && e <= high; ok != want || ok && !bytes.Equal(got[:], k.epoch(e)) {
				t.Fatalf("leaf(%d) from %d: %x, %v", e, from, got, ok)
			}
		}
	}
	check(low)
	for _, from := range []uint32{low + 1, low + 2, low + 3, low + 64, low + 511, low + 512, high - 200, high - 1} {
		old := tr.nodes
		tr.raise(from)
		for _, n := range old {
			if n != (node{}) {
				t.Fatal("an old node is not overwritten")
			}
		}
		check(from)
		tr.raise(from - 1) // never lowered
		check(from)
	}
	tr.raise(high + 1)
	if len(tr.nodes) != 0 {
		t.Error("nodes left beyond the end")
	}
	tr = newTree(&root, 0, lastEpoch)
	if got, ok := tr.leaf(lastEpoch); !ok || !bytes.Equal(got[:], k.epoch(lastEpoch)) || len(tr.nodes) != 1 {
		t.Error("the whole tree")
	}
}

// TestFlipsAndPrefixes: whatever is done to a message, the answer is BadMIC, and
// nothing of it is left behind dst.
func TestFlipsAndPrefixes(t *testing.T) {
	alice, bob := pair("alice", "bob")
	m := mustSeal(t, mustSender(t, alice), "secret body", nil)
	r := mustRecipient(t, nil, bob)
	dst := make([]byte, 0, len(m))
	refuse := func(what string, in []byte) {
		t.Helper()
		got, err := r.Unseal(t.Context(), dst, in, nil)
		if err == nil || gss.MajorOf(err) != gss.BadMIC || errors.Unwrap(err) != nil || got.Body != nil || !isZero(dst[:cap(dst)]) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for bit := range len(m) * 8 {
		f := bytes.Clone(m)
		f[bit/8] ^= 1 << (bit % 8)
		refuse(fmt.Sprintf("bit %d flipped", bit), f)
	}
	for n := range m {
		refuse(fmt.Sprintf("first %d octets", n), m[:n])
		refuse(fmt.Sprintf("without the first %d octets", n+1), m[n+1:])
	}
	refuse("one octet more", append(bytes.Clone(m), 0))
	_, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{Data: []byte{0}})
	wantMajor(t, "other Data", err, gss.BadMIC, nil)
	_, err = r.Unseal(t.Context(), nil, m, &UnsealOptions{From: mn("carol")})
	wantMajor(t, "From somebody else", err, gss.BadMIC, nil)

	back := mustRecipient(t, nil, alice)
	_, err = back.Unseal(t.Context(), nil, m, nil)
	wantMajor(t, "the other direction", err, gss.BadMIC, nil)

	got, err := r.Unseal(t.Context(), dst, m, &UnsealOptions{From: mn("alice")})
	if err != nil || string(got.Body) != "secret body" || &got.Body[0] != &dst[:cap(dst)][headerSize] {
		t.Errorf("untouched: %v", err)
	}
	if room := dst[:cap(dst)]; !isZero(room[:headerSize]) || !isZero(room[headerSize+len(got.Body):]) {
		t.Error("more than the body is left behind dst")
	}
}

// Numbers that come again, after a restored memory: T repeats and nothing else.
func TestRepeatedNumber(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s := mustSender(t, alice)
	a := mustSeal(t, s, "same body", nil)
	s.count = 0
	b := mustSeal(t, s, "same body", nil)
	if !bytes.Equal(a[:16], b[:16]) {
		t.Error("T differs")
	}
	for i := 16; i+16 <= len(a); i += 16 {
		if bytes.Equal(a[i:i+16], b[i:i+16]) {
			t.Errorf("octets %d to %d are the same", i, i+16)
		}
	}
	r := mustRecipient(t, nil, bob)
	for _, m := range [][]byte{a, b, a} {
		if got, err := r.Unseal(t.Context(), nil, m, nil); err != nil || string(got.Body) != "same body" {
			t.Errorf("%v", err)
		}
	}
}

func TestLanes(t *testing.T) {
	alice, _ := pair("alice", "bob")
	lane := func(sc Secret) uint32 { return mustSender(t, sc).lane }
	if l := lane(alice); l != 0 {
		t.Errorf("first sender: lane %d", l)
	}
	seen := map[uint32]bool{0: true}
	for _, sc := range []Secret{alice, alice, alice.imported(), noClaim{alice}} {
		l := lane(sc)
		if seen[l] {
			t.Errorf("lane %d comes twice", l)
		}
		seen[l] = true
	}
	s := mustSender(t, alice)
	s.lane, s.count = 1, 1<<32-1
	for range 3 {
		mustSeal(t, s, "", nil)
	}
	if s.lane == 1 || s.lane == 0 || s.count != 2 {
		t.Errorf("used up: lane %d, count %d", s.lane, s.count)
	}
}

// noClaim is a context that cannot say whether it is the first.
type noClaim struct{ Secret }

func TestWireContainsNothing(t *testing.T) {
	alice, bob := pair("alice@EXAMPLE.ORG", "host/bob@EXAMPLE.ORG")
	ac, _ := pair("alice@EXAMPLE.ORG", "carol@EXAMPLE.ORG")
	s := mustSender(t, alice)
	relay := mn("carol@EXAMPLE.ORG")
	var ms [][]byte
	for range 32 {
		ms = append(ms, mustSeal(t, s, strings.Repeat("plain body ", 8), &Options{Relay: relay, OneTime: true}))
	}
	hashes := [][]byte{[]byte("alice"), []byte("bob"), []byte("carol"), []byte("EXAMPLE"), []byte("plain body"), []byte(oid.Krb5), []byte("gss")}
	for _, n := range []gss.Name{alice.info.Local, bob.info.Local, relay, ac.info.Local} {
		h, _ := hashName(n)
		hashes = append(hashes, h[:8])
	}
	for i, m := range ms {
		for _, h := range hashes {
			if bytes.Contains(m, h) {
				t.Errorf("message %d contains %q", i, h)
			}
		}
		// No octet is the same everywhere.
		for j := range i {
			same := 0
			for k := range m {
				if m[k] == ms[j][k] {
					same++
				}
			}
			if same > len(m)/20 {
				t.Errorf("messages %d and %d have %d of %d octets in common", i, j, same, len(m))
			}
		}
	}
}

func TestSenderErrors(t *testing.T) {
	alice, _ := pair("alice", "bob")
	s := mustSender(t, alice)
	dst := []byte("dst")
	for what, o := range map[string]*Options{
		"too long":  {Lifetime: MaxLifetime + time.Millisecond},
		"negative":  {Lifetime: -1},
		"too short": {Lifetime: time.Microsecond},
	} {
		got, err := s.Seal(dst, nil, o)
		wantMajor(t, what, err, gss.Failure, ErrLifetime)
		if string(got) != "dst" {
			t.Error("dst changed")
		}
	}
	got, err := s.Seal(dst, nil, &Options{Relay: gss.User("carol")})
	wantMajor(t, "a user's name as relay", err, gss.NameNotMN, nil)
	if string(got) != "dst" {
		t.Error("dst changed")
	}
	s.Close()
	s.Close()
	_, err = s.Seal(nil, nil, nil)
	wantMajor(t, "closed", err, gss.NoContext, nil)

	bad := func(change func(*testContext)) error {
		sc, _ := pair("alice", "bob")
		change(sc)
		_, err := NewSender(sc)
		_, err2 := NewRecipient(nil).Add(sc)
		_, err3 := NewRelay(sc)
		if gss.MajorOf(err) != gss.MajorOf(err2) || gss.MajorOf(err) != gss.MajorOf(err3) {
			t.Errorf("%v, %v, %v", err, err2, err3)
		}
		return err
	}
	wantMajor(t, "no local name", bad(func(c *testContext) { c.info.Local = gss.Name{} }), gss.NameNotMN, nil)
	wantMajor(t, "no peer name", bad(func(c *testContext) { c.info.Peer = gss.User("bob") }), gss.NameNotMN, nil)
	wantMajor(t, "anonymous", bad(func(c *testContext) { c.info.Flags |= gss.Anon }), gss.Unauthorized, nil)
	wantMajor(t, "expired", bad(func(c *testContext) { c.info.Expiry = time.Now().Add(-time.Hour) }), gss.ContextExpired, nil)
	wantMajor(t, "no PRF", bad(func(c *testContext) { c.prfErr = gss.Unavailable }), gss.Unavailable, nil)
	sc, _ := pair("alice", "bob")
	_, err = NewSender(zeroPRF{sc})
	wantMajor(t, "erased PRF key", err, gss.Failure, errPRF)
}

type zeroPRF struct{ Secret }

func (zeroPRF) PRF(_ gss.PRFKey, _ []byte, n int) ([]byte, error) { return make([]byte, n), nil }

// The clock steps back: within Skew, sealed-at stays; beyond it, nothing is sealed.
func TestSenderClockBack(t *testing.T) {
	alice, bob := pair("alice", "bob")
	c := &clock{t: time.Unix(497490*3600, 0).Add(time.Minute)}
	s, err := newSender(alice, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := newRecipient(nil, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		t.Fatal(err)
	}
	c.add(-5 * time.Minute) // an hour that is erased
	m := mustSeal(t, s, "x", nil)
	got, err := r.Unseal(t.Context(), nil, m, nil)
	if err != nil || !got.SealedAt.Equal(time.Unix(497490*3600, 0)) {
		t.Errorf("back 4 minutes behind the hour: %v, %v", got.SealedAt, err)
	}
	c.add(-2 * time.Minute)
	_, err = s.Seal(nil, nil, nil)
	wantMajor(t, "back 6 minutes", err, gss.Failure, ErrClock)
	c.add(10 * time.Minute)
	mustSeal(t, s, "x", nil)
}

func TestSenderExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, _ := pair("alice", "bob")
		alice.info.Expiry = time.Now().Add(90 * time.Minute)
		s := mustSender(t, alice)
		forever, _ := pair("alice", "carol")
		f := mustSender(t, forever)
		time.Sleep(90 * time.Minute)
		mustSeal(t, s, "", nil)
		time.Sleep(time.Millisecond)
		_, err := s.Seal(nil, nil, nil)
		wantMajor(t, "past expiry", err, gss.ContextExpired, nil)
		time.Sleep(MaxContext - 91*time.Minute)
		mustSeal(t, f, "", nil)
		time.Sleep(2 * time.Hour)
		_, err = f.Seal(nil, nil, nil)
		wantMajor(t, "30 days old", err, gss.ContextExpired, nil)
		for _, s := range []*Sender{s, f} {
			s.mu.Lock()
			if len(s.tree.nodes) != 0 {
				t.Error("keys left after the end")
			}
			s.mu.Unlock()
		}
	})
}
