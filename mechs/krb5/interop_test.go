package krb5

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
)

// A library is somebody else's GSS-API, as testdata/gssend.c or gssend.py.
type library struct {
	name    string
	command []string // before the arguments
	env     func(pairs ...string) []string
	prf     bool
}

func libraries(t *testing.T) []library {
	t.Helper()
	source, err := os.ReadFile("testdata/gssend.c")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/gssend.py")
	if err != nil {
		t.Fatal(err)
	}
	peers.Need(t, "krb5-config", "/usr/lib/python3/dist-packages/gssapi/__init__.py")
	h := peers.NeedHeimdal(t)
	return []library{
		{"MIT", []string{peers.Build(t, string(source), "-lgssapi_krb5")}, peers.Env, true},
		{"Heimdal", []string{h.Build(t, "#define HEIMDAL 1\n"+string(source))}, h.Env, true},
		{"python", []string{"/usr/bin/python3", script}, peers.Env, false},
	}
}

// A kdc is somebody's KDC with user, host/localhost and their keys of one enctype.
type kdc struct {
	realm, config, ccache, keytab string
	heimdal                       string // configuration of Heimdal's library
}

// env is what a library of either kind needs.
func (k *kdc) env(l library) []string {
	config := k.config
	if l.name == "Heimdal" {
		config = k.heimdal
	}
	return l.env("KRB5_CONFIG="+config, "KRB5CCNAME=FILE:"+k.ccache, "KRB5_KTNAME=FILE:"+k.keytab, "KRB5RCACHETYPE=none")
}

func kdcMIT(t *testing.T, enctype string) *kdc {
	r := peers.MITRealm(t, peers.Options{Enctype: enctype, LibDefaults: []string{"forwardable = true"}})
	return &kdc{r.Name, r.Config, r.Kinit(t, "user"), r.Keytab, heimdalConfig(t, r.Name, r.Addr, enctype)}
}

func kdcHeimdal(t *testing.T, enctype string) *kdc {
	r := peers.HeimdalRealm(t, peers.Options{Enctype: enctype, LibDefaults: []string{"forwardable = true"}})
	return &kdc{r.Name, r.Config, r.Kinit(t, "user"), r.Keytab, heimdalConfig(t, r.Name, r.Addr, enctype)}
}

func kdcOurs(t *testing.T, enctype string) *kdc {
	var etype int32
	for _, e := range peers.Enctypes {
		if e.Name == enctype {
			etype = int32(e.ID)
		}
	}
	r := kdctest.New(t, kdctest.Options{Enctypes: []int32{etype}})
	dir := t.TempDir()
	k := &kdc{r.Realm(), filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "ccache"), filepath.Join(dir, "keytab"),
		heimdalConfig(t, r.Realm(), r.Addr(), enctype)}
	for _, err := range []error{
		r.AddUser("user", "password"), r.AddService("host/localhost"),
		r.WriteConf(k.config, "forwardable = true", "permitted_enctypes = "+enctype), r.WriteKeytab(k.keytab, "host/localhost"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := peers.RunInput(t, peers.Env("KRB5_CONFIG="+k.config), "password\n", "kinit", "-c", "FILE:"+k.ccache, "user@"+k.realm); err != nil {
		t.Fatalf("kinit: %v\n%s", err, out)
	}
	return k
}

// heimdalConfig writes a krb5.conf for Heimdal's library.
func heimdalConfig(t *testing.T, realm, addr, enctype string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "heimdal.conf")
	if err := os.WriteFile(name, fmt.Appendf(nil, `[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  name_canon_rules = as-is:
  forwardable = true
  default_etypes = %[3]s
[realms]
  %[1]s = {
    kdc = tcp/%[2]s
  }
[domain_realm]
  localhost = %[1]s
`, realm, addr, enctype), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// ask has an end of a library do something with its context.
func (p *mitEndProcess) ask(format string, a ...any) []string {
	p.t.Helper()
	p.in(fmt.Sprintf(format, a...))
	f := strings.Fields(p.line())
	if len(f) == 0 || f[0] != "ok" {
		p.t.Fatalf("%s: %q", fmt.Sprintf(format, a...), f)
	}
	return f[1:]
}

func hexOf(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	if s == "-" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// talk exchanges messages of every kind between sc and its peer, several times.
func talk(t *testing.T, l library, p *mitEndProcess, sc gss.Context) {
	t.Helper()
	for _, size := range []int{0, 1, 15, 16, 17, 1000, 20_000} {
		msg := bytes.Repeat([]byte{'x'}, size)
		for sealed, level := range []gss.Level{gss.IntegrityOnly, gss.Confidential} {
			tok, err := sc.Wrap(nil, msg, level)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.ask("unwrap %s", hexOf(tok)); got[0] != fmt.Sprint(sealed) || got[1] != hexOf(msg) {
				t.Errorf("%d octets, %v: understood as %.40q", size, level, got)
			}
			got := p.ask("wrap %d %s", sealed, hexOf(msg))
			if back, lv, err := sc.Unwrap(nil, unhex(t, got[0])); err != nil || lv != level || !bytes.Equal(back, msg) {
				t.Errorf("%d octets, %v: %v, %v", size, level, lv, err)
			}
		}
		mic, err := sc.MIC(nil, msg)
		if err != nil {
			t.Fatal(err)
		}
		p.ask("verify %s %s", hexOf(msg), hexOf(mic))
		if err := sc.VerifyMIC(msg, unhex(t, p.ask("mic %s", hexOf(msg))[0])); err != nil {
			t.Errorf("%d octets, MIC: %v", size, err)
		}
	}
	// Heimdal has no full PRF key where the acceptor asserts no subkey.
	if !l.prf || l.name == "Heimdal" && !sc.Info().Flags.Has(gss.Mutual) {
		return
	}
	for n, key := range []gss.PRFKey{gss.PRFFull, gss.PRFPartial} {
		want, err := sc.PRF(key, []byte("input"), 100)
		if err != nil || p.ask("prf %d %x 100", n, "input")[0] != hexOf(want) {
			t.Errorf("PRF %v: %v", key, err)
		}
	}
}

// TestInterop: both sides of Kerberos against every library, with every KDC and enctype,
// mutual and one-way, with a credential delegated and without, with bindings and without.
// Under the race detector a third of the combinations is tried, of each realm another.
func TestInterop(t *testing.T) {
	libs := libraries(t)
	for i, where := range []struct {
		name  string
		start func(*testing.T, string) *kdc
	}{{"MIT's KDC", kdcMIT}, {"Heimdal's KDC", kdcHeimdal}, {"kdctest", kdcOurs}} {
		for j, e := range peers.Enctypes {
			t.Run(where.name+"/"+e.Name, func(t *testing.T) {
				t.Parallel()
				k := where.start(t, e.Name)
				m := k.ours(t, func(c *Config) { c.Forwardable = true })
				n := i + j
				run := func(name string, f func(*testing.T)) {
					if n++; !raceEnabled || n%3 == 0 {
						t.Run(name, f)
					}
				}
				for _, l := range libs {
					for _, flags := range []gss.Flags{gss.DefaultFlags, gss.DefaultFlags &^ gss.Mutual} {
						for _, deleg := range []gss.Flags{0, gss.Deleg} {
							for _, bindings := range []string{"", "tls-exporter:x"} {
								flags := flags | deleg
								name := fmt.Sprintf("%s/mutual %t, delegated %t, bound %t", l.name, flags.Has(gss.Mutual), deleg != 0, bindings != "")
								run("from "+name, func(t *testing.T) { interopAccept(t, m, k, l, libs[0], flags, bindings) })
								run("to "+name, func(t *testing.T) { interopInitiate(t, m, k, l, flags, bindings) })
							}
						}
					}
				}
			})
		}
	}
}

func (k *kdc) names() string { return fmt.Sprintf("user@%[1]s host/localhost@%[1]s", k.realm) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// interopAccept is a handshake that a library begins. A credential that comes with it is
// used at once, towards another.
func interopAccept(t *testing.T, m *Mech, k *kdc, l, other library, flags gss.Flags, bindings string) {
	if l.name == "Heimdal" && !flags.Has(gss.Mutual) {
		// It counts an acceptor's messages from 0 then, where others (and its own acceptor)
		// begin with the initiator's number, and finds a gap.
		flags &^= gss.Replay | gss.Sequence
	}
	p, sc, err := k.from(t, m, l, flags, bindings, &gss.AcceptOptions{Require: flags, Bindings: []byte(bindings)})
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	names := k.names()
	if l.name == "Heimdal" { // it does not say in which realm its KDC found the service
		names = strings.TrimSuffix(names, k.realm)
	}
	if got := p.line(); !strings.HasPrefix(got, "complete ") || !strings.HasSuffix(got, " "+names) {
		t.Fatal(got)
	}
	i := sc.Info()
	if i.Peer.Text+" "+i.Local.Text != k.names() || !i.Flags.Has(flags) || i.Flags.Has(gss.Bound) != (bindings != "") || i.Flags.Has(gss.Deleg) != flags.Has(gss.Deleg) {
		t.Errorf("%+v", i)
	}
	talk(t, l, p, sc)
	if !flags.Has(gss.Deleg) {
		return
	}
	cred, err := sc.(gss.Delegator).Delegated()
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	if cred.Name() != i.Peer {
		t.Errorf("%v delegated %v", i.Peer, cred.Name())
	}
	// It initiates, in the user's name.
	_, next, err := k.to(t, m, other, "", &gss.InitOptions{Credentials: []gss.Credential{cred}})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if next.Info().Local != i.Peer {
		t.Errorf("%v", next.Info())
	}
}

// interopInitiate is a handshake with a library, which uses what is delegated to it at once.
func interopInitiate(t *testing.T, m *Mech, k *kdc, l library, flags gss.Flags, bindings string) {
	p, sc, err := k.to(t, m, l, bindings, &gss.InitOptions{Require: flags, Bindings: []byte(bindings)})
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	if got := p.line(); !strings.HasPrefix(got, "complete ") || !strings.HasSuffix(got, " "+k.names()) {
		t.Fatal(got)
	}
	if i := sc.Info(); i.Local.Text+" "+i.Peer.Text != k.names() || !i.Flags.Has(flags) || i.Flags.Has(gss.Deleg) != flags.Has(gss.Deleg) {
		t.Errorf("%+v", i)
	}
	talk(t, l, p, sc)
	if !flags.Has(gss.Deleg) {
		return
	}
	got := p.ask("delegated host@localhost")
	if got[0] != "user@"+k.realm {
		t.Errorf("%q was delegated", got[0])
	}
	h, err := m.Accept(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, next, err := h.Step(t.Context(), unhex(t, got[1]))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if next.Info().Peer.Text != "user@"+k.realm {
		t.Errorf("%v", next.Info())
	}
}
