package krb5

import (
	"slices"
	"strings"
	"testing"
)

func TestPrincipal(t *testing.T) {
	for _, c := range []struct {
		in    string
		comps []string
		realm string
		typ   int32
		out   string // "" for in
	}{
		{"alice", []string{"alice"}, "R", NTPrincipal, "alice@R"},
		{"alice@X", []string{"alice"}, "X", NTPrincipal, ""},
		{"host/files.example.org@EXAMPLE.ORG", []string{"host", "files.example.org"}, "EXAMPLE.ORG", NTPrincipal, ""},
		{"krbtgt/X@Y", []string{"krbtgt", "X"}, "Y", NTSrvInst, ""},
		{"krbtgt@Y", []string{"krbtgt"}, "Y", NTPrincipal, ""},
		{"WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", []string{"WELLKNOWN", "ANONYMOUS"}, "WELLKNOWN:ANONYMOUS", NTWellknown, ""},
		{`a\/b@X`, []string{"a/b"}, "X", NTPrincipal, ""},
		{`a\@b@X`, []string{"a@b"}, "X", NTPrincipal, ""},
		{`a\\/b@X`, []string{`a\`, "b"}, "X", NTPrincipal, ""},
		{`a\n\t\b@X`, []string{"a\n\t\b"}, "X", NTPrincipal, ""},
		{"a\n\t\b@X", []string{"a\n\t\b"}, "X", NTPrincipal, `a\n\t\b@X`},
		{`\a\ b@X`, []string{"a b"}, "X", NTPrincipal, "a b@X"},
		{`host/@X`, []string{"host", ""}, "X", NTPrincipal, ""},
		{`/@X`, []string{"", ""}, "X", NTPrincipal, ""},
		{`a@C=DE\/O=x\@y\\z`, []string{"a"}, `C=DE/O=x@y\z`, NTPrincipal, ""},
		{"jürgen@X", []string{"jürgen"}, "X", NTPrincipal, ""},
	} {
		p, err := ParsePrincipal(c.in, "R")
		if err != nil || !slices.Equal(p.Name.Components, c.comps) || p.Realm != c.realm || p.Name.Type != c.typ {
			t.Errorf("%q: %+v, %v", c.in, p, err)
			continue
		}
		want := c.out
		if want == "" {
			want = c.in
		}
		if p.String() != want {
			t.Errorf("%q is written %q, want %q", c.in, p.String(), want)
		}
		if again, err := ParsePrincipal(p.String(), "other"); err != nil || !again.Equal(p) {
			t.Errorf("%q reads back as %+v, %v", p.String(), again, err)
		}
	}
	for _, bad := range []string{
		"", "@", "@X", "alice@", "a@b@c", "a@b/c", `a\`, `a@X\`, "a\x00b", `a\0b@X`, "a@X\x00", "a\xff@X", "a@\xc0\x80",
		strings.Repeat("a/", maxComponents) + "a", strings.Repeat("a", maxString+1), strings.Repeat("a", 1<<16), strings.Repeat("/", 1<<16),
	} {
		if p, err := ParsePrincipal(bad, "R"); err == nil {
			t.Errorf("%.40q: %+v", bad, p)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%.40q: an error of %d octets", bad, len(err.Error()))
		}
	}
	if p, err := ParsePrincipal("alice", ""); err == nil {
		t.Errorf("no realm: %+v", p)
	}
	nul := Principal{PrincipalName{NTPrincipal, []string{"a\x00b"}}, "X"}
	if nul.String() != `a\0b@X` {
		t.Errorf("NUL is written %q", nul)
	}
}

func TestPrincipalEqual(t *testing.T) {
	mk := func(realm string, c ...string) Principal { return Principal{PrincipalName{NTPrincipal, c}, realm} }
	a := mk("X", "host", "b")
	b := a
	b.Name.Type = NTSrvHst
	if !a.Equal(b) {
		t.Error("the name type counts")
	}
	for _, o := range []Principal{mk("Y", "host", "b"), mk("X", "host/b"), mk("X", "host"), mk("X", "host", "B"), mk("X", "host", "b", "")} {
		if a.Equal(o) || a.String() == o.String() {
			t.Errorf("%v is %v", a, o)
		}
	}
}

// Whatever is read as a principal is written canonically, and survives the wire.
func FuzzPrincipal(f *testing.F) {
	for _, s := range []string{"alice", "a/b@C", `a\/\@\\\n\t\b\0@X`, "krbtgt/X@Y", "@", `\`, "a@b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrincipal(s, "R")
		if err != nil {
			return
		}
		again, err := ParsePrincipal(p.String(), "other")
		if err != nil || !again.Equal(p) || again.String() != p.String() {
			t.Fatalf("%q: %+v, then %+v, %v", s, p, again, err)
		}
		ticket := Ticket{Realm: p.Realm, SName: p.Name, EncPart: EncryptedData{Cipher: []byte{}}}
		read, err := ParseTicket(ticket.Append(nil))
		if err != nil || !(Principal{read.SName, read.Realm}).Equal(p) {
			t.Fatalf("%q: %+v, %v", s, read, err)
		}
	})
}
