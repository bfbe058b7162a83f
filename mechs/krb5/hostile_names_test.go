package krb5

import (
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// CVE-2015-2697 and its like: names with NUL, with octets that are no UTF-8, of 64
// KiB, with separators in components, with nothing in them, at every door by which a
// name comes in.
func TestCVE_2015_2697(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	m := New(Options{Config: &Config{DefaultRealm: "R"}})
	refused := func(door, text string, err error) {
		t.Helper()
		if m := gss.MajorOf(err); m != gss.BadName && m != gss.BadNameType {
			t.Errorf("%s, %.40q: %v", door, text, err)
		}
	}
	for _, text := range []string{
		"", "@", "@R", "a@", "a\x00b@R", "a@R\x00", "a@R\x00S", `a\0b@R`, `a@R\0`, "\xff@R", "a@\xc0\xaf", "\xed\xa0\x80@R", long + "@R", "a@" + long, "a@R@S", `a\`, `a@R\`,
		strings.Repeat("x/", 100) + "x@R", long + "/" + long + "@R",
	} {
		for _, typ := range []oid.OID{oid.NTUser, oid.NTKrb5, oid.NTHostService, oid.NTEnterprise} {
			if typ == oid.NTEnterprise && (text == "@" || text == "@R" || text == "a@R@S" || text == "a@" || strings.Contains(text, "x/x") && len(text) < 1000) || typ == oid.NTHostService && text == "a@"+long {
				continue // a name, then; or below
			}
			_, err := m.Canonicalize(t.Context(), gss.Name{Type: typ, Text: text})
			refused("canonicalize", text, err)
			_, err = m.Initiate(gss.Name{Type: typ, Text: text}, &gss.InitOptions{Credentials: []gss.Credential{newCredential(&shared{initiates: true})}})
			refused("initiate", text, err)
		}
		_, err := m.Canonicalize(t.Context(), gss.Name{Mech: oid.Krb5, Text: text})
		refused("mechanism name", text, err)
		_, err = ParseName(text)
		refused("ParseName", text, err)
		_, err = FromPassword(text, "x")
		refused("FromPassword", text, err)
		_, err = LocalUser(gss.Name{Mech: oid.Krb5, Text: text}, &LocalPolicy{Users: map[string]string{text: "alice"}})
		refused("LocalUser", text, err)
		if text != "" {
			_, err = FromKeytab(testFile(t, "mit.keytab"), text)
			refused("FromKeytab", text, err)
		}
	}
	_, err := m.Canonicalize(t.Context(), gss.Service("host", long))
	refused("service", long, err)

	// What separates elsewhere is an octet like others inside a component, and comes
	// back as one.
	for text, parts := range map[string][]string{`a\/b@R`: {"a/b", "R"}, `a\@b@R`: {"a@b", "R"}, `a@R\/S`: {"a", "R/S"}, `a@R\@S`: {"a", "R@S"}, `a\\@R`: {`a\`, "R"}} {
		p, err := ikrb5.ParsePrincipal(text, "")
		if err != nil || len(p.Name.Components) != 1 || p.Name.Components[0] != parts[0] || p.Realm != parts[1] || p.String() != text {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}

	// In files: counted octets, which may be anything.
	for _, component := range []string{"a\x00b", "\x00", "\xff", long} {
		cc := []byte("\x05\x04\x00\x00")
		cc = appendCCachePrincipal(cc, ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{component}}, Realm: "R"})
		if _, err := FromCCache(cc); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("ccache, %.40q: %v", component, err)
		}
		if _, err := parseCCachePrincipal(cc[4:]); err == nil {
			t.Errorf("KCM, keyring, %.40q", component)
		}
		if len(component) > 1<<15 {
			continue // does not fit in a keytab
		}
		entry := []byte("\x00\x01\x00\x01R")
		entry = append(binary.BigEndian.AppendUint16(entry, uint16(len(component))), component...)
		entry = append(entry, "\x00\x00\x00\x01\x00\x00\x00\x00\x01\x00\x11\x00\x10"+strings.Repeat("k", 16)...)
		keytab := append(binary.BigEndian.AppendUint32([]byte("\x05\x02"), uint32(len(entry))), entry...)
		if _, err := FromKeytab(keytab, ""); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("keytab, %.40q: %v", component, err)
		}
	}
	for _, name := range []string{"FILE:" + filepath.Join(t.TempDir(), "a\x00b"), "DIR:/a\x00", "MEMORY:\x00", "KCM:a\x00b", "KEYRING:user:a\x00b", "KCM:" + long} {
		if _, err := OpenCache(name, &CacheOptions{Memory: new(MemoryCaches)}); gss.MajorOf(err) != gss.Unavailable {
			t.Errorf("%.40q: %v", name, err)
		}
	}
}

// CVE-2018-5730: what a name ends with is no reason to be in a domain or a realm; whole
// labels and components are.
func TestCVE_2018_5730(t *testing.T) {
	c := &Config{DefaultRealm: "R", Domains: map[string]string{".a.test": "A", "b.test": "B"}}
	for host, realm := range map[string]string{
		"h.a.test": "A", "b.test": "B", "h.b.test": "B",
		"ha.test": "", "a.test": "", "xb.test": "", "h.xb.test": "", "a.test.evil": "", "b.test.": "", "h,a.test": "", "": "",
	} {
		if got := c.realmOf(host); got != realm {
			t.Errorf("%q is of %q, not %q", host, got, realm)
		}
	}
	p := &LocalPolicy{Realms: []string{"A.TEST"}, Rules: []string{"DEFAULT", "RULE:[1:$1@$0](.*@A[.]TEST)s/@.*//"}}
	for _, name := range []string{"alice@XA.TEST", "alice@H.A.TEST", "alice@A.TEST.EVIL", `alice@EVIL\@A.TEST`, `alice@EVIL\/A.TEST`, "alice@A.TES", "alice@AXTEST", `alice\@A.TEST@EVIL`} {
		if user, err := LocalUser(gss.Name{Mech: oid.Krb5, Text: name}, p); err == nil {
			t.Errorf("%s is %s", name, user)
		}
	}
	for _, pair := range [][2]string{{"XA.TEST", "A.TEST"}, {"A.TEST", "XA.TEST"}} { // siblings, no parent and child
		path := ikrb5.RealmPath(pair[0], pair[1])
		if len(path) != 3 || path[1] != "TEST" {
			t.Errorf("from %s to %s: %q", pair[0], pair[1], path)
		}
	}
}
