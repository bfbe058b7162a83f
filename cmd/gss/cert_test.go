package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gsseal/gss/internal/peers"
)

// Certificates of every key type carry our client to our server.
func TestCertWithServer(t *testing.T) {
	for keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "certs")
			if code, out, stderr := gssRun(t, "", "cert", "--key-type", keyType, dir); code != exitOK || strings.Count(out, "\n") != 5 {
				t.Fatalf("exit code %d\n%s%s", code, out, stderr)
			}
			flags := func(who string) []string {
				return []string{"--cert", filepath.Join(dir, who+".pem"), "--key", filepath.Join(dir, who+".key"), "--ca", filepath.Join(dir, "ca.pem")}
			}
			env := peers.Env("KRB5_CONFIG=/nonexistent", "KRB5CCNAME=/nonexistent", "KRB5_KTNAME=/nonexistent")
			server, port := startServer(t, env, append(flags("localhost"), "host@localhost")...)
			client := append([]string{"client", "--port", strconv.Itoa(port), "localhost", "host@localhost", "hello"}, flags("user@example.org")...)
			for _, x := range exchanges {
				out, err := gssEnv(t, env, append(client, x.ours...)...)
				if err != nil || strings.Count(out, "Signature verified.") != x.verified {
					t.Fatalf("%s: %v\n%s\nserver:\n%s", x.name, err, out, server.output())
				}
			}
			if err := eventually(func() bool { return strings.Contains(server.output(), "mail:user@example.org to svc:host@localhost") }); err != nil {
				t.Errorf("the server does not know its client:\n%s", server.output())
			}
			// Another authority's certificates prove nothing.
			other := filepath.Join(t.TempDir(), "other")
			if code, _, stderr := gssRun(t, "", "cert", other); code != exitOK {
				t.Fatal(stderr)
			}
			dir = other
			client = append(client[:6], flags("user@example.org")...)
			if out, err := gssExec(t, env, client...); err == nil {
				t.Errorf("a server of another authority: %s", out)
			}
		})
	}
}

// openssl reads them, and finds nothing wrong with them.
func TestCertWithOpenSSL(t *testing.T) {
	peers.Need(t, "openssl")
	dir := t.TempDir()
	names := []string{"www.example.org", "carol@example.org", "spiffe://example.org/a b"}
	for keyType := range keyTypes {
		sub := filepath.Join(dir, keyType)
		if code, _, stderr := gssRun(t, "", append([]string{"cert", "--key-type", keyType, sub}, names...)...); code != exitOK {
			t.Fatal(stderr)
		}
		for name, want := range map[string]string{
			"www.example.org": "DNS:www.example.org", "carol@example.org": "email:carol@example.org", "spiffe___example.org_a_b": "URI:spiffe://example.org/a",
		} {
			pem, key := filepath.Join(sub, name+".pem"), filepath.Join(sub, name+".key")
			if out, err := peers.Run(t, peers.Env(), "openssl", "verify", "-x509_strict", "-CAfile", filepath.Join(sub, "ca.pem"), pem); err != nil {
				t.Errorf("%s: %v\n%s", pem, err, out)
			}
			if out := peers.MustRun(t, peers.Env(), "openssl", "x509", "-in", pem, "-noout", "-ext", "subjectAltName"); !strings.Contains(out, want) {
				t.Errorf("%s: %s", pem, out)
			}
			fromCert := peers.MustRun(t, peers.Env(), "openssl", "x509", "-in", pem, "-noout", "-pubkey")
			fromKey := peers.MustRun(t, peers.Env(), "openssl", "pkey", "-in", key, "-pubout")
			if fromCert != fromKey {
				t.Errorf("%s is not the key of %s", key, pem)
			}
			if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", key, st.Mode(), err)
			}
		}
	}
}

func TestCertUsage(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want int
	}{
		{nil, exitUsage},
		{[]string{"--key-type", "dsa", dir}, exitUsage},
		{[]string{"--days", "0", dir}, exitUsage},
		{[]string{dir, "a b"}, exitUsage},
		{[]string{dir, ""}, exitUsage},
		{[]string{dir, "a.test", "a.test"}, exitUsage},
		{[]string{dir, "a.test"}, exitOK},
		{[]string{dir, "b.test"}, exitFailed}, // ca.pem is there
	} {
		code, _, stderr := gssRun(t, "", append([]string{"cert"}, c.args...)...)
		if code != c.want || (code == exitOK) != (stderr == "") {
			t.Errorf("%q: exit code %d, %s", c.args, code, stderr)
		}
	}
}
