package striketest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gsseal/gss/strike"
)

// methodsIn returns the first goroutine in a listing of runtime.Stack that runs
// code of s's package, the caller's own left out; "" if there is none.
func methodsIn(stacks []byte, s strike.Store) string {
	pkg, _, _ := strings.Cut(strings.TrimLeft(fmt.Sprintf("%T", s), "*"), ".") // *boltstore.Store
	for i, g := range bytes.Split(stacks, []byte("\n\n")) {
		if i > 0 && bytes.Contains(g, []byte("/"+pkg+".(*")) {
			return string(g)
		}
	}
	return ""
}
