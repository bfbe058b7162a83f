package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
)

func TestDemo(t *testing.T) {
	code, out, stderr := gssRun(t, "", "demo")
	if code != exitOK || stderr != "" || strings.Contains(out, "FAILED") || strings.Contains(out, "\x1b") {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	for _, want := range []string{
		"Round 1", "Round 2", "krb5: alice@DEMO.TEST and post/bob.demo.test@DEMO.TEST", "pkix: mail:alice@demo.test and svc:post@bob.demo.test",
		"pkix: mail:carol@demo.test and svc:post@alice.demo.test", "krb5: carol@DEMO.TEST and post/alice.demo.test@DEMO.TEST",
		gss.BadMIC.Error(), gss.DuplicateToken.Error(), seal.ErrRelay.Error(), "WHAT WAS SHOWN", "All of it held.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

func TestDemoJSON(t *testing.T) {
	for _, size := range []int{0, 1, 1 << 20} {
		file := filepath.Join(t.TempDir(), "a file with a name of more than twenty letters")
		if err := os.WriteFile(file, bytes.Repeat([]byte{7}, size), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, stderr := gssRun(t, "", "demo", "--json", file)
		var rep struct {
			OK    bool
			Steps []struct {
				Round  int
				What   string
				OK     bool
				MS     float64
				Detail string
			}
		}
		if err := json.Unmarshal([]byte(out), &rep); err != nil || code != exitOK || stderr != "" || !rep.OK {
			t.Fatalf("%v, exit code %d\n%s%s", err, code, out, stderr)
		}
		var rounds [3][]string
		for _, s := range rep.Steps {
			if !s.OK || s.MS < 0 || s.What == "" || s.Detail == "" {
				t.Errorf("%+v", s)
			}
			rounds[s.Round] = append(rounds[s.Round], s.What)
		}
		if len(rounds[0]) != 1 || len(rounds[1]) != 14 || !slices.Equal(rounds[1], rounds[2]) {
			t.Errorf("%q", rounds)
		}
	}
}

func TestDemoUsage(t *testing.T) {
	if code, _, stderr := gssRun(t, "", "demo", filepath.Join(t.TempDir(), "none")); code != exitFailed || !strings.Contains(stderr, "no such file") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, _, _ := gssRun(t, "", "demo", "a", "b"); code != exitUsage {
		t.Errorf("%d", code)
	}
}

// What nobody could read was not shown.
func TestDemoUnwritten(t *testing.T) {
	for _, args := range [][]string{{"demo"}, {"demo", "--json"}} {
		var errs bytes.Buffer
		if code := run(t.Context(), &shell{strings.NewReader(""), fullDisk{}, &errs, os.Getenv}, args); code != exitFailed || !strings.Contains(errs.String(), syscall.ENOSPC.Error()) {
			t.Errorf("%q: exit code %d\n%s", args, code, errs.String())
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// The demonstration fails if Bob takes what he should not, or refuses for another
// reason, or if a claim is not what it says.
func TestDemoFails(t *testing.T) {
	right := &gss.Error{Op: "Unseal", Major: gss.BadName, Err: seal.ErrRelay}
	for _, c := range []struct {
		v   verdict
		err error
		ok  bool
	}{
		{verdict{err: right}, nil, true},
		{verdict{err: fmt.Errorf("outside: %w", right)}, nil, true},
		{verdict{message: &seal.Message{}}, nil, false},
		{verdict{err: gss.BadMIC}, nil, false},
		{verdict{err: gss.BadName}, nil, false},
		{verdict{err: errors.New("other")}, nil, false},
		{verdict{}, io.ErrUnexpectedEOF, false},
		{verdict{err: right}, io.ErrUnexpectedEOF, false},
	} {
		d := &demo{demoReport: demoReport{OK: true}}
		d.refused("it is refused", gss.BadName, seal.ErrRelay, func() (verdict, error) { return c.v, c.err })
		if d.OK != c.ok || len(d.Steps) != 1 || d.Steps[0].OK != c.ok {
			t.Errorf("%+v: %+v", c, d.demoReport)
		}
	}

	n := func(s string) gss.Name { return gss.Name{Mech: "\x01", Text: s} }
	d := &demo{demoReport: demoReport{OK: true}}
	d.claims(&seal.Message{Originator: n("x"), Recipient: n("x"), Relay: n("c")},
		&originator{known: n("a")}, &recipient{known: n("b")}, &relay{known: n("c")})
	for _, s := range d.Steps {
		if s.OK {
			t.Errorf("%+v", s)
		}
	}
	if d.OK || len(d.Steps) != 5 {
		t.Errorf("%+v", d.demoReport)
	}
}
