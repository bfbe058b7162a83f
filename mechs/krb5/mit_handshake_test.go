package krb5

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/oid"
)

// A mitEndProcess is testdata/mitend.c: a handshake by MIT.
type mitEndProcess struct {
	t   *testing.T
	in  func(line string)
	out *bufio.Scanner
}

func startMITEnd(t *testing.T, program string, env []string, args ...string) *mitEndProcess {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	p := &mitEndProcess{t: t, out: bufio.NewScanner(out), in: func(line string) { fmt.Fprintln(in, line) }}
	p.out.Buffer(nil, 1<<18)
	return p
}

func (p *mitEndProcess) line() string {
	if !p.out.Scan() {
		p.t.Fatalf("mitend ended: %v", p.out.Err())
	}
	return p.out.Text()
}

// step gives it a token, if any, and returns its token.
func (p *mitEndProcess) step(tok []byte) []byte {
	p.t.Helper()
	if len(tok) > 0 {
		p.in(hex.EncodeToString(tok))
	}
	l := p.line()
	if l == "-" {
		return nil
	}
	b, err := hex.DecodeString(l)
	if err != nil {
		p.t.Fatal(l)
	}
	return b
}

// TestMITHandshake: channel bindings, flags, names and error tokens as MIT sees them.
func TestMITHandshake(t *testing.T) {
	peers.Need(t, "cc", "krb5-config")
	program := filepath.Join(t.TempDir(), "mitend")
	if out, err := exec.Command("cc", "-o", program, "testdata/mitend.c", "-lgssapi_krb5").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := peers.MITRealm(t, peers.Options{})
	config, err := LoadConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	cc := r.Kinit(t, "user")
	env := r.Env("KRB5CCNAME=FILE:" + cc)
	m := New(Options{Config: config, Replay: vouching{}, Initiator: FileSource(cc, FromCCacheFile),
		Acceptor: FileSource(r.Keytab, func(p string) (*Credential, error) { return FromKeytabFile(p, "") })})
	names := fmt.Sprintf("user@%[1]s host/localhost@%[1]s", r.Name)
	x, y := "tls-exporter:x", "tls-exporter:y"

	t.Run("MIT initiates", func(t *testing.T) {
		for _, tt := range []struct {
			theirs, mine string
			optional     bool
			major        gss.Major
			bound        bool
		}{
			{"-", "", false, 0, false},
			{x, "", false, 0, false},
			{x, x, false, 0, true},
			{"-", x, true, 0, false},
			{"-", x, false, gss.BadBindings, false},
			{x, y, true, gss.BadBindings, false},
		} {
			p := startMITEnd(t, program, env, "host@localhost", "62", tt.theirs)
			h, err := m.Accept(&gss.AcceptOptions{Bindings: []byte(tt.mine), BindingsOptional: tt.optional})
			if err != nil {
				t.Fatal(err)
			}
			out, sc, err := h.Step(t.Context(), p.step(nil))
			if gss.MajorOf(err) != tt.major || sc != nil && sc.Info().Flags.Has(gss.Bound) != tt.bound {
				t.Errorf("%+v: %v", tt, err)
			}
			p.step(out)
			result := p.line()
			if sc != nil {
				if !strings.HasSuffix(result, " "+names) {
					t.Errorf("MIT: %s, want %s", result, names)
				}
				sc.Close()
			} else if !strings.HasPrefix(result, "error ") {
				t.Errorf("MIT: %s", result)
			}
		}
	})
	t.Run("MIT accepts", func(t *testing.T) {
		for _, tt := range []struct {
			mine, theirs string
			ok           bool
		}{
			{"", "-", true}, {x, "-", true}, {x, x, true}, {x, y, false},
		} {
			p := startMITEnd(t, program, env, "-", "0", tt.theirs)
			h, err := m.Initiate(gss.Service("host", "localhost"), &gss.InitOptions{Bindings: []byte(tt.mine)})
			if err != nil {
				t.Fatal(err)
			}
			tok, _, err := h.Step(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			rep := p.step(tok)
			result := p.line()
			_, sc, err := h.Step(t.Context(), rep)
			switch {
			case tt.ok:
				var flags uint32
				if _, err := fmt.Sscanf(result, "complete %d", &flags); err != nil || !gss.Flags(flags).Has(gss.DefaultFlags) || !strings.HasSuffix(result, " "+names) {
					t.Errorf("%+v: MIT: %s", tt, result)
				}
				if err != nil {
					t.Errorf("%+v: %v", tt, err)
					continue
				}
				if i := sc.Info(); i.Local.Text+" "+i.Peer.Text != names {
					t.Errorf("%+v", i)
				}
				sc.Close()
			case err == nil || !strings.HasPrefix(result, fmt.Sprintf("error %d", uint32(gss.BadBindings))):
				t.Errorf("%+v: %v, MIT: %s", tt, err, result)
			}
		}
	})
	t.Run("errors", func(t *testing.T) {
		// MIT's KRB-ERROR to us: for a ticket that it cannot read.
		p := startMITEnd(t, program, env, "-", "0", "-")
		f := newForger(t, ikrb5.AES256SHA1)
		f.server = ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "localhost"}}, Realm: r.Name}
		h, err := m.Initiate(gss.Name{Type: oid.NTKrb5, Text: f.server.String()}, &gss.InitOptions{Credentials: []gss.Credential{f.credential()}})
		if err != nil {
			t.Fatal(err)
		}
		tok, _, err := h.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, sc, err := h.Step(t.Context(), p.step(tok))
		if e, ok := errors.AsType[*gss.Error](err); !ok || sc != nil || !e.Remote || e.Minor == 0 {
			t.Errorf("MIT refused: %v", err)
		}
		// Ours to MIT: for a service that is not ours. Its minor status is the code
		// plus the base of Kerberos' table of errors.
		p = startMITEnd(t, program, env, "host@localhost", "62", "-")
		other, err := FromKeytab(f.keytab(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		a, err := m.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{other}})
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := a.Step(t.Context(), p.step(nil))
		e, ok := errors.AsType[*gss.Error](err)
		if !ok || len(out) == 0 {
			t.Fatal(err)
		}
		p.step(out)
		if want := fmt.Sprintf("error %d %d", uint32(gss.Failure), uint32(0x96c73a00)+e.Minor); p.line() != want {
			t.Errorf("MIT was told %q, want %q", p.out.Text(), want)
		}
	})
}
