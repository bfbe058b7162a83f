package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/rpcsecgss"
	"github.com/gsseal/gss/strike/boltstore"
)

// needRings skips a test where there are no rings in files, and lets this binary be
// the servers.
func needRings(t *testing.T) {
	t.Helper()
	if _, err := reauth.OpenRing(filepath.Join(t.TempDir(), "ring")); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("there are no rings in files here")
	}
	t.Setenv("GSS_TEST_RUN_MAIN", "1")
}

func TestDemoReauth(t *testing.T) {
	needRings(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	code, out, stderr := gssRun(t, "", "demo", "reauth", "--json")
	var d reauthDemo
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != exitOK || !d.OK || stderr != "" {
		t.Fatalf("%v, exit code %d\n%s%s", err, code, out, stderr)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(d.Steps) != 9 || len(d.Recoveries) != 2*(2+demoKills) || len(d.Accounts) != 4 {
		t.Fatalf("%d steps, %d recoveries, %d accounts", len(d.Steps), len(d.Recoveries), len(d.Accounts))
	}
	again := [3]int{}
	for i, v := range d.Recoveries {
		n := i % (2 + demoKills)
		round := 1 + i/(2+demoKills)
		server := "A"
		if round == 2 && n > 1 && n%2 == 0 {
			server = "B"
		}
		if v.Round != round || v.Kill != max(n-1, 0) || v.Server != server || v.MS <= 0 {
			t.Errorf("%d: %+v", i, v)
		}
		switch {
		case n == 0: // AS-REQ, perhaps again with pre-authentication, TGS-REQ
			if v.Krb5 == nil || v.PKIX != nil || v.Krb5.Resumed || v.Krb5.RoundTrips != 1 || v.KDCExchanges < 2 || v.PublicKeyOps != 0 {
				t.Errorf("Kerberos: %+v %+v", v, v.Krb5)
			}
		case n == 1: // each side signs, verifies, agrees
			if v.Krb5 != nil || v.PKIX == nil || v.PKIX.Resumed || v.PKIX.RoundTrips != 2 || v.KDCExchanges != 0 || v.PublicKeyOps != 6 {
				t.Errorf("certificates: %+v %+v", v, v.PKIX)
			}
		case v.Krb5 == nil || v.PKIX == nil || v.KDCExchanges != 0 || v.PublicKeyOps != 0:
			t.Errorf("%+v", v)
		default:
			for _, b := range []*comeback{v.Krb5, v.PKIX} {
				if !b.Resumed || b.RoundTrips < 1 || b.RoundTrips > 2 || b.Micros <= 0 || b.State < 600 || b.State > 1200 {
					t.Errorf("%d: %+v", i, b)
				}
				if b.Again {
					again[round]++
				}
			}
		}
	}
	for i, a := range d.Accounts {
		// No other call than one that was under way can be answered from the store.
		if a.Round != 1+i/2 || a.Calls < 2*demoKills || a.Again > demoKills || !strings.Contains(a.Who, "alice@") {
			t.Errorf("%+v", a)
		}
		again[a.Round] -= a.Again
	}
	if again != [3]int{} {
		t.Errorf("calls from the store: the rows and the accounts differ by %v", again[1:])
	}
}

// One who tires of it ends it, and all of it.
func TestDemoReauthInterrupt(t *testing.T) {
	needRings(t)
	tmp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := gssCommand(ctx, t, append(os.Environ(), "TMPDIR="+tmp), "demo", "reauth")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []byte
	for buf := make([]byte, 4096); err == nil && !bytes.Contains(said, []byte("\n     2 ")); {
		var n int
		n, err = out.Read(buf)
		said = append(said, buf[:n]...)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 1 {
		t.Errorf("%d folders in use", len(left))
	}
	cmd.Process.Signal(syscall.SIGINT)
	for buf := make([]byte, 4096); err == nil; {
		var n int
		n, err = out.Read(buf)
		said = append(said, buf[:n]...)
	}
	if cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed || !bytes.Contains(said, []byte("interrupt")) {
		t.Errorf("%v\n%s", cmd.ProcessState, said)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	servers, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range servers {
		if env, _ := os.ReadFile(f); bytes.Contains(env, []byte("TMPDIR="+tmp+"\x00")) {
			t.Errorf("%s is still there", filepath.Dir(f))
		}
	}
}

// The demonstration fails if an answer is not what it must be.
func TestDemoReauthAnswers(t *testing.T) {
	who := gss.Name{Mech: oid.Krb5, Text: "alice@DEMO.TEST"}
	for _, c := range []struct {
		t  tallied
		ok bool
	}{
		{tallied{who: who.String(), total: 12, amount: 2}, true},
		{tallied{who: who.String(), total: 12, amount: 2, again: true}, true},
		{tallied{who: who.String(), total: 14, amount: 2}, false},
		{tallied{who: who.String(), total: 10, amount: 2}, false},
		{tallied{who: "bob@DEMO.TEST", total: 12, amount: 2}, false},
		{tallied{who: who.String(), total: 12, amount: 2, err: context.Canceled}, false},
	} {
		c.t.caller = &caller{who: who}
		if err := c.t.check(10); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.t, err)
		}
	}
}

// It fails if a client authenticated in full, or somebody asked the KDC or used a
// public key, or the store has not what the clients count.
func TestDemoReauthVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*reauthRound)
		failed string
	}{
		"right":      {func(*reauthRound) {}, ""},
		"in full":    {func(r *reauthRound) { r.d.Recoveries[1].PKIX.Resumed = false }, "ticket"},
		"refused":    {func(r *reauthRound) { r.callers[0].refused = 1 }, "ticket"},
		"KDC":        {func(r *reauthRound) { r.d.Recoveries[1].KDCExchanges = 1 }, "KDC"},
		"public key": {func(r *reauthRound) { r.d.Recoveries[1].PublicKeyOps = 1 }, "KDC"},
		"total":      {func(r *reauthRound) { r.totals[r.callers[1]]++ }, "counted"},
		"twice":      {func(r *reauthRound) { r.reports[r.callers[1]].Calls-- }, "counted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reauthRound{d: new(reauthDemo), s: new(stand), totals: map[*caller]uint64{}, reports: map[*caller]*tallyReport{}}
			r.d.OK, r.d.round = true, 1
			r.s.tally.Folder = t.TempDir()
			store := openTotals(t, &r.s.tally)
			for i, who := range []gss.Name{{Mech: oid.Krb5, Text: "alice@DEMO.TEST"}, {Mech: oid.PKIX, Text: "mail:alice@demo.test"}} {
				a := &caller{who: who}
				r.callers = append(r.callers, a)
				for n := range uint32(3) {
					if _, again, err := store.once(t.Context(), callOf(who, n), 0, 5); err != nil || again {
						t.Fatal(again, err)
					}
				}
				r.totals[a], r.reports[a] = 15, &tallyReport{Round: 1, Calls: 3}
				r.d.Recoveries = append(r.d.Recoveries, recovery{Round: 1, Kill: i, Krb5: &comeback{Resumed: true, RoundTrips: 1}, PKIX: &comeback{Resumed: true, RoundTrips: 1}})
			}
			c.change(r)
			r.verdict()
			failed := ""
			for _, s := range r.d.Steps {
				if !s.OK {
					failed += s.What + ": " + s.Detail
				}
			}
			if r.d.OK != (c.failed == "") || len(r.d.Steps) != 4 || !strings.Contains(failed, c.failed) || c.failed == "" && failed != "" {
				t.Errorf("failed: %s", failed)
			}
		})
	}
}

// A call that comes again is answered as before, and not added; one that differs in
// anything is another.
func TestTallyOnce(t *testing.T) {
	c := &tallyConfig{Folder: t.TempDir()}
	store := openTotals(t, c)
	alice := gss.Name{Mech: oid.Krb5, Text: "alice@DEMO.TEST"}
	bob := gss.Name{Mech: oid.Krb5, Text: "bob@DEMO.TEST"}
	var first []byte
	for n := range 3 {
		got, again, err := store.once(t.Context(), callOf(alice, 7), 1, 5)
		if err != nil || again != (n > 0) || n > 0 && !bytes.Equal(got, first) {
			t.Errorf("%d: %x %v %v", n, got, again, err)
		}
		first = got
	}
	for _, x := range []*rpcsecgss.Call{callOf(alice, 8), callOf(bob, 7), {XID: 7, Info: gss.Info{Peer: alice}, Args: []byte("x")}} {
		if _, again, err := store.once(t.Context(), x, 1, 5); err != nil || again {
			t.Errorf("%+v: %v %v", x, again, err)
		}
	}
	if _, _, err := store.once(t.Context(), &rpcsecgss.Call{}, 1, 5); err == nil {
		t.Error("nobody was counted")
	}
	book, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	who, _ := alice.Export()
	if len(book.totals) != 2 || book.effects != 4 || book.totals[string(accountName(who, 1))] != 15 {
		t.Errorf("%+v", book)
	}
}

func openTotals(t *testing.T, c *tallyConfig) *tally {
	t.Helper()
	store, err := boltstore.Open(c.totals(), boltstore.Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &tally{store: store}
}

func callOf(who gss.Name, xid uint32) *rpcsecgss.Call {
	return &rpcsecgss.Call{XID: xid, Prog: tallyProgram, Vers: tallyVersion, Proc: tallyAdd, Info: gss.Info{Peer: who}}
}
