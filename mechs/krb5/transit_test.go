package krb5

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
)

// TestTransited: an acceptor whose KDC has not checked the realms on a ticket's way does it
// itself, by its own [capaths] or by the hierarchy of names. The tickets are KDCs', but for
// the flag.
func TestTransited(t *testing.T) {
	hierarchy, others := []string{"X.UP.TEST", "UP.TEST", "Y.UP.TEST"}, []string{"A.TEST", "B.TEST", "C.TEST"}
	t.Run("kdctest", func(t *testing.T) {
		for _, tt := range []struct {
			realms []string
			paths  map[string]map[string][]string // of the acceptor
			ok     bool
		}{
			{hierarchy, nil, true},
			{hierarchy, map[string]map[string][]string{"X.UP.TEST": {"Y.UP.TEST": {"."}}}, false},
			{hierarchy, map[string]map[string][]string{"X.UP.TEST": {"Y.UP.TEST": {"Z.TEST"}}}, false},
			{hierarchy, map[string]map[string][]string{"Y.UP.TEST": {"X.UP.TEST": {"."}}}, true}, // the way back
			{others, nil, false},
			{others, map[string]map[string][]string{"A.TEST": {"C.TEST": {"B.TEST"}}}, true},
			{others, map[string]map[string][]string{"A.TEST": {"C.TEST": {"Z.TEST", "B.TEST"}}}, true},
			{others, map[string]map[string][]string{"A.TEST": {"C.TEST": {"Z.TEST"}}}, false},
			{others, map[string]map[string][]string{"A.TEST": {"B.TEST": {"."}}}, false},
			{others[:2], nil, true}, // they trust each other, and nobody is between
			{[]string{"A.TEST", "B.TEST", "C.TEST", "D.TEST"}, map[string]map[string][]string{"A.TEST": {"D.TEST": {"B.TEST", "C.TEST"}}}, true},
			{[]string{"A.TEST", "B.TEST", "C.TEST", "D.TEST"}, map[string]map[string][]string{"A.TEST": {"D.TEST": {"C.TEST"}}}, false},
		} {
			t.Run(fmt.Sprint(tt.realms, tt.paths), func(t *testing.T) {
				var list []*kdctest.Realm
				for i, n := range tt.realms {
					list = append(list, kdctest.New(t, kdctest.Options{Realm: n}))
					if i > 0 {
						list[i].Trust(list[i-1])
					}
				}
				list[0].AddUser("alice", "secret")
				last := list[len(list)-1]
				last.AddService("host/h.test")
				config, err := ParseConfig(list[0].Krb5Conf())
				if err != nil {
					t.Fatal(err)
				}
				keytab, err := last.Keytab()
				if err != nil {
					t.Fatal(err)
				}
				cred, err := FromPassword("alice@"+list[0].Realm(), "secret")
				if err != nil {
					t.Fatal(err)
				}
				defer cred.Close()
				unchecked(t, config, cred, keytab, last.Realm(), &Config{CAPaths: tt.paths}, tt.ok)
			})
		}
	})
	t.Run("MIT's KDC", func(t *testing.T) {
		for _, realms := range [][]string{hierarchy, others} {
			config := &Config{KDCs: map[string][]string{}, Domains: map[string]string{}}
			// The client asks in any case; it is the acceptor that does not know the way.
			config.CAPaths = map[string]map[string][]string{realms[0]: {realms[2]: {realms[1]}}}
			var list []*peers.Realm
			capaths := fmt.Sprintf("\n[capaths]\n%s = {\n %s = %s\n}", realms[0], realms[2], realms[1])
			for i, n := range realms {
				r := peers.MITRealm(t, peers.Options{Realm: n, Enctype: "aes256-cts-hmac-sha1-96", Services: []string{"host/h.test"}, LibDefaults: []string{capaths}})
				list = append(list, r)
				config.KDCs[n] = []string{r.Addr}
				for _, side := range list[max(i-1, 0):] {
					if i > 0 {
						side.Admin(t, fmt.Sprintf("addprinc -pw shared krbtgt/%s@%s", n, realms[i-1]))
					}
				}
			}
			cred, err := FromClientKeytabFile(list[0].ClientKeytab, list[0].Principal("user"))
			if err != nil {
				t.Fatal(err)
			}
			defer cred.Close()
			keytab, err := os.ReadFile(list[2].Keytab)
			if err != nil {
				t.Fatal(err)
			}
			unchecked(t, config, cred, keytab, realms[2], new(Config), strings.HasPrefix(realms[0], "X."))
			unchecked(t, config, cred, keytab, realms[2], config, true)
		}
	})
}

// unchecked gets a ticket for host/h.test in a realm and gives it to an acceptor with
// another configuration: as it is, and without the flag that its path was checked.
func unchecked(t *testing.T, config *Config, cred *Credential, keytab []byte, realm string, acceptor *Config, ok bool) {
	t.Helper()
	f := newForger(t, ikrb5.AES128SHA1)
	f.server = ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "h.test"}}, Realm: realm}
	f.client = cred.shared.principal
	m := New(Options{Config: config})
	tkt, err := m.ticketFor(t.Context(), cred.shared, f.server, f.server.String())
	if err != nil {
		t.Fatal(err)
	}
	f.session = tkt.key
	if f.service, err = FromKeytab(keytab, ""); err != nil {
		t.Fatal(err)
	}
	defer f.service.Close()
	raw, err := ikrb5.ParseTicket(tkt.raw)
	if err != nil {
		t.Fatal(err)
	}
	keys := f.service.shared.keys.candidates(f.server, &raw.EncPart)
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	plain, err := keys[0].key.Decrypt(nil, raw.EncPart.Cipher, ikrb5.UsageTicket)
	if err != nil {
		t.Fatal(err)
	}
	part, err := ikrb5.ParseEncTicketPart(plain)
	if err != nil {
		t.Fatal(err)
	}
	if part.Flags&ikrb5.TicketTransitedOK == 0 {
		t.Fatal("the KDC has not checked")
	}
	f.mech = New(Options{Config: acceptor, Replay: vouching{}})
	f.key = keys[0].key
	token := func() []byte {
		return f.token(part, f.authenticator(allFlags, nil))
	}
	f.server.Realm = realm
	if _, _, err := f.accept(token(), nil); err != nil {
		t.Errorf("checked: %v", err)
	}
	part.Flags &^= ikrb5.TicketTransitedOK
	out, _, err := f.accept(token(), nil)
	if ok {
		if err != nil {
			t.Errorf("by %q: %v", part.Transited, err)
		}
		return
	}
	refused(t, out, err, gss.Unauthorized, ikrb5.KRB_AP_PATH_NOT_ACCEPTED)
}

// TestTransitedForged: what no KDC should write.
func TestTransitedForged(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	for name, tt := range map[string]struct {
		client, transited string
		typ               int32
		ok                bool
	}{
		"on the way":                     {"X.TEST.GSS", "", 1, true},
		"through what is above":          {"A.B.TEST.GSS", "B.TEST.GSS", 1, true},
		"all that are between":           {"A.B.C.TEST.GSS", ",C.TEST.GSS", 1, true},
		"all, twice":                     {"A.B.C.TEST.GSS", ",", 1, false},
		"all, and one more":              {"A.B.C.TEST.GSS", ",EVIL", 1, false},
		"of another encoding":            {"A.B.TEST.GSS", "B.TEST.GSS", 0, false},
		"of another encoding, nothing":   {"A.B.TEST.GSS", "", 99, true},
		"not a list":                     {"A.B.TEST.GSS", `B.TEST.GSS\`, 1, false},
		"the client's own realm":         {"A.B.TEST.GSS", "A.B.TEST.GSS", 1, false},
		"the server's realm":             {"A.B.TEST.GSS", "TEST.GSS", 1, false},
		"left and came back":             {"TEST.GSS", "A.TEST.GSS", 1, false},
		"left and came back, all":        {"TEST.GSS", ",", 1, false},
		"another case":                   {"A.B.TEST.GSS", "b.test.gss", 1, false},
		"65 realms":                      {"A.B.TEST.GSS", strings.Repeat("B.TEST.GSS,", 64) + "B.TEST.GSS", 1, false},
		"a name with a comma in it":      {"A.B.TEST.GSS", `B\,.TEST.GSS`, 1, false},
		"a suffix to it, B.TEST.GSS":     {"A.B.TEST.GSS", "TEST.GSS,B.", 1, false},
		"one that ends as one that is":   {"A.B.TEST.GSS", "XB.TEST.GSS", 1, false},
		"empty as to what is not nested": {"A.X", ",", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			part, auth := f.ticketPart(), f.authenticator(allFlags, nil)
			part.CRealm, auth.CRealm = tt.client, tt.client
			part.Transited, part.TransitedType = []byte(tt.transited), tt.typ
			out, _, err := f.accept(f.token(part, auth), nil)
			if tt.ok && err != nil {
				t.Error(err)
			}
			if !tt.ok {
				refused(t, out, err, gss.Unauthorized, ikrb5.KRB_AP_PATH_NOT_ACCEPTED)
			}
		})
	}
}
