package gss_test

import (
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gsseal/gss"

// house says what each package may import besides the standard library and
// golang.org/x/crypto. A line ends with "/..." for a folder and all below it; a
// leading "." is this module. The first line that fits counts, so that the
// special ones come first. Test files may import anything.
var house = []struct {
	pkg   string
	may   []string
	mayNo []string // also forbidden, though of the standard library
}{
	{pkg: "./oid"},
	{pkg: ".", may: []string{"./oid"}, mayNo: []string{"net", "net/...", "crypto/tls", "os", "os/..."}},

	{pkg: "./internal/peers"}, // test support: starts real peers
	{pkg: "./internal/toy/...", may: []string{".", "./oid", "./internal/..."}},
	{pkg: "./internal/record", may: []string{".", "./oid", "./internal/window"}},
	{pkg: "./internal/...", may: []string{".", "./oid"}},

	{pkg: "./strike/striketest", may: []string{"./strike"}},
	{pkg: "./strike/boltstore", may: []string{"./strike", "go.etcd.io/bbolt/..."}}, // beside, so that nobody links what he does not use
	{pkg: "./strike", mayNo: []string{"net", "net/..."}},

	{pkg: "./mechs/krb5", may: []string{".", "./oid", "./internal/krb5", "./internal/window", "./strike"}},
	{pkg: "./mechs/reauth", may: []string{".", "./oid", "./internal/record", "./internal/window", "./strike"}}, // takes mechanisms as values
	{pkg: "./mechs/pkix/pkixtest", may: []string{".", "./oid", "./mechs/pkix"}},
	{pkg: "./mechs/pkix", may: []string{".", "./oid", "./internal/record", "./internal/window", "./strike", "filippo.io/edwards25519"}},
	{pkg: "./mechs", may: []string{".", "./oid", "./mechglue", "./mechs/..."}}, // the only one that puts several together

	{pkg: "./mechglue", may: []string{".", "./oid"}},
	{pkg: "./gssnet", may: []string{".", "./oid"}},
	{pkg: "./seal/sealtest", may: []string{".", "./oid", "./strike", "./seal"}},
	{pkg: "./seal/boltstate", may: []string{".", "./oid", "./strike", "./strike/boltstore", "./seal", "go.etcd.io/bbolt/..."}},
	{pkg: "./seal", may: []string{".", "./oid", "./strike"}},
	{pkg: "./rpcsecgss/...", may: []string{".", "./oid", "./internal/window", "./rpcsecgss/..."}},
	{pkg: "./conformance", may: []string{".", "./oid"}},
	{pkg: "./kdctest", may: []string{"./internal/krb5"}},
	{pkg: "./cmd/...", may: []string{"..."}},
	{pkg: "./examples/...", may: []string{"..."}},
}

func fits(pattern, p string) bool {
	if dir, ok := strings.CutSuffix(pattern, "..."); ok {
		return dir == "" || p == strings.TrimSuffix(dir, "/") || strings.HasPrefix(p, dir)
	}
	return p == pattern
}

// local turns an import path of this module into "." or "./folder".
func local(p string) string {
	if p == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(p, module+"/"); ok {
		return "./" + rest
	}
	return p
}

// TestHouse reads the imports of every file that is not a test, and fails on one
// that the table does not allow and on a package that has no line in it.
func TestHouse(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != "." {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		pkg := "."
		if dir := path.Dir(filepath.ToSlash(name)); dir != "." {
			pkg = "./" + dir
		}
		i := slices.IndexFunc(house, func(l struct {
			pkg   string
			may   []string
			mayNo []string
		}) bool {
			return fits(l.pkg, pkg)
		})
		if i < 0 {
			t.Errorf("%s: package %s has no line in the table", name, pkg)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, im := range f.Imports {
			p, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			p = local(p)
			std := !strings.HasPrefix(p, ".") && !strings.Contains(strings.Split(p, "/")[0], ".")
			free := std || strings.HasPrefix(p, "golang.org/x/crypto/")
			allowed := func(ps []string) bool { return slices.ContainsFunc(ps, func(x string) bool { return fits(x, p) }) }
			if !free && !allowed(house[i].may) || allowed(house[i].mayNo) || p == "C" {
				t.Errorf("%s: %s may not import %s", name, pkg, p)
			}
			if strings.HasPrefix(p, "./internal/toy") && !strings.HasPrefix(pkg, "./internal/toy") {
				t.Errorf("%s: the toys are for tests alone", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d files found", files)
	}
}

// Sealing needs a context's PRF and nothing else: its code, comments aside, names
// no mechanism.
func TestSealNamesNoMechanism(t *testing.T) {
	names, err := filepath.Glob("seal/*.go")
	if err != nil || len(names) == 0 {
		t.Fatal("no package seal here", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution) // drops comments
		if err != nil {
			t.Fatal(err)
		}
		var code strings.Builder
		if err := printer.Fprint(&code, fset, f); err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{"krb5", "kerberos", "pkix", "spnego", "certificate"} {
			if strings.Contains(strings.ToLower(code.String()), m) {
				t.Errorf("%s speaks of %q", name, m)
			}
		}
	}
}
