package oid

import (
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

func TestDotted(t *testing.T) {
	for _, tt := range []struct {
		dotted   string
		contents string // "" means ErrSyntax
	}{
		{"1.2.840.113554.1.2.2", "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"},
		{"2.999.3", "\x88\x37\x03"}, // X.690 §8.19.5's example
		{"0.0", "\x00"},
		{"0.39", "\x27"},
		{"1.0", "\x28"},
		{"1.39", "\x4f"},
		{"2.0", "\x50"},
		{"2.25.62787313445607149380825431900356065739", string(Arc)},
		{"2.340282366920938463463374607431768211455", "\x84\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x4f"},
		{"", ""}, {"1", ""}, {"2", ""}, {".", ""}, {"1.", ""}, {".1", ""}, {"1..2", ""}, {"1.2.", ""},
		{"3.1", ""}, {"0.40", ""}, {"1.40", ""}, {"01.2", ""}, {"1.02", ""}, {"1.2.00", ""},
		{"1.-2", ""}, {"1.+2", ""}, {"1.2 ", ""}, {" 1.2", ""}, {"1.2a", ""}, {"1.0x2", ""}, {"1.2_0", ""}, {"1.٣", ""},
		{"2." + strings.Repeat("9", 4*MaxLen), ""},
		{"1.2" + strings.Repeat(".1", MaxLen), ""},
	} {
		o, err := Parse(tt.dotted)
		if (err == nil) != (tt.contents != "") || string(o) != tt.contents {
			t.Errorf("Parse(%.40q) = %x, %v; want %x", tt.dotted, string(o), err, tt.contents)
		}
		if err != nil {
			continue
		}
		if s := o.String(); s != tt.dotted {
			t.Errorf("String of %q = %q", tt.dotted, s)
		}
		if p, err := ParseDER(o.AppendDER(nil)); err != nil || p != o {
			t.Errorf("DER of %q: %v", tt.dotted, err)
		}
	}
}

// The encoding agrees with cryptobyte's, which is limited to small arcs.
func TestAgainstCryptobyte(t *testing.T) {
	for _, tt := range []struct {
		dotted string
		arcs   []int
	}{
		{"1.2.840.113554.1.2.2", []int{1, 2, 840, 113554, 1, 2, 2}},
		{"2.5.4.3", []int{2, 5, 4, 3}},
		{"1.3.6.1.4.1.311.2.2.10", []int{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}},
	} {
		var b cryptobyte.Builder
		b.AddASN1ObjectIdentifier(tt.arcs)
		if got, want := MustParse(tt.dotted).AppendDER(nil), b.BytesOrPanic(); string(got) != string(want) {
			t.Errorf("%s: %x, want %x", tt.dotted, got, want)
		}
	}
}

func TestDERStrict(t *testing.T) {
	long := append([]byte{6, 0x81, 0x80}, strings.Repeat("\x01", 128)...)
	huge := append([]byte{6, 0x82, 0x04, 0x01}, strings.Repeat("\x01", MaxLen+1)...)
	for _, tt := range []struct {
		name string
		der  []byte
		ok   bool
	}{
		{"good", []byte{6, 3, 0x88, 0x37, 3}, true},
		{"long form where needed", long, true},
		{"empty", nil, false},
		{"no contents", []byte{6, 0}, false},
		{"wrong tag", []byte{4, 1, 0x2a}, false},
		{"length too short", []byte{6, 2, 0x2a, 1, 1}, false},
		{"length too long", []byte{6, 4, 0x2a, 1, 1}, false},
		{"length not minimal", []byte{6, 0x81, 1, 0x2a}, false},
		{"indefinite", []byte{6, 0x80, 0x2a, 0, 0}, false},
		{"subidentifier not minimal", []byte{6, 3, 0x2a, 0x80, 1}, false},
		{"first subidentifier not minimal", []byte{6, 2, 0x80, 1}, false},
		{"subidentifier cut short", []byte{6, 2, 0x2a, 0x81}, false},
		{"over MaxLen", huge, false},
	} {
		o, err := ParseDER(tt.der)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %x, %v", tt.name, string(o), err)
		}
		if err == nil && string(o.AppendDER(nil)) != string(tt.der) {
			t.Errorf("%s: encodes differently", tt.name)
		}
		if err != nil && o != "" {
			t.Errorf("%s: an OID with an error", tt.name)
		}
	}
	big := OID(strings.Repeat("\x01", MaxLen))
	if p, err := ParseDER(big.AppendDER(nil)); err != nil || p != big {
		t.Error("MaxLen:", err)
	}
}

func TestJoin(t *testing.T) {
	if got, want := Join(Reauth, Krb5).String(), Reauth.String()+".1.2.840.113554.1.2.2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if Join("", Krb5) != "" || Join(Krb5, "") != "" {
		t.Error("Join with the zero OID")
	}
	if !Join(Reauth, Krb5).HasPrefix(Reauth) || Krb5.HasPrefix(Reauth) || Krb5.HasPrefix("") || !Krb5.HasPrefix(Krb5) {
		t.Error("HasPrefix")
	}
	if MustParse("1.2.840").HasPrefix(MustParse("1.2.6")) {
		t.Error("HasPrefix splits a subidentifier")
	}
}

// Every well-known constant is what its comment in known.go says.
func TestKnown(t *testing.T) {
	for o, d := range known {
		if d.Name == "" || d.Long == "" || d.Source == "" {
			t.Errorf("%v: incomplete", o)
		}
		if p, err := Parse(o.String()); err != nil || p != o {
			t.Errorf("%v: does not round-trip", o)
		}
	}
	for dotted, o := range map[string]OID{
		"1.2.840.113554.1.2.2": Krb5, "1.2.840.48018.1.2.2": MSKrb5, "1.3.6.1.5.5.2": SPNEGO,
		"1.3.6.1.5.2.5": IAKERB, "1.3.6.1.4.1.311.2.2.10": NTLM, "1.3.6.1.4.1.5322.26.1.110": SAnon,
		"1.3.6.1.5.5.1": SPKM, "1.3.6.1.5.5.9": LIPKEY,
		"1.2.840.113554.1.2.1.1": NTUser, "1.2.840.113554.1.2.1.2": NTMachineUID, "1.2.840.113554.1.2.1.3": NTStringUID,
		"1.2.840.113554.1.2.1.4": NTHostService, "1.3.6.1.5.6.3": NTAnonymous, "1.3.6.1.5.6.4": NTExport,
		"1.3.6.1.5.6.6": NTComposite, "1.2.840.113554.1.2.2.1": NTKrb5,
		"1.3.6.1.5.5.13.1": MAMechConcrete, "1.3.6.1.5.5.13.11": MAAuthTarg, "1.3.6.1.5.5.13.27": MACtxTrans,
		"2.25.62787313445607149380825431900356065739.1.1": PKIX,
		"2.25.62787313445607149380825431900356065739.1.6": Introduced,
		"2.25.62787313445607149380825431900356065739.3.2": EKUPKIXPassword,
	} {
		if o.String() != dotted {
			t.Errorf("%s is %s", dotted, o)
		}
	}
	if d, ok := Describe(Join(Reauth, Krb5)); !ok || d.Name != "reauth" {
		t.Error("reauth over krb5 is not described")
	}
	if _, ok := Describe(MustParse("1.2.3")); ok {
		t.Error("an unknown OID is described")
	}
}

func FuzzParseDER(f *testing.F) {
	for o := range known {
		f.Add(o.AppendDER(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseDER(b)
		if err != nil {
			return
		}
		if string(o.AppendDER(nil)) != string(b) {
			t.Fatal("encodes differently")
		}
		if p, err := Parse(o.String()); err != nil || p != o {
			t.Fatalf("%s does not round-trip: %v", o, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for o := range known {
		f.Add(o.String())
	}
	f.Fuzz(func(t *testing.T, s string) {
		if o, err := Parse(s); err == nil && o.String() != s {
			t.Fatalf("%q prints as %q", s, o)
		}
	})
}

// Keeps the tag that AppendDER writes honest.
var _ = [1]struct{}{}[asn1.OBJECT_IDENTIFIER-6]
