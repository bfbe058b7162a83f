//go:build !race

package record

import (
	"testing"

	"github.com/gsseal/gss"
)

// The race detector makes sync.Pool forget on purpose, so this test is not for it.
func TestAllocations(t *testing.T) {
	msg := make([]byte, 1000)
	for name, change := range variants {
		i, a := pair(t, change)
		for _, e := range [][2]*Context{{i, a}, {a, i}} {
			tok, plain := make([]byte, 0, 2000), make([]byte, 0, 2000)
			for _, l := range []gss.Level{gss.Confidential, gss.IntegrityOnly} {
				if n := testing.AllocsPerRun(100, func() {
					tok, _ := e[0].WrapAEAD(tok, msg, []byte("ad"), l)
					if _, _, err := e[1].UnwrapAEAD(plain, tok, []byte("ad")); err != nil {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%s: Wrap and Unwrap, %v: %v allocations", name, l, n)
				}
			}
			if n := testing.AllocsPerRun(100, func() {
				tok, _ := e[0].MIC(tok, msg)
				if err := e[1].VerifyMIC(msg, tok); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: MIC and VerifyMIC: %v allocations", name, n)
			}
		}
	}
}
