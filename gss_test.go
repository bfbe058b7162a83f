package gss

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss/oid"
)

func TestMajorValues(t *testing.T) {
	// RFC 2744 §3.9.1: routine errors are 1..18 shifted by 16 bits.
	for i, m := range []Major{BadMech, BadName, BadNameType, BadBindings, BadStatus, BadMIC, NoCred, NoContext, DefectiveToken,
		DefectiveCredential, CredentialsExpired, ContextExpired, Failure, BadQOP, Unauthorized, Unavailable, DuplicateElement, NameNotMN} {
		if m != Major(i+1)<<16 {
			t.Errorf("%s is %#x", m.Symbol(), uint32(m))
		}
	}
	if DuplicateToken != 2 || OldToken != 4 || UnseqToken != 8 || GapToken != 16 {
		t.Error("supplementary bits")
	}
	if len(majorText) != 22 || len(majorName) != len(majorText) {
		t.Errorf("%d texts, %d names", len(majorText), len(majorName))
	}
	if s := Major(99 << 16).Error(); s != "status 0x630000" {
		t.Error(s)
	}
	if s := Major(99 << 16).Symbol(); s != "0x630000" {
		t.Error(s)
	}
}

func TestError(t *testing.T) {
	cause := errors.New("clock")
	err := fmt.Errorf("dial: %w", &Error{Op: "Init_sec_context", Mech: oid.Krb5, Major: Failure, Minor: 37, Remote: true, Err: cause})
	if !errors.Is(err, Failure) || errors.Is(err, BadMIC) || !errors.Is(err, cause) {
		t.Error("Is")
	}
	if want := "dial: gss: Init_sec_context (krb5): the peer reports: failure (minor 37): clock"; err.Error() != want {
		t.Errorf("%s", err)
	}
	if s := (&Error{Op: "Wrap", Mech: oid.MustParse("1.2.3"), Major: Unavailable}).Error(); s != "gss: Wrap (1.2.3): unavailable" {
		t.Error(s)
	}
	for _, tt := range []struct {
		err  error
		want Major
	}{{nil, 0}, {err, Failure}, {BadMIC, BadMIC}, {fmt.Errorf("x: %w", GapToken), GapToken}, {cause, Failure}} {
		if got := MajorOf(tt.err); got != tt.want {
			t.Errorf("MajorOf(%v) = %v", tt.err, got)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		f Flags
		s string
	}{{0, "none"}, {DefaultFlags, "mutual|replay|sequence|conf|integ"}, {Bound | 1<<30, "bound|0x40000000"}} {
		if tt.f.String() != tt.s {
			t.Errorf("%#x: %s", uint32(tt.f), tt.f)
		}
	}
	// RFC 2744 §5.19 and MIT's gssapi_ext.h: as gss-client prints them, 0x13e and 0x1be.
	if DefaultFlags != 0x3e || DefaultFlags|Trans != 0x13e || DefaultFlags|Trans|ProtReady != 0x1be || Bound != 2048 || DCEStyle != 4096 {
		t.Error("values")
	}
}

func TestNames(t *testing.T) {
	// What MIT 1.20 exports for p:a@b.
	want, _ := hex.DecodeString("0401000B06092A864886F71201020200000003614062")
	n := Name{Mech: oid.Krb5, Text: "a@b"}
	b, err := n.Export()
	if err != nil || !bytes.Equal(b, want) {
		t.Fatalf("%X, %v", b, err)
	}
	if m, err := ParseName(b); err != nil || m != n {
		t.Fatal(m, err)
	}
	if b, err := Service("host", "h").AppendExport([]byte("x")); !errors.Is(err, NameNotMN) || string(b) != "x" {
		t.Error(b, err)
	}
	if !(Name{}).IsZero() || Service("a", "b").IsZero() || Service("a", "b").IsMN() || !n.IsMN() {
		t.Error("IsZero, IsMN")
	}
	if n == (Name{Mech: oid.PKIX, Text: "a@b"}) {
		t.Error("names of two mechanisms are equal")
	}
	for in, want := range map[string]string{"a b": "a b", "a\nb": `"a\nb"`, `a"b`: `"a\"b"`, "a\x00": `"a\x00"`, "\xff": `"\xff"`} {
		if s := User(in).String(); s != want {
			t.Errorf("%q prints as %s", in, s)
		}
	}
	for i := range want {
		if _, err := ParseName(want[:i]); !errors.Is(err, BadName) {
			t.Errorf("%d octets: %v", i, err)
		}
	}
	for _, s := range []string{
		"0401000B06092A864886F7120102020000000361406200", // trailing
		"0402000B06092A864886F71201020200000003614062",   // composite
		"0401000A06092A864886F71201020200000003614062",   // OID cut
		"0401000C06092A864886F7120102020000000003614062", // OID and something
		"0401000B06092A864886F71201020200000002614062",   // shorter than it is
		"0401000B06092A864886F712010202FFFFFFFF614062",   // longer
		"040100020600" + "00000000",                      // empty OID
		"0401000306018000000000",                         // OID not minimal
	} {
		b, _ := hex.DecodeString(s)
		if n, err := ParseName(b); !errors.Is(err, BadName) || !n.IsZero() {
			t.Errorf("%s: %v, %v", s, n, err)
		}
	}
}

func TestToken(t *testing.T) {
	for _, n := range []int{0, 1, 100, 127, 128, 255, 256, 65536} {
		inner := bytes.Repeat([]byte{7}, n)
		tok := AppendToken([]byte("pre"), oid.Krb5, inner)
		mech, got, err := ParseToken(tok[3:])
		if err != nil || mech != oid.Krb5 || !bytes.Equal(got, inner) || string(tok[:3]) != "pre" {
			t.Fatal(n, err)
		}
	}
	// RFC 2743 §3.1, octet by octet.
	if got := hex.EncodeToString(AppendToken(nil, oid.SPNEGO, []byte{1, 2})); got != "600a"+"06062b0601050502"+"0102" {
		t.Error(got)
	}
	good := AppendToken(nil, oid.Krb5, []byte("inner"))
	for i := range good {
		if _, _, err := ParseToken(good[:i]); !errors.Is(err, DefectiveToken) {
			t.Errorf("%d octets: %v", i, err)
		}
	}
	for name, s := range map[string]string{
		"trailing":            "600a06062b060105050201020a",
		"length + 1":          "600b06062b06010505020102",
		"length - 1":          "600906062b06010505020102",
		"length not minimal":  "60810a06062b06010505020102",
		"indefinite":          "608006062b060105050201020000",
		"sequence":            "300a06062b06010505020102",
		"no OID":              "60020102",
		"OID not minimal":     "600506038001010102",
		"OID longer than all": "600a060b2b06010505020102",
		"4 GiB":               "6084ffffffff06062b0601050502",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(name)
		}
		if _, _, err := ParseToken(b); !errors.Is(err, DefectiveToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashBindings(t *testing.T) {
	if p, h := HashBindings(nil); p != 0 || h != [32]byte{} {
		t.Error("none")
	}
	// printf 'gss cb 1tls-exporter:x' | sha256sum
	want := "cf0711a38b90d2e92e97a3063ec6d36037330a252b67a61042180275629f53b4"
	if p, h := HashBindings([]byte("tls-exporter:x")); p != 1 || hex.EncodeToString(h[:]) != want {
		t.Errorf("%x", h)
	}
}

type testCred struct{ mech oid.OID }

func (c testCred) Mech() oid.OID     { return c.mech }
func (c testCred) Name() Name        { return Name{} }
func (c testCred) Expiry() time.Time { return time.Time{} }
func (c testCred) Close() error      { return nil }

func TestSelectCredential(t *testing.T) {
	k, p := testCred{oid.Krb5}, testCred{oid.PKIX}
	if c, err := SelectCredential(nil, oid.Krb5); c != nil || err != nil {
		t.Error("none named:", c, err)
	}
	if c, err := SelectCredential([]Credential{p, k}, oid.Krb5); c != k || err != nil {
		t.Error(c, err)
	}
	if c, err := SelectCredential([]Credential{p}, oid.Krb5); c != nil || !errors.Is(err, NoCred) {
		t.Error("a default behind the caller's back:", c, err)
	}
}

func TestOptions(t *testing.T) {
	var io *InitOptions
	if r := io.Resolved(); r.Require != DefaultFlags {
		t.Error(r.Require)
	}
	for _, tt := range []struct {
		o    *InitOptions
		have Flags
		ok   bool
	}{
		{nil, DefaultFlags | Trans, true},
		{nil, DefaultFlags &^ Mutual, false},
		{&InitOptions{Request: Deleg}, DefaultFlags, true},
		{&InitOptions{Require: Conf}, Conf, true},
		{&InitOptions{Require: Conf | Deleg}, DefaultFlags, false},
	} {
		if err := tt.o.Check(Info{Flags: tt.have}); (err == nil) != tt.ok || err != nil && !errors.Is(err, Unavailable) {
			t.Errorf("%+v with %v: %v", tt.o, tt.have, err)
		}
	}
	cb := []byte("x")
	for _, tt := range []struct {
		o    *AcceptOptions
		have Flags
		want Major
	}{
		{nil, 0, 0},
		{nil, Anon, Unauthorized},
		{&AcceptOptions{AllowAnonymous: true}, Anon, 0},
		{&AcceptOptions{Require: Conf}, Integ, Unavailable},
		{&AcceptOptions{Bindings: cb}, Integ, BadBindings},
		{&AcceptOptions{Bindings: cb}, Bound, 0},
		{&AcceptOptions{Bindings: cb, BindingsOptional: true}, Integ, 0},
	} {
		if err := tt.o.Check(Info{Flags: tt.have}); MajorOf(err) != tt.want {
			t.Errorf("%+v with %v: %v", tt.o, tt.have, err)
		}
	}
	o := &AcceptOptions{Bindings: []byte("a")}
	r := o.Resolved()
	o.Bindings[0] = 'b'
	if string(r.Bindings) != "a" {
		t.Error("Resolved shares memory")
	}
	if err := (&InitOptions{}).Check(Info{Flags: Conf | Integ | Replay}); !strings.HasSuffix(err.Error(), "required but not to be had: mutual|sequence") {
		t.Error(err)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(AppendToken(nil, oid.Krb5, []byte("inner")))
	f.Add([]byte("\x60\x84\xff\xff\xff\xff\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mech, inner, err := ParseToken(b)
		if err != nil {
			if !errors.Is(err, DefectiveToken) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(AppendToken(nil, mech, inner), b) {
			t.Fatal("encodes differently")
		}
	})
}

func FuzzParseName(f *testing.F) {
	b, _ := Name{Mech: oid.Krb5, Text: "a@b"}.Export()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseName(b)
		if err != nil {
			if !errors.Is(err, BadName) {
				t.Fatal(err)
			}
			return
		}
		if e, err := n.Export(); err != nil || !bytes.Equal(e, b) {
			t.Fatal("encodes differently", err)
		}
	})
}
