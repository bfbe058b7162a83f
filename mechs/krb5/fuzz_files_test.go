package krb5

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// What is read is written again as it was.
func FuzzCCacheAgain(f *testing.F) {
	f.Add(testFile(f, "mit-3.ccache"))
	f.Add(testFile(f, "mit-4.ccache"))
	f.Add(sampleCCache(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCCache(b)
		if err != nil {
			if !errors.Is(err, errCCache) {
				t.Error(err)
			}
			return
		}
		c.tickets()
		if got := c.append(nil); c.version == 4 && !bytes.Equal(got, b) {
			t.Errorf("%x\nwas\n%x", got, b)
		}
		c.version = 7 - c.version
		if _, err := parseCCache(c.append(nil)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzKeytabOfMIT(f *testing.F) {
	f.Add(testFile(f, "mit.keytab"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKeytab(b)
		if err != nil {
			return
		}
		for i := range k.entries {
			if p := k.entries[i].principal; len(k.newest(p)) == 0 {
				t.Errorf("%v has no key", p)
			}
		}
		k.erase()
	})
}

func FuzzKCMReply(f *testing.F) {
	for _, a := range kcmAnswers(f) {
		f.Add(a.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := readKCMReply(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if _, err := parseKCMName(b); err != nil && !errors.Is(err, errKCM) {
			t.Error(err)
		}
		if ids, err := parseKCMList(b); err == nil && len(ids)*uuidLen != len(b) {
			t.Error("identifiers that are not there")
		}
		parseCCachePrincipal(b)
		if c, err := parseCCacheCred(b); err == nil && !bytes.Equal(c.append(nil, 4), b) {
			t.Errorf("%x", b)
		}
	})
}

// A keyring's payloads: the principal's, and a credential's.
func FuzzKeyring(f *testing.F) {
	c, err := parseCCache(testFile(f, "mit-4.ccache"))
	if err != nil {
		f.Fatal(err)
	}
	principal := appendCCachePrincipal(nil, c.client)
	for i := range c.creds {
		f.Add(principal, c.creds[i].server.String(), c.creds[i].append(nil, 4))
	}
	f.Add(principal, keyringOffsets, []byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(appendKeyringPrimary(nil, "tkt"), keyringPrincipal, principal)
	f.Fuzz(func(t *testing.T, principal []byte, name string, payload []byte) {
		if name, err := parseKeyringPrimary(principal); err == nil && !bytes.Equal(appendKeyringPrimary(nil, name), principal) {
			t.Errorf("%q", name)
		}
		c, err := parseKeyringCache([]keyringPayload{{keyringPrincipal, principal}, {name, payload}})
		if err != nil {
			if !errors.Is(err, errKeyring) {
				t.Error(err)
			}
			return
		}
		c.tickets()
		if again, err := parseCCache(c.append(nil)); err != nil || !again.client.Equal(c.client) || len(again.creds) != len(c.creds) {
			t.Errorf("as a file: %v", err)
		}
	})
}

// No rule makes a principal of a foreign realm a user unless it has looked at the
// realm, and none makes anybody root.
func FuzzLocalUser(f *testing.F) {
	for _, rule := range []string{"DEFAULT", "RULE:[1:$1@$0](.*@D)s/@.*//", "RULE:[2:$1;$2@$0](^.*;admin@.*$)s/;admin@.*$/-adm/g", "RULE:", "RULE:[1:$1]s/a/b/g"} {
		for _, name := range []string{"alice@D", "alice/admin@D", "alice@E", `a\/b@D`} {
			f.Add(rule, name)
		}
	}
	f.Fuzz(func(t *testing.T, rule, name string) {
		if len(rule) > 1000 || len(name) > 1000 {
			return
		}
		n := gss.Name{Mech: oid.Krb5, Text: name}
		user, err := LocalUser(n, &LocalPolicy{Realms: []string{"D"}, Rules: []string{rule}})
		if err != nil {
			if m := gss.MajorOf(err); user != "" || m != gss.Unauthorized && m != gss.BadName {
				t.Errorf("%q, %v", user, err)
			}
			return
		}
		if !userName(user) || user == "root" {
			t.Errorf("%s is %q by %q", name, user, rule)
		}
		if !bytes.HasSuffix([]byte(name), []byte("@D")) && !bytes.Contains([]byte(rule), []byte("$0")) {
			t.Errorf("%s is %q by %q", name, user, rule)
		}
	})
}
