package krb5_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
)

// kadmind starts MIT's kadmind for r and returns the address of its password server.
func kadmind(t *testing.T, r *peers.Realm) string {
	t.Helper()
	peers.Need(t, "kadmind")
	program, err := exec.LookPath("kadmind")
	if err != nil {
		program = "/usr/sbin/kadmind"
	}
	conf, err := os.ReadFile(filepath.Join(r.Dir, "kdc.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "acl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 { // somebody may take the ports
		var addrs [2]string
		for i := range addrs {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addrs[i] = l.Addr().String()
			defer l.Close()
			l.Close()
		}
		listen := fmt.Sprintf("    kadmind_listen = %s\n    kpasswd_listen = %s\n    acl_file =", addrs[0], addrs[1])
		profile := filepath.Join(t.TempDir(), "kadmind.conf")
		if err := os.WriteFile(profile, bytes.Replace(conf, []byte("    acl_file ="), []byte(listen), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-nofork", "-r", r.Name)
		cmd.Env = peers.Env("KRB5_CONFIG="+r.Config, "KRB5_KDC_PROFILE="+profile, "KRB5RCACHEDIR="+r.Dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		for range 500 {
			if c, err := net.Dial("tcp", addrs[1]); err == nil {
				c.Close()
				return addrs[1]
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	t.Fatal("kadmind does not listen")
	return ""
}

// MIT's kadmind changes passwords: good ones, and not those that its policy forbids; also
// for somebody whose password has expired.
func TestMITChangePassword(t *testing.T) {
	realm := peers.MITRealm(t, peers.Options{Enctype: "aes256-cts-hmac-sha384-192", Passwords: map[string]string{"alice": "first-one", "bob": "bobs-own"}})
	realm.Admin(t, "addpol -minlength 8 long", "modprinc -policy long alice", "modprinc -pwexpire yesterday bob")
	server := kadmind(t, realm)
	config, err := krb5.LoadConfig(realm.Config)
	if err != nil {
		t.Fatal(err)
	}
	config.PasswordServers = map[string][]string{realm.Name: {server}}
	m := krb5.New(krb5.Options{Config: config})
	cred := func(name, password string) *krb5.Credential {
		return mustCred(t)(krb5.FromPassword(realm.Principal(name), password))
	}
	alice := cred("alice", "first-one")
	if err := m.ChangePassword(t.Context(), alice, "short"); gss.MajorOf(err) != gss.Unauthorized {
		t.Errorf("a short password: %v", err)
	}
	if err := m.ChangePassword(t.Context(), cred("alice", "wrong"), "second-one"); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("a wrong old password: %v", err)
	}
	if err := m.ChangePassword(t.Context(), alice, "second-one"); err != nil {
		t.Fatal(err)
	}
	if err := m.Login(t.Context(), cred("alice", "first-one")); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("the old password: %v", err)
	}
	if err := m.Login(t.Context(), cred("alice", "second-one")); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := m.Login(t.Context(), cred("bob", "bobs-own")); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("an expired password: %v", err)
	}
	if err := m.ChangePassword(t.Context(), cred("bob", "bobs-own"), "bobs-other"); err != nil {
		t.Errorf("an expired password cannot be changed: %v", err)
	}
	if err := m.Login(t.Context(), cred("bob", "bobs-other")); err != nil {
		t.Errorf("bob: %v", err)
	}
	closed := cred("alice", "second-one")
	closed.Close()
	if err := m.ChangePassword(t.Context(), closed, "x"); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("closed: %v", err)
	}
	if err := m.ChangePassword(t.Context(), cred("alice", "second-one"), ""); gss.MajorOf(err) != gss.Failure {
		t.Errorf("an empty password: %v", err)
	}
}
