package peers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Heimdal is Heimdal's programs and libraries, unpacked beside MIT's.
type Heimdal struct{ root string }

// NeedHeimdal is Need for Heimdal.
func NeedHeimdal(t testing.TB) Heimdal {
	t.Helper()
	return Heimdal{Unpacked(t, "heimdal")}
}

// Program returns the path of a program: "kinit" (which Debian calls kinit.heimdal), "kgetcred",
// "kdc", "kcm", "gsstool".
func (h Heimdal) Program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/lib/heimdal-servers"} {
		for _, suffix := range []string{".heimdal", ""} {
			p := filepath.Join(h.root, dir, name+suffix)
			if _, err := os.Stat(p); err == nil {
				return p
			}
		}
	}
	t.Fatalf("heimdal has no program %s", name)
	return ""
}

// Env is Env for Heimdal's programs.
func (h Heimdal) Env(pairs ...string) []string {
	return Env(append([]string{"LD_LIBRARY_PATH=" + libraries(h.root)}, pairs...)...)
}

// Build compiles a C program against Heimdal's libgssapi and libkrb5. It finds the libraries
// without help.
func (h Heimdal) Build(t testing.TB, source string) (program string) {
	t.Helper()
	flags := []string{"-I", filepath.Join(h.root, "usr/include/heimdal"), "-I", filepath.Join(h.root, "usr/include")}
	flags = append(flags, "-Wl,--disable-new-dtags", "-Wl,--allow-shlib-undefined")
	for dir := range strings.SplitSeq(libraries(h.root), ":") {
		flags = append(flags, "-L"+dir, "-Wl,-rpath,"+dir)
	}
	return Build(t, source, append(flags, "-l:libgssapi.so.3", "-l:libkrb5.so.26")...)
}

// HeimdalRealm is MITRealm with Heimdal's KDC. Realm.Config is for MIT's clients and for ours;
// Heimdal's own want Realm.HeimdalConfig.
func HeimdalRealm(t testing.TB, o Options) *Realm {
	t.Helper()
	h := NeedHeimdal(t)
	if o.Realm == "" {
		o.Realm = "HEIM.GSS"
	}
	if o.Users == nil {
		o.Users = []string{"user"}
	}
	if o.Services == nil {
		o.Services = []string{"host/localhost"}
	}
	dir := t.TempDir()
	r := &Realm{
		Name:          o.Realm,
		Dir:           dir,
		Config:        filepath.Join(dir, "krb5.conf"),
		HeimdalConfig: filepath.Join(dir, "heimdal.conf"),
		Keytab:        filepath.Join(dir, "service.keytab"),
		ClientKeytab:  filepath.Join(dir, "client.keytab"),
	}
	r.kdcEnv = h.Env("KRB5_CONFIG=" + r.HeimdalConfig)
	created := false
	for try := 1; ; try++ {
		port := strconv.Itoa(freePort(t))
		r.Addr = net.JoinHostPort("127.0.0.1", port)
		r.writeConfig(t, o)
		r.writeHeimdal(t, o)
		if !created {
			r.populateHeimdal(t, h, o)
			created = true
		}
		exited, out := start(t, r.kdcEnv, h.Program(t, "kdc"), "--config-file="+r.HeimdalConfig,
			"--addresses=127.0.0.1", "--ports="+port+"/udp "+port+"/tcp")
		err := awaitTCP(r.Addr, exited, out)
		if err == nil {
			return r
		}
		if try == 3 {
			log, _ := os.ReadFile(filepath.Join(dir, "kdc.log"))
			t.Fatalf("heimdal's kdc: %v\n%s", err, log)
		}
	}
}

func (r *Realm) populateHeimdal(t testing.TB, h Heimdal, o Options) {
	MustRun(t, r.kdcEnv, h.Program(t, "kstash"), "--random-key", "-k", filepath.Join(r.Dir, "m-key"))
	admin := func(args ...string) {
		MustRun(t, r.kdcEnv, h.Program(t, "kadmin"), append([]string{"-l", "-c", r.HeimdalConfig, "-r", r.Name}, args...)...)
	}
	admin("init", "--realm-max-ticket-life=1d", "--realm-max-renewable-life=7d", r.Name)
	add := func(princ, keytab string) {
		admin("add", "-r", "--use-defaults", princ)
		admin("ext_keytab", "-k", keytab, princ)
	}
	for _, u := range o.Users {
		add(u, r.ClientKeytab)
	}
	for _, s := range o.Services {
		add(s, r.Keytab)
	}
	for user, password := range o.Passwords {
		admin("add", "-p", password, "--use-defaults", user)
	}
}

// writeHeimdal writes the configuration of Heimdal's KDC and clients.
func (r *Realm) writeHeimdal(t testing.TB, o Options) {
	enctypes := o.Enctype
	if enctypes == "" {
		for _, e := range slices.Backward(Enctypes) {
			enctypes += " " + e.Name
		}
	}
	lines := "  default_etypes = " + enctypes + "\n"
	for _, l := range o.LibDefaults {
		lines += "  " + l + "\n"
	}
	keys := ""
	for e := range strings.FieldsSeq(enctypes) {
		keys += " " + e + ":pw-salt"
	}
	text := fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  name_canon_rules = as-is:
%[4]s
[realms]
  %[1]s = {
    kdc = tcp/%[2]s
  }
[domain_realm]
  localhost = %[1]s
  .test = %[1]s
[kdc]
  database = {
    dbname = %[3]s/heimdal
    realm = %[1]s
    mkey_file = %[3]s/m-key
    log_file = %[3]s/kdc.iprop
  }
  tgt-use-strongest-session-key = true
  svc-use-strongest-session-key = true
[kadmin]
  default_keys =%[5]s
[logging]
  kdc = FILE:%[3]s/kdc.log
`, r.Name, r.Addr, r.Dir, lines, keys)
	if err := os.WriteFile(r.HeimdalConfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
