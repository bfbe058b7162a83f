package krb5

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// TestFIPSOnly runs itself with what FIPS 140-3 does not approve made to panic: the
// RFC 8009 types still work, the others and channel bindings are refused.
func TestFIPSOnly(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPSOnly$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestFIPSOnly") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for _, e := range []ikrb5.EType{ikrb5.AES128SHA2, ikrb5.AES256SHA2} {
		f := newForger(t, e)
		cred := f.credential()
		h, tok := f.initiate(cred, nil)
		rep, _, err := f.accept(tok, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, sc, err := h.Step(t.Context(), rep)
		if err != nil {
			t.Fatal(err)
		}
		sc.Close()
		b := []byte("tls-exporter:x")
		if _, err := f.mech.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}, Bindings: b}); gss.MajorOf(err) != gss.Unavailable {
			t.Errorf("%v: Initiate with bindings: %v", e, err)
		}
		if _, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}, Bindings: b}); gss.MajorOf(err) != gss.Unavailable {
			t.Errorf("%v: Accept with bindings: %v", e, err)
		}
		if got := f.mech.config.encTypes(); len(got) != 2 || f.mech.config.permits(ikrb5.AES256SHA1) {
			t.Errorf("permitted: %v", got)
		}
	}
}
