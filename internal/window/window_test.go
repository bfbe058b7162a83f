package window

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gsseal/gss"
)

type arrival struct {
	n    uint64
	want error
}

func TestWindow(t *testing.T) {
	const top = math.MaxUint64
	for _, tt := range []struct {
		name             string
		first            uint64
		replay, sequence bool
		arrivals         []arrival
	}{
		{"neither", 0, false, false, []arrival{{0, nil}, {0, nil}, {9, nil}, {3, nil}, {3, nil}, {top, nil}}},
		{"in order", 5, true, true, []arrival{{5, nil}, {6, nil}, {7, nil}}},
		{"sequence alone finds replays", 0, false, true, []arrival{{0, nil}, {0, gss.DuplicateToken}, {1, nil}}},
		{"gap, then late, then both again", 0, true, true, []arrival{
			{0, nil}, {3, gss.GapToken}, {4, nil}, {1, gss.UnseqToken}, {3, gss.DuplicateToken}, {1, gss.DuplicateToken},
			{2, gss.UnseqToken}, {5, nil}}},
		{"gap at the start", 0, true, true, []arrival{{1, gss.GapToken}, {0, gss.UnseqToken}, {0, gss.DuplicateToken}, {2, nil}}},
		{"replay only, any order", 0, true, false, []arrival{
			{7, nil}, {3, nil}, {3, gss.DuplicateToken}, {0, nil}, {7, gss.DuplicateToken}, {0, gss.DuplicateToken}, {500, nil}, {7, gss.OldToken}}},
		{"edge of the window", 0, true, false, []arrival{
			{1000, nil}, {1000 - Size + 1, nil}, {1000 - Size, gss.OldToken}, {1000 - Size + 1, gss.DuplicateToken}}},
		{"edge of the window, sequence", 0, true, true, []arrival{
			{1000, gss.GapToken}, {1000 - Size + 1, gss.UnseqToken}, {1000 - Size, gss.OldToken}, {1001, nil}, {1001 - Size + 1, gss.UnseqToken}}},
		{"wraps", top - 1, true, true, []arrival{
			{top - 1, nil}, {top, nil}, {0, nil}, {1, nil}, {top, gss.DuplicateToken}, {0, gss.DuplicateToken}, {3, gss.GapToken}, {2, gss.UnseqToken}}},
		{"jumps over the wrap", top - 1, true, true, []arrival{{5, gss.GapToken}, {top, gss.UnseqToken}, {6, nil}}},
		{"before the first", 10, true, false, []arrival{{9, gss.OldToken}, {10, nil}, {9, gss.OldToken}, {0, gss.OldToken}}},
		{"jump of half the circle", 10, true, false, []arrival{{10 + 1<<63, gss.OldToken}, {9 + 1<<63, nil}, {9 + 1<<63, gss.DuplicateToken}, {10, gss.OldToken}, {8 + 1<<63, nil}}},
		{"jump by whole rings", 0, true, false, []arrival{
			{0, nil}, {256, nil}, {512, nil}, {512 - 64, nil}, {512 - 128, nil}, {512 - 191, nil}, {512 - 192, gss.OldToken}}},
		{"jump to the word's end and on", 0, true, false, []arrival{{63, nil}, {64, nil}, {63, gss.DuplicateToken}, {62, nil}, {319, nil}, {320, nil}, {256, nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := New(tt.first, tt.replay, tt.sequence)
			for i, a := range tt.arrivals {
				before := w
				if err := w.Check(a.n); err != a.want {
					t.Fatalf("%d: Check(%d) = %v, want %v", i, a.n, err, a.want)
				}
				if w != before {
					t.Fatalf("%d: Check(%d) recorded something", i, a.n)
				}
				if err := w.Commit(a.n); err != a.want {
					t.Fatalf("%d: Commit(%d) = %v, want %v", i, a.n, err, a.want)
				}
			}
		})
	}
}

// model is the definition: a set of numbers and a counter. It knows no wrap.
type model struct {
	next             uint64
	seen             map[uint64]bool
	replay, sequence bool
}

func (m *model) commit(n uint64) error {
	if !m.replay && !m.sequence {
		return nil
	}
	expected := m.next
	switch {
	case m.seen[n] && n+Size >= m.next:
		return gss.DuplicateToken
	case n+Size < m.next:
		return gss.OldToken
	}
	m.seen[n] = true
	m.next = max(m.next, n+1)
	switch {
	case m.sequence && n < expected:
		return gss.UnseqToken
	case m.sequence && n > expected:
		return gss.GapToken
	}
	return nil
}

// run compares a Window and the model on steps, each a distance from the expected number.
func run(t *testing.T, first uint64, replay, sequence bool, steps []int16) {
	w := New(first, replay, sequence)
	m := model{seen: map[uint64]bool{}, replay: replay, sequence: sequence}
	next := uint64(0) // the model's, if it keeps one
	for i, s := range steps {
		n := uint64(max(int64(next)+int64(s), 0))
		want := m.commit(n)
		if err := w.Check(first + n); err != want {
			t.Fatalf("first %d, step %d: Check(first+%d) = %v, want %v", first, i, n, err, want)
		}
		if err := w.Commit(first + n); err != want {
			t.Fatalf("first %d, step %d: Commit(first+%d) = %v, want %v", first, i, n, err, want)
		}
		next = max(next, n+1)
	}
}

func TestModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	spread := []int{3, 70, 200, 300, 3000}
	for i := range 400 {
		steps := make([]int16, 500)
		for j := range steps {
			k := spread[rng.IntN(len(spread))]
			steps[j] = int16(rng.IntN(2*k) - k*9/10)
		}
		first := rng.Uint64()
		if i%3 == 0 {
			first = -uint64(rng.IntN(5000))
		}
		run(t, first, i&1 != 0, i&2 != 0, steps)
	}
}

func TestErrorsAreMajors(t *testing.T) {
	w := New(0, true, true)
	if err := w.Commit(2); !errors.Is(err, gss.GapToken) || gss.MajorOf(err) != gss.GapToken {
		t.Error(err)
	}
}

func FuzzWindow(f *testing.F) {
	f.Add(uint64(0), true, true, []byte{0, 0, 0, 0, 1, 0, 0xff, 0xff})
	f.Add(uint64(math.MaxUint64-3), true, false, []byte{0, 200, 0xff, 0x40, 2, 0, 0xff, 0})
	f.Add(uint64(1)<<63, false, true, []byte{0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, first uint64, replay, sequence bool, b []byte) {
		var steps []int16
		for ; len(b) >= 2; b = b[2:] {
			steps = append(steps, int16(binary.BigEndian.Uint16(b)))
		}
		run(t, first, replay, sequence, steps)
	})
}

func BenchmarkCommit(b *testing.B) {
	w := New(0, true, true)
	var n uint64
	for b.Loop() {
		if w.Commit(n) != nil {
			b.Fatal("refused")
		}
		n++
	}
}
