package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gsseal/gss"
)

// A wireStats counts octets by their place in the first 336, and all of them.
type wireStats struct {
	messages int
	at       [336][256]uint32
	all      [256]uint64
	tags     [][2]uint64
	uc       []uint64 // first 8 octets of U and of C
	lengths  map[int]int
}

func (s *wireStats) add(m []byte) {
	s.messages++
	for i, b := range m[:336] {
		s.at[i][b]++
	}
	for _, b := range m[336:] {
		s.all[b]++
	}
	be := binary.BigEndian
	s.tags = append(s.tags, [2]uint64{be.Uint64(m), be.Uint64(m[8:])})
	s.uc = append(s.uc, be.Uint64(m[16:]), be.Uint64(m[32:]))
	s.lengths[len(m)]++
}

func (s *wireStats) merge(o *wireStats) {
	s.messages += o.messages
	for i := range s.at {
		for b, n := range o.at[i] {
			s.at[i][b] += n
		}
	}
	for b, n := range o.all {
		s.all[b] += n
	}
	s.tags, s.uc = append(s.tags, o.tags...), append(s.uc, o.uc...)
	for l, n := range o.lengths {
		s.lengths[l] += n
	}
}

// sigmas says how far sum is from half of n bits, in standard deviations.
func sigmas(ones, n uint64) float64 {
	return math.Abs(float64(ones)-float64(n)/2) / math.Sqrt(float64(n)/4)
}

// chiSquare returns what 256 counts are off being equal, as a normal deviate
// (Wilson and Hilferty's approximation, 255 degrees of freedom).
func chiSquare(counts func(b int) uint64) float64 {
	var n uint64
	for b := range 256 {
		n += counts(b)
	}
	want, x := float64(n)/256, 0.0
	for b := range 256 {
		d := float64(counts(b)) - want
		x += d * d / want
	}
	const df = 255
	return (math.Cbrt(x/df) - (1 - 2.0/(9*df))) / math.Sqrt(2.0/(9*df))
}

// limitSigmas: random octets go beyond it once in 10^8 runs or so, all places and
// tests taken together.
const limitSigmas = 7

// faults says what tells these messages from random ones, and from each other.
func (s *wireStats) faults() (faults []string) {
	found := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	total := s.all
	for i := range s.at {
		var ones [8]uint64
		for b, n := range s.at[i] {
			total[b] += uint64(n)
			for bit := range ones {
				ones[bit] += uint64(n) * uint64(b>>bit&1)
			}
		}
		for bit, n := range ones {
			if x := sigmas(n, uint64(s.messages)); x > limitSigmas {
				found("bit %d of octet %d is set in %d of %d messages: %.1f σ", bit, i, n, s.messages, x)
			}
		}
		if x := chiSquare(func(b int) uint64 { return uint64(s.at[i][b]) }); x > limitSigmas {
			found("the values of octet %d are not equally frequent: %.1f σ", i, x)
		}
	}
	var ones, octets uint64
	for b, n := range total {
		ones, octets = ones+n*uint64(bits.OnesCount8(uint8(b))), octets+n
	}
	if x := sigmas(ones, octets*8); x > limitSigmas {
		found("%d of %d bits are set: %.1f σ", ones, octets*8, x)
	}
	if x := chiSquare(func(b int) uint64 { return total[b] }); x > limitSigmas {
		found("the values of octets are not equally frequent: %.1f σ", x)
	}
	slices.SortFunc(s.tags, func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
	for i := range s.tags[1:] {
		if s.tags[i] == s.tags[i+1] {
			found("the tag %x comes twice", s.tags[i])
		}
	}
	slices.Sort(s.uc)
	for i := range s.uc[1:] { // 2^41 pairs of 64 bits
		if s.uc[i] == s.uc[i+1] {
			found("%x begins U or C twice", s.uc[i])
		}
	}
	for l := range s.lengths {
		if n := l - 80; l < 336 || refPADME(n) != n {
			found("a message of %d octets", l)
		}
	}
	return faults
}

// A million messages of a hundred originators, with every claim and of all sorts of
// lengths, most of them alike in all but their number: nothing tells them from as many
// random octets, or which have the same originator, and no name is in them in any form.
func TestStatistics(t *testing.T) {
	messages := 1_000_000
	if raceDetector || testing.Short() {
		messages = 40_000
		t.Logf("%d messages and not 1,000,000: under the race detector, or with -short, that would take minutes", messages)
	}
	const workers, originators = 2, 100
	names := []gss.Name{mn("carol@STATISTICS.EXAMPLE"), mn("host/bob@STATISTICS.EXAMPLE")}
	for i := range originators {
		names = append(names, mn(fmt.Sprintf("alice%03d@STATISTICS.EXAMPLE", i)))
	}
	var sought [][]byte
	for _, n := range names {
		exported, err := n.Export()
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256(exported)
		if len(sought) < 40 { // all the texts share what is sought below
			sought = append(sought, h[:8])
		}
	}
	exported, _ := names[0].Export()
	sought = append(sought, []byte("STATISTICS"), []byte("alice0"), []byte("alice1"), []byte("host/bob"), exported[:16], []byte("plain body"))

	stats := wireStats{lengths: map[int]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			s := &wireStats{lengths: map[int]int{}}
			rnd := mathrand.New(mathrand.NewPCG(uint64(w), 1))
			body := bytes.Repeat([]byte("plain body "), 4000/11)
			block := make([]byte, 0, 1<<17)
			search := func() {
				for _, x := range sought {
					if bytes.Contains(block, x) {
						t.Errorf("%q is on the wire", x)
					}
				}
				block = block[:0]
			}
			for i := w; i < originators; i += workers {
				alice, _ := pair(names[2+i].Text, names[1].Text)
				sender, err := NewSender(alice)
				if err != nil {
					t.Error(err)
					return
				}
				o := &Options{}
				for n := range messages / originators {
					size := 0
					switch {
					case n%64 == 0:
						size = rnd.IntN(len(body))
					case n%2 == 0:
						size = 5
					}
					if o.OneTime, o.Relay = n&1 != 0, (gss.Name{}); n&2 != 0 {
						o.Relay = names[0]
					}
					at := len(block)
					if block, err = sender.Seal(block, body[:size], o); err != nil {
						t.Error(err)
						return
					}
					s.add(block[at:])
					if len(block) > 1<<16 {
						search()
					}
				}
				search()
				sender.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			stats.merge(s)
		})
	}
	wg.Wait()
	if stats.messages != messages || len(stats.lengths) < 20 {
		t.Errorf("%d messages of %d lengths", stats.messages, len(stats.lengths))
	}
	for _, f := range stats.faults() {
		t.Error(f)
	}
}

// What TestStatistics looks for it finds: messages of random octets have no fault,
// and each of a few small ones is noticed.
func TestStatisticsNotice(t *testing.T) {
	const messages = 10_000
	// twice lets some octets of the last message be those of the first.
	twice := func(from, to int) func(int, []byte) []byte {
		var first []byte
		return func(i int, m []byte) []byte {
			switch i {
			case 0:
				first = bytes.Clone(m[from:to])
			case messages - 1:
				copy(m[from:to], first)
			}
			return m
		}
	}
	for what, change := range map[string]func(i int, m []byte) []byte{
		"":          func(i int, m []byte) []byte { return m },
		"a version": func(i int, m []byte) []byte { m[0] = 1; return m },
		"a bit set in one of ten": func(i int, m []byte) []byte {
			if i%10 == 0 {
				m[200] |= 16
			}
			return m
		},
		"a counter":              func(i int, m []byte) []byte { m[17] = byte(i / 100); return m },
		"printable":              func(i int, m []byte) []byte { m[335] = m[335]%95 + 32; return m },
		"a repeated tag":         twice(0, 16),
		"a repeated salt":        twice(16, 32),
		"a repeated commitment":  twice(32, 64),
		"an octet more":          func(i int, m []byte) []byte { return append(m, m[0]) },
		"zeros behind the first": func(i int, m []byte) []byte { return append(m, make([]byte, 16)...) },
	} {
		s := wireStats{lengths: map[int]int{}}
		m := make([]byte, 336, 400)
		for i := range messages {
			rand.Read(m)
			s.add(change(i, m))
		}
		if f := s.faults(); (len(f) == 0) != (what == "") {
			t.Errorf("%q: %q", what, f)
		}
	}
}
