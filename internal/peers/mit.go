package peers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Enctypes are the AES enctypes with the names that MIT's configuration uses,
// and their numbers (RFC 3962 §7, RFC 8009 §8).
var Enctypes = []struct {
	ID   int
	Name string
}{
	{17, "aes128-cts-hmac-sha1-96"},
	{18, "aes256-cts-hmac-sha1-96"},
	{19, "aes128-cts-hmac-sha256-128"},
	{20, "aes256-cts-hmac-sha384-192"},
}

// Options shape a realm. The zero value is a realm TEST.GSS with the user "user"
// and the service host/localhost, and every AES enctype.
type Options struct {
	Realm    string
	Users    []string // principals in the client keytab; default "user"
	Services []string // principals in the service keytab; default "host/localhost"

	// Enctype, if given, is the only one: of keys, tickets, sessions and subkeys.
	Enctype string

	// Passwords are further users, with passwords. They are slow to make (a
	// PBKDF2 per enctype, about 0.2 s).
	Passwords map[string]string

	LibDefaults []string // further lines of [libdefaults], "forwardable = true"
}

// A Realm is a running MIT KDC and the files that its clients and services need.
type Realm struct {
	Name          string
	Dir           string // everything is in here
	Addr          string // of the KDC, TCP and UDP
	Config        string // a krb5.conf
	HeimdalConfig string // of HeimdalRealm: the same for Heimdal
	Keytab        string // of every service
	ClientKeytab  string // of every user
	kdcEnv        []string
}

// Principal returns name with the realm.
func (r *Realm) Principal(name string) string { return name + "@" + r.Name }

// Env is the environment of a client or a service of the realm, with pairs added;
// the credential cache is empty until somebody runs kinit.
func (r *Realm) Env(pairs ...string) []string {
	return Env(append([]string{
		"KRB5_CONFIG=" + r.Config,
		"KRB5_KTNAME=" + r.Keytab,
		"KRB5_CLIENT_KTNAME=" + r.ClientKeytab,
		"KRB5CCNAME=FILE:" + filepath.Join(r.Dir, "ccache"),
		"KRB5RCACHEDIR=" + r.Dir,
	}, pairs...)...)
}

// Kinit gets user's ticket-granting ticket into a new file, whose name it returns.
func (r *Realm) Kinit(t testing.TB, user string, args ...string) (ccache string) {
	t.Helper()
	ccache = filepath.Join(t.TempDir(), "ccache")
	args = append(args, "-c", "FILE:"+ccache, "-k", "-t", r.ClientKeytab, r.Principal(user))
	MustRun(t, r.Env(), "kinit", args...)
	return ccache
}

// Admin runs kadmin.local queries in one process, and fails the test on an error.
func (r *Realm) Admin(t testing.TB, queries ...string) {
	t.Helper()
	out, err := RunInput(t, r.kdcEnv, strings.Join(queries, "\n")+"\n", "kadmin.local", "-r", r.Name)
	// kadmin.local reports a failed query of a script only in words.
	for line := range strings.Lines(out) {
		if err == nil && (strings.Contains(line, " while ") || strings.HasPrefix(line, "usage:") || strings.Contains(line, "Unknown request")) {
			err = fmt.Errorf("%s", strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Fatalf("kadmin.local: %v\n%s", err, out)
	}
}

// MITRealm makes a realm and starts its KDC, in a temporary folder and on a free
// loopback port.
func MITRealm(t testing.TB, o Options) *Realm {
	t.Helper()
	Need(t, "kdb5_util", "kadmin.local", "krb5kdc")
	if o.Realm == "" {
		o.Realm = "TEST.GSS"
	}
	if o.Users == nil {
		o.Users = []string{"user"}
	}
	if o.Services == nil {
		o.Services = []string{"host/localhost"}
	}
	dir := t.TempDir()
	r := &Realm{
		Name:         o.Realm,
		Dir:          dir,
		Config:       filepath.Join(dir, "krb5.conf"),
		Keytab:       filepath.Join(dir, "service.keytab"),
		ClientKeytab: filepath.Join(dir, "client.keytab"),
	}
	r.kdcEnv = Env("KRB5_CONFIG="+r.Config, "KRB5_KDC_PROFILE="+filepath.Join(dir, "kdc.conf"), "KRB5RCACHEDIR="+dir)

	// Somebody may take the free port before the KDC does: try another then.
	created := false
	for try := 1; ; try++ {
		port := freePort(t)
		r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		r.writeConfig(t, o)
		if !created {
			MustRun(t, r.kdcEnv, "kdb5_util", "create", "-r", r.Name, "-s", "-P", "master")
			r.populate(t, o)
			created = true
		}
		exited, out := start(t, r.kdcEnv, "krb5kdc", "-n", "-r", r.Name)
		err := awaitTCP(r.Addr, exited, out)
		if err == nil {
			return r
		}
		if try == 3 {
			log, _ := os.ReadFile(filepath.Join(dir, "kdc.log"))
			t.Fatalf("krb5kdc: %v\n%s", err, log)
		}
	}
}

func (r *Realm) populate(t testing.TB, o Options) {
	var queries []string
	add := func(princ, keytab string) {
		queries = append(queries, "addprinc -randkey "+princ)
		if o.Enctype != "" {
			queries = append(queries, "setstr "+princ+" session_enctypes "+o.Enctype)
		}
		queries = append(queries, "ktadd -norandkey -k "+keytab+" "+princ)
	}
	for _, u := range o.Users {
		add(u, r.ClientKeytab)
	}
	for _, s := range o.Services {
		add(s, r.Keytab)
	}
	for user, password := range o.Passwords {
		queries = append(queries, "addprinc -pw "+password+" "+user)
	}
	r.Admin(t, queries...)
}

// writeConfig writes krb5.conf and kdc.conf for the port in r.Addr.
func (r *Realm) writeConfig(t testing.TB, o Options) {
	permitted, supported, master := "", "", ""
	if e := o.Enctype; e != "" {
		// permitted_enctypes too, or the acceptor's subkey may be of a better one (RFC 4537).
		permitted = "  permitted_enctypes = " + e + "\n"
		supported = "    supported_enctypes = " + e + ":normal\n"
		master = "    master_key_type = " + e + "\n"
	} else {
		for _, e := range slices.Backward(Enctypes) { // the best first
			supported += " " + e.Name + ":normal"
		}
		supported = "    supported_enctypes =" + supported + "\n"
	}
	for _, l := range o.LibDefaults {
		permitted += "  " + l + "\n"
	}
	krb5 := fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  spake_preauth_groups = edwards25519
%[3]s
[realms]
  %[1]s = {
    kdc = %[2]s
  }
[domain_realm]
  localhost = %[1]s
  .test = %[1]s
`, r.Name, r.Addr, permitted)
	kdc := fmt.Sprintf(`[kdcdefaults]
  kdc_listen = %[2]s
  kdc_tcp_listen = %[2]s
[realms]
  %[1]s = {
    database_name = %[3]s/principal
    key_stash_file = %[3]s/stash
    acl_file = %[3]s/acl
%[4]s  }
[logging]
  kdc = FILE:%[3]s/kdc.log
`, r.Name, r.Addr, r.Dir, supported+master)
	for name, text := range map[string]string{"krb5.conf": krb5, "kdc.conf": kdc} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitTCP waits until addr accepts a connection, or its process has exited.
func awaitTCP(addr string, exited <-chan struct{}, output *bytes.Buffer) error {
	deadline := time.After(10 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("it ended at once: %s", output)
		case <-deadline:
			return fmt.Errorf("not listening after 10 s: %w", err)
		case <-time.After(3 * time.Millisecond):
		}
	}
}
