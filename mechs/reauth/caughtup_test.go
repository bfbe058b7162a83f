package reauth

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss/strike"
)

// A RESUME of a client whose clock is ahead has to be confirmed. It is not taken for new when it
// comes again and the acceptor's clock has caught up.
func TestReplayCaughtUp(t *testing.T) {
	for _, ahead := range []time.Duration{skew + time.Second, 2 * skew, 5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := strike.NewMemory(strike.MemoryOptions{})
			time.Sleep(time.Hour)
			w := krbWorld(t, Options{Time: func() time.Time { return time.Now().Add(ahead) }}, Options{Store: store})
			w.must(w.shake(nil), false)
			tr := w.shake(nil)
			w.must(tr, true)
			if len(tr.Tokens) != 3 {
				t.Fatalf("%d tokens", len(tr.Tokens))
			}
			for _, d := range []time.Duration{ahead - skew, skew, skew} {
				time.Sleep(d)
				out, sc, err := w.answer(w.server, bytes.Clone(tr.Tokens[0]))
				if sc != nil || err != nil || out[0] != tokResumed || out[1] != rfConfirm {
					t.Errorf("%v ahead, again: %x, %v", ahead, out[:2], err)
				}
			}
		})
	}
}
