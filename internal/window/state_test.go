package window

import (
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// A window goes on as the one that it was read from would have.
func TestState(t *testing.T) {
	for flags := range 4 {
		w := New(1<<64-3, flags&1 != 0, flags&2 != 0)
		for _, n := range []uint64{1<<64 - 3, 0, 1, 300, 299, 250} {
			w.Commit(n)
			b := w.AppendState([]byte("x"))
			if len(b) != 1+StateLen {
				t.Fatal(len(b))
			}
			s := cryptobyte.String(b[1:])
			var got Window
			if !got.ReadState(&s) || !s.Empty() || got != w {
				t.Fatalf("%+v became %+v", w, got)
			}
			for k := range StateLen {
				s := cryptobyte.String(b[1:][:k])
				if got.ReadState(&s) {
					t.Fatal("read from", k, "octets")
				}
			}
		}
	}
	s := cryptobyte.String(append([]byte{4}, make([]byte, StateLen-1)...))
	if new(Window).ReadState(&s) {
		t.Error("unknown flags")
	}
}
