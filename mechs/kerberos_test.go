package mechs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/oid"
)

// "Just use my kinit": whatever kind of cache the environment or krb5.conf names,
// and whichever of a collection is its primary.
func TestKinit(t *testing.T) {
	peers.Need(t, "kinit", "kswitch", "klist")
	realm := kdctest.New(t)
	realm.AddUser("alice", "")
	realm.AddUser("bob", "")
	realm.AddService("host/localhost")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	realm.WriteKeytab(path("service.keytab"), "host/localhost")
	realm.WriteKeytab(path("users.keytab"), "alice", "bob")
	uid := strconv.Itoa(os.Getuid())
	for _, tt := range []struct {
		name, variable, setting string
		collection              bool
	}{
		{"path", path("a"), "", false},
		{"FILE", "FILE:" + path("b"), "", false},
		{"DIR", "DIR:" + path("c"), "", true},
		{"of krb5.conf", "", "FILE:" + path("d") + "-%{uid}-%{euid}%{null}", false},
		{"collection of krb5.conf", "", "DIR:%{TEMP}/e-%{USERID}", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := env{"KRB5_CONFIG": path("krb5.conf"), "KRB5CCNAME": tt.variable, "KRB5_KTNAME": path("service.keytab"), "TMPDIR": dir}
			var lines []string
			if tt.setting != "" {
				lines = append(lines, "default_ccache_name = "+tt.setting)
			}
			realm.WriteConf(e["KRB5_CONFIG"], lines...)
			theirs := peers.Env("KRB5_CONFIG="+e["KRB5_CONFIG"], "TMPDIR="+dir)
			if tt.variable != "" {
				theirs = append(theirs, "KRB5CCNAME="+tt.variable)
			}
			ms := system(t, e)
			if _, err := connect(t, ms, ms, oid.Krb5); !errors.Is(err, gss.NoCred) {
				t.Fatalf("before kinit: %v", err)
			}
			users := []string{"alice"}
			if tt.collection {
				users = []string{"alice", "bob", "alice"}
			}
			for i, user := range users {
				if i < 2 {
					peers.MustRun(t, theirs, "kinit", "-k", "-t", path("users.keytab"), user)
				}
				if tt.collection {
					peers.MustRun(t, theirs, "kswitch", "-p", user)
				}
				if info, err := connect(t, ms, ms, oid.Krb5); err != nil || info.Peer.Text != user+"@GSS.TEST" {
					t.Fatalf("%v, %v, want %s", info.Peer, err, user)
				}
				// The ticket is there for others.
				if out := peers.MustRun(t, theirs, "klist"); strings.Count(out, "host/localhost@") != 1 {
					t.Errorf("klist: %s", out)
				}
			}
			if tt.setting != "" && !tt.collection {
				if _, err := os.Stat(path("d") + "-" + uid + "-" + strconv.Itoa(os.Geteuid())); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A default cache that is somebody else's, or a link, is none: anybody can put one
// there. One that the environment names is what it is.
func TestDefaultCacheOfAnother(t *testing.T) {
	realm := kdctest.New(t)
	realm.AddUser("alice", "")
	realm.AddService("host/localhost")
	dir := t.TempDir()
	conf, keytab, file, link := filepath.Join(dir, "conf"), filepath.Join(dir, "keytab"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	realm.WriteKeytab(keytab, "host/localhost")
	realm.WriteCCache(file, "alice")
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	use := func(named, setting string) error {
		t.Helper()
		realm.WriteConf(conf, "default_ccache_name = "+setting)
		ms := system(t, env{"KRB5_CONFIG": conf, "KRB5CCNAME": named, "KRB5_KTNAME": keytab})
		_, err := connect(t, ms, ms, oid.Krb5)
		return err
	}
	if err := use("", "FILE:"+file); err != nil {
		t.Error(err)
	}
	if err := use("", "FILE:"+link); !errors.Is(err, gss.NoCred) {
		t.Errorf("a link: %v", err)
	}
	if err := use(link, "FILE:x"); err != nil {
		t.Errorf("a link that the environment names: %v", err)
	}
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(file, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if err := use("", "FILE:"+file); !errors.Is(err, gss.NoCred) {
		t.Errorf("another's: %v", err)
	}
	if err := use("FILE:"+file, "FILE:x"); err != nil {
		t.Errorf("another's that the environment names: %v", err)
	}
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	for setting, ok := range map[string]bool{
		"default_ccache_name = FILE:/tmp/x_%{username}":         true,
		"default_ccache_name = KCM:":                            true,
		"default_ccache_name = %{LIBDIR}/x":                     false,
		"default_ccache_name = %{uid":                           false,
		"default_ccache_name = API:":                            false,
		"default_keytab_name = FILE:/x/%{uid}":                  true,
		"default_keytab_name = MEMORY:x":                        false,
		"default_client_keytab_name = /x/%{euid}/client.keytab": true,
		"default_client_keytab_name = %{x}":                     false,
	} {
		if err := os.WriteFile(conf, []byte("[libdefaults]\n default_realm = R\n kcm_socket = "+filepath.Join(dir, "none")+"\n "+setting+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		ms, err := mechs.FromEnv(env{"KRB5_CONFIG": conf}.get)
		if (err == nil) != ok || len(ms) != 1 && !ok {
			t.Errorf("%s: %v, %v", setting, ms.OIDs(), err)
		}
		if strings.HasSuffix(setting, "KCM:") {
			if _, err := connect(t, ms, ms, oid.Krb5); !errors.Is(err, gss.NoCred) {
				t.Errorf("no daemon: %v", err)
			}
		}
	}
}
