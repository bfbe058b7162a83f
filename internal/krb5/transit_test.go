package krb5

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestTransited(t *testing.T) {
	for _, tt := range []struct {
		contents, client, server string
		want                     string
	}{
		{"", "A", "B", ""},
		// The examples of RFC 4120 §3.3.3.2 and of MIT's manual.
		{"EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS.", "A", "B", "EDU MIT.EDU ATHENA.MIT.EDU WASHINGTON.EDU CS.WASHINGTON.EDU"},
		{"/COM/HP,/APOLLO, /COM/DEC", "A", "B", "/COM/HP /COM/HP/APOLLO /COM/DEC"},
		{",EDU,", "MIT.EDU", "X.EDU", "EDU"},
		{",EDU", "ATHENA.MIT.EDU", "B", "MIT.EDU EDU"},
		{"EDU,", "A", "CS.WASHINGTON.EDU", "EDU WASHINGTON.EDU"},
		{"EDU,,CS.X.EDU", "A", "B", "EDU X.EDU CS.X.EDU"},
		{",/COM", "/COM/HP/APOLLO", "B", "/COM/HP /COM"},
		{`A\,B,C\\D,E\.`, "A", "B", `A,B C\D E.`},
		{"ONE", "A", "B", "ONE"},
	} {
		got, err := ParseTransited([]byte(tt.contents), tt.client, tt.server)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.contents, got, err, tt.want)
		}
	}
	for _, bad := range []string{`A\`, ",,", "A,,", "EDU,,COM", ",COM", "A\x00B", "\xff", " ,A", strings.Repeat("A,", 65) + "A"} {
		if got, err := ParseTransited([]byte(bad), "X.EDU", "Y.EDU"); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	var b []byte
	realms := []string{"A", "B.C", "x,y", `back\slash`, "dot.", " space", "/X/Y", "plain"}
	for _, r := range realms {
		b = AppendTransited(b, r)
	}
	if got, err := ParseTransited(b, "A", "B"); err != nil || !slices.Equal(got, realms) {
		t.Errorf("%s: %q, %v", b, got, err)
	}
}

func TestRealmPath(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"A.B.C", "A.B.C", "A.B.C"},
		{"A.B.C", "D.B.C", "A.B.C B.C D.B.C"},
		{"A.B.C", "C", "A.B.C B.C C"},
		{"C", "A.B.C", "C B.C A.B.C"},
		{"A.X", "B.Y", "A.X B.Y"},
		{"ONE", "TWO", "ONE TWO"},
		{"XB.C", "B.C", "XB.C C B.C"},
	} {
		if got := strings.Join(RealmPath(tt.from, tt.to), " "); got != tt.want {
			t.Errorf("%s to %s: %s, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}

func FuzzTransited(f *testing.F) {
	for _, s := range []string{"EDU,MIT.,ATHENA.", ",EDU,", "/COM/HP,/APOLLO, /COM/DEC", `A\,B`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseTransited(b, "A.MIT.EDU", "CS.WASHINGTON.EDU")
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		for _, r := range got {
			again = AppendTransited(again, r)
		}
		if twice, err := ParseTransited(again, "A.MIT.EDU", "CS.WASHINGTON.EDU"); err != nil || !slices.Equal(got, twice) {
			t.Fatalf("%q: %q, then %q of %q, %v", b, got, twice, again, err)
		}
	})
}
