package seal

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// The table of threats in the specification names the tests that fail without what
// stops them: they are there. Its numbers are those of this package.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/seal.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, glob := range []string{"*_test.go", "sealtest/*.go", "boltstate/*_test.go", "../strike/*_test.go", "../strike/striketest/*.go", "../formal/*_test.go"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			code, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`).FindAllSubmatch(code, -1) {
				there[string(m[1])] = true
			}
		}
	}
	_, table, ok := strings.Cut(string(doc), "\n## Threats\n")
	table, _, ok2 := strings.Cut(table, "\n## ")
	if !ok || !ok2 {
		t.Fatal("no section Threats")
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`")
	rows := 0
	for line := range strings.SplitSeq(table, "\n") {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") == 4 {
			if rows++; rows > 1 && !name.MatchString(line) {
				t.Errorf("no test in %q", line)
			}
		}
	}
	if rows < 25 {
		t.Errorf("a table of %d rows", rows)
	}
	for _, m := range name.FindAllStringSubmatch(string(doc), -1) {
		if !there[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	vectors, _ := filepath.Glob("testdata/vectors/*.txt")
	var files []string
	for _, f := range vectors {
		files = append(files, strings.TrimSuffix(filepath.Base(f), ".txt"))
	}
	for _, m := range regexp.MustCompile("vector `([a-z0-9-]+)`").FindAllSubmatch(doc, -1) {
		if !slices.Contains(files, string(m[1])) {
			t.Errorf("there is no vector %s", m[1])
		}
	}
}

// An element of GF(2^128) as GHASH has it: the first bit of the first octet is the
// coefficient of 1.
type element [2]uint64

func toElement(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (x element) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, x[0]), x[1])
}

func (x element) add(y element) element { return element{x[0] ^ y[0], x[1] ^ y[1]} }

func (x element) mul(y element) (z element) {
	for i := range 128 {
		if x[i/64]>>(63-i%64)&1 == 1 {
			z = z.add(y)
		}
		carry := y[1] & 1
		y[1] = y[1]>>1 | y[0]<<63
		y[0] = y[0]>>1 ^ carry*(0xe1<<56)
	}
	return z
}

// inverse is x^(2^128 - 2).
func (x element) inverse() element {
	r := element{1 << 63}
	for range 127 {
		x = x.mul(x)
		r = r.mul(x)
	}
	return r
}

// twoKeys changes one block of the ciphertext c, number free, so that its GCM tag is
// the same under both keys with a zero nonce, and returns c and that tag.
func twoKeys(t *testing.T, k1, k2, c []byte, free int) []byte {
	t.Helper()
	var hs, masks [2]element
	for i, k := range [][]byte{k1, k2} {
		b, err := aes.NewCipher(k)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 16)
		b.Encrypt(out, out)
		hs[i] = toElement(out)
		j0 := make([]byte, 16)
		j0[15] = 1
		b.Encrypt(out, j0)
		masks[i] = toElement(out)
	}
	c = bytes.Clone(c)
	clear(c[free*16:][:16])
	// tag = mask + sum of block[i]·H^(n+1-i) + length·H
	n := len(c) / 16
	length := element{0, uint64(len(c)) * 8}
	var tags, weights [2]element
	for i, h := range hs {
		var sum element
		for b := range n {
			sum = sum.add(toElement(c[b*16:])).mul(h)
		}
		tags[i] = sum.add(length).mul(h).add(masks[i])
		w := h
		for range n - free {
			w = w.mul(h)
		}
		weights[i] = w
	}
	x := tags[0].add(tags[1]).mul(weights[0].add(weights[1]).inverse())
	copy(c[free*16:], x.bytes())
	return append(c, tags[0].add(x.mul(weights[0])).bytes()...)
}

// A ciphertext that AES-256-GCM opens under two contexts' keys, made by whoever has
// both, is a message of one context alone, even if its tag T and its U are those of
// both contexts: the commitment says which.
func TestTwoKeys(t *testing.T) {
	at := time.Unix(497490*3600, 0)
	c := &clock{t: at}
	alice, bob := pair("alice", "bob")
	_, bob2 := pair("alice", "bob, again") // another key
	bob2.info = bob.info
	recipients := [2]*Recipient{}
	sources := [2]*Source{}
	for i, sc := range []*testContext{bob, bob2} {
		recipients[i] = newRecipient(nil, c.now)
		defer recipients[i].Close()
		src, err := recipients[i].Add(sc)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = src
	}
	// The worst that can be: only the hours' keys differ.
	sources[1].keys.tag, sources[1].keys.hdr = sources[0].keys.tag, sources[0].keys.hdr
	refs := [2]refKeys{}
	for i, sc := range []*testContext{alice, bob2} {
		root, _ := sc.PRF(gss.PRFFull, []byte(labelSeal), 64)
		refs[i] = refDerive(root, oid.Krb5.AppendDER(nil), "i2a")
	}

	hAlice, _ := hashName(mn("alice"))
	hBob, _ := hashName(mn("bob"))
	body := bytes.Repeat([]byte("body"), 16) // 64 octets: blocks 10 to 13
	h := refHeader{version: 1, bodyLen: 64, sealedAt: at.UnixMilli(), notAfter: at.UnixMilli() + 1000, from: hAlice, to: hBob, body: body}
	p := h.plaintext()
	tu := refs[0].refTU(0, 497490, len(p), "saltsalt!")
	var keys, commits [2][]byte
	for i, k := range refs {
		kc := refExpand(k.epoch(497490), append([]byte("msg"), tu...), 64)
		keys[i], commits[i] = kc[:32], kc[32:]
	}
	sealed := refGCM(keys[0], nil, p)
	sealed = twoKeys(t, keys[0], keys[1], sealed[:len(p)], 12)
	for i, k := range keys {
		a, err := newGCM(k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Open(nil, zeroNonce[:], sealed, nil)
		if err != nil {
			t.Fatalf("GCM does not open it under key %d: that is not the ciphertext meant here", i)
		}
		if i == 0 && !bytes.Equal(got[:192], p[:192]) {
			t.Error("more than a block is changed")
		}
	}
	for i := range commits {
		m := bytes.Join([][]byte{tu, commits[i], sealed}, nil)
		got, err := recipients[i].Unseal(t.Context(), nil, m, nil)
		if i == 0 {
			if err != nil || !bytes.Equal(got.Body[:32], body[:32]) {
				t.Errorf("under its own context: %v", err)
			}
		} else {
			wantMajor(t, "under the other, with its commitment: authentic, and no message", err, gss.DefectiveToken, errHeader)
		}
		_, err = recipients[1-i].Unseal(t.Context(), nil, m, nil)
		wantMajor(t, "with the commitment of the other context", err, gss.BadMIC, nil)
	}
}

// An originator that was cloned, random generator, clock and all, seals twice under
// one number: what differs in body or time is under another key.
func TestClonedOriginator(t *testing.T) {
	alice, bob := pair("alice", "bob")
	c := &clock{t: time.Unix(497490*3600, 0)}
	seal := func(secret [32]byte, body string, later time.Duration, o *Options) []byte {
		t.Helper()
		s, err := newSender(alice.imported(), c.now)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.lane, s.count, s.pid = 0, 7, 1
		s.saltMAC = newHMAC(&secret) // drawn before the snapshot
		cryptotest.SetGlobalRandom(t, 1)
		c.add(later)
		defer c.add(-later)
		m, err := s.Seal(nil, []byte(body), o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	base := seal([32]byte{1}, "one body", 0, nil)
	if !bytes.Equal(base, seal([32]byte{1}, "one body", 0, nil)) {
		t.Fatal("the same of everything makes two messages: this test does not repeat what it should")
	}
	r := newRecipient(&RecipientOptions{Store: seenStore{}}, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		t.Fatal(err)
	}
	late := string(append(bytes.Repeat([]byte{1}, 4096), 2))
	for what, m := range map[string][]byte{
		"another body":            seal([32]byte{1}, "two body", 0, nil),
		"another length":          seal([32]byte{1}, "one body.", 0, nil),
		"a nanosecond later":      seal([32]byte{1}, "one body", 1, nil),
		"another process":         seal([32]byte{2}, "one body", 0, nil),
		"another claim":           seal([32]byte{1}, "one body", 0, &Options{OneTime: true}),
		"another relay":           seal([32]byte{1}, "one body", 0, &Options{Relay: mn("carol")}),
		"another lifetime":        seal([32]byte{1}, "one body", 0, &Options{Lifetime: time.Minute}),
		"a long body":             seal([32]byte{1}, late, 0, nil),
		"a long body, and longer": seal([32]byte{1}, late+late, 0, nil),
	} {
		if !bytes.Equal(m[:16], base[:16]) {
			t.Errorf("%s: T differs, so that the number is another", what)
		}
		for i := 16; i < len(base); i += 16 {
			if bytes.Equal(m[i:][:16], base[i:][:16]) {
				t.Errorf("%s: octets %d to %d repeat", what, i, i+16)
			}
		}
		if _, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{RelayNames: []gss.Name{mn("carol")}}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The recipient's clock jumps ahead and falls back: what was erased stays erased,
// and nothing opens that the clock does not allow.
func TestRecipientClockBack(t *testing.T) {
	alice, bob := pair("alice", "bob")
	c := &clock{t: time.Unix(497490*3600, 0)}
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
	old := mustSeal(t, s, "old", &Options{Lifetime: MaxLifetime})
	if _, err := r.Unseal(t.Context(), nil, old, nil); err != nil {
		t.Fatal(err)
	}
	const ahead = MaxLifetime + 2*time.Hour
	c.add(ahead)
	late := mustSeal(t, s, "late", nil)
	if _, err := r.Unseal(t.Context(), nil, late, nil); err != nil { // whereupon the hour is erased
		t.Fatal(err)
	}
	c.add(-ahead)
	_, err = r.Unseal(t.Context(), nil, old, nil)
	wantMajor(t, "what was good at this time once", err, gss.OldToken, ErrErased)
	_, err = r.Unseal(t.Context(), nil, late, nil)
	wantMajor(t, "what is of the future now", err, gss.OldToken, ErrNotYet)
	_, err = s.Seal(nil, nil, nil)
	wantMajor(t, "and the sender's", err, gss.Failure, ErrClock)
}

// BenchmarkRefuse is what an outsider can time: how long the recipient takes to
// refuse each kind of message, alone or among many contexts.
func BenchmarkRefuse(b *testing.B) {
	for _, contexts := range []string{"1", "1000"} {
		alice, bob := pair("alice", "bob")
		s := mustSender(b, alice)
		r := mustRecipient(b, &RecipientOptions{ScanRate: math.MaxInt, Quota: 1 << 30, Store: seenStore{}})
		if contexts != "1" {
			for i := range 999 {
				_, sc := pair(string(rune(i)), "bob")
				if _, err := r.Add(sc); err != nil {
					b.Fatal(err)
				}
			}
		}
		if _, err := r.Add(bob); err != nil {
			b.Fatal(err)
		}
		opened := make([]byte, 0, 2048)
		body := make([]byte, 1024)
		for _, x := range []struct {
			name  string
			o     Options
			flip  int // this octet; -1: none
			major gss.Major
		}{
			{"accepted", Options{}, -1, 0},
			{"one-time, accepted", Options{OneTime: true}, -1, 0},
			{"unknown", Options{}, 0, gss.BadMIC},
			{"U damaged", Options{}, 16, gss.BadMIC},
			{"wrong key (C)", Options{}, 40, gss.BadMIC},
			{"ciphertext damaged", Options{}, 100, gss.BadMIC},
			{"wrong relay", Options{Relay: mn("carol")}, -1, gss.BadName},
			{"proof missing", Options{}, -1, gss.BadBindings},
		} {
			b.Run(contexts+"/"+x.name, func(b *testing.B) {
				var rs relaySecret
				if x.major == gss.BadBindings {
					rs.by = byCarried
				}
				// The time to seal does not count.
				var ms [][]byte
				n := 0
				for b.Loop() {
					if n == len(ms) {
						b.StopTimer()
						ms, n = ms[:0], 0
						// It is found wherever it comes in its lane; what follows is expected.
						if _, err := r.Unseal(b.Context(), opened, mustSeal(b, s, "", nil), nil); err != nil {
							b.Fatal(err)
						}
						for range wActive {
							m, _, err := s.seal(nil, body, &x.o, 0, rs)
							if err != nil {
								b.Fatal(err)
							}
							if x.flip >= 0 {
								m[x.flip] ^= 1
							}
							ms = append(ms, m)
						}
						b.StartTimer()
					}
					_, err := r.Unseal(b.Context(), opened, ms[n], nil)
					if gss.MajorOf(err) != x.major {
						b.Fatal(err)
					}
					n++
				}
			})
		}
	}
}
