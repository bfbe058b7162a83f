package striketest

import (
	"bytes"
	"fmt"

	"github.com/gsseal/gss/strike"
)

// methodsIn returns the first goroutine in a listing of runtime.Stack that runs
// code of s's package, the caller's own left out; "" if there is none.
func methodsIn(stacks []byte, s strike.Store) string {
	pkg := fmt.Sprintf("%T", s) // *boltstore.Store
	pkg = pkg[:bytes.IndexByte([]byte(pkg), '.')]
	for len(pkg) > 0 && pkg[0] == '*' {
		pkg = pkg[1:]
	}
	for i, g := range bytes.Split(stacks, []byte("\n\n")) {
		if i > 0 && bytes.Contains(g, []byte("/"+pkg+".(*")) {
			return string(g)
		}
	}
	return ""
}
