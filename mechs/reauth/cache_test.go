package reauth

import (
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

// TestCacheKeys: tickets are kept apart by all that says who comes, to whom and how.
func TestCacheKeys(t *testing.T) {
	krb, other := New(&toy.Krb{Party: toy.NewParty("alice")}, Options{}), New(&toy.PK{Party: toy.NewParty("alice")}, Options{})
	cred := func(user string) gss.Credential { return &toy.Cred{OID: toy.KrbOID, User: user} }
	key := func(m *Mech, target gss.Name, bindings string, cs ...gss.Credential) [32]byte {
		t.Helper()
		h := &initiator{asking: asking{handshake: handshake{m: m}}, target: target}
		h.o.Credentials = cs
		if bindings != "" {
			h.bind = newBinding([]byte(bindings))
		} else {
			h.bind = newBinding(nil)
		}
		h.identify(t.Context())
		if len(h.ids) != len(cs) {
			t.Fatalf("%d identities of %d", len(h.ids), len(cs))
		}
		return h.key
	}
	all := map[[32]byte]string{}
	for what, k := range map[string][32]byte{
		"alice":                key(krb, files, "", cred("alice")),
		"bob":                  key(krb, files, "", cred("bob")),
		"alice and bob":        key(krb, files, "", cred("alice"), cred("bob")),
		"bob and alice":        key(krb, files, "", cred("bob"), cred("alice")),
		"another mechanism":    key(other, files, "", cred("alice")),
		"a credential of it":   key(krb, files, "", &toy.Cred{OID: toy.PKOID, User: "alice"}),
		"another host":         key(krb, gss.Service("host", "files2.example.org"), "", cred("alice")),
		"another service":      key(krb, gss.Service("hos", "tfiles.example.org"), "", cred("alice")),
		"another kind of name": key(krb, gss.User(files.Text), "", cred("alice")),
		"a mechanism's name":   key(krb, gss.Name{Mech: toy.KrbOID, Text: files.Text}, "", cred("alice")),
		"bindings":             key(krb, files, "channel", cred("alice")),
	} {
		if same, ok := all[k]; ok {
			t.Errorf("%s and %s have one key", what, same)
		}
		all[k] = what
	}
	if key(krb, files, "channel", cred("alice")) != key(krb, files, "another", cred("alice")) {
		t.Error("tickets are for one channel only")
	}
}
