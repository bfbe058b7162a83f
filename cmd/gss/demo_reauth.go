package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gsseal/gss/oid"
)

const (
	demoKills  = 20
	demoLinger = time.Millisecond
)

const demoReauthHelp = `
"gss demo reauth" shows how clients come back to a server that was killed. Two
clients, one with Kerberos and one with a certificate, call an RPC service that
adds to a stored total, again and again, while its process is killed (kill -9)
and started again, 20 times; then two processes share a port and a ring of
ticket keys, and are killed in turn. It takes some seconds. (A file of that
name is ./reauth.) The first lines of each table are first authentications, the
others what the clients did after a kill:

    KDC      requests that the KDC got
    public   signatures made, chains of certificates verified and keys agreed
             on, by both sides
    trips    round trips of the handshake
    us       microseconds that it took, in a server that has just started, and
             its file of used tickets, on the disk, included
    octets   that the client keeps to come back
    again    calls that had taken effect before the kill, and were answered
             from the store
    ms       from the kill to the last client's next answer

(Kerberos by itself would ask no KDC either, as long as its service ticket is
good. Certificates by themselves would take the public-key operations again.)

Each call is answered once and counted once, as the service commits effect and
answer in one transaction, under the caller's name, the call's number (xid) and
a hash of its arguments, and looks there first. Without that a call is made at
least once if the server crashes.
`

// demoReauth is "gss demo reauth".
func demoReauth(ctx context.Context, sh *shell, asJSON bool) error {
	if sh.getenv(tallyEnv) != "" {
		return serveTally(ctx, sh)
	}
	d := new(reauthDemo)
	d.start(sh, asJSON)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	d.run(ctx)
	return d.end(sh, d)
}

// A reauthDemo is a running "gss demo reauth".
type reauthDemo struct {
	demoReport
	Recoveries []recovery    `json:"recoveries"`
	Accounts   []tallyReport `json:"accounts"`

	folder string
}

// A recovery is what a kill of a server cost, or, for kill 0, the first authentication.
type recovery struct {
	Round        int       `json:"round"`  // 1: one server, 2: two
	Kill         int       `json:"kill"`   // 0: none yet
	Server       string    `json:"server"` // that the clients came to
	KDCExchanges int64     `json:"kdcExchanges"`
	PublicKeyOps int64     `json:"publicKeyOps"` // of both sides
	Krb5         *comeback `json:"krb5,omitempty"`
	PKIX         *comeback `json:"pkix,omitempty"`
	MS           float64   `json:"ms"` // from the kill to the last client's next answer
}

// A comeback is one client's part of a recovery.
type comeback struct {
	Resumed    bool  `json:"resumed"`
	RoundTrips int   `json:"roundTrips"`
	Micros     int64 `json:"microseconds"` // of the handshake
	State      int64 `json:"stateOctets"`  // that the client keeps to come back
	Again      bool  `json:"again"`        // its call had taken effect before the kill
}

// A tallyReport is what came of a client's calls.
type tallyReport struct {
	Round int    `json:"round"`
	Who   string `json:"who"`
	Calls int    `json:"calls"` // that were answered
	Again int    `json:"again"` // of these, from the store
	Total uint64 `json:"total"` // in the store, and by the client's own count
}

// A reauthRound is one server that is started again after each kill, or two behind
// one port that are killed in turn.
type reauthRound struct {
	d       *reauthDemo
	s       *stand
	servers []*tallyServer // the one that the clients are at in front
	callers []*caller
	stop    chan struct{} // closed: no more calls
	answers chan tallied  // closed behind the last one

	totals  map[*caller]uint64
	reports map[*caller]*tallyReport
	ops     map[int]int64 // of server processes, by pid
	kdc     int64         // exchanges that are in a row already
	done    int64         // public-key operations that are
}

func (d *reauthDemo) run(ctx context.Context) {
	d.say("%s\n", d.colour.bold("Preparation"))
	err := d.step("a folder for what the servers keep", func() (detail string, err error) {
		d.folder, err = os.MkdirTemp("", "gss-demo-")
		return d.folder + ", until the end", err
	})
	if err != nil {
		return
	}
	defer os.RemoveAll(d.folder)
	for i, title := range []string{
		fmt.Sprintf("Round 1: one server, killed %d times", demoKills),
		fmt.Sprintf("Round 2: two servers behind one port, killed in turn, %d times", demoKills),
	} {
		d.round = i + 1
		d.say("\n%s\n\n", d.colour.bold(title))
		if err := d.play(ctx, i+1); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			d.say("\n")
			d.step("the round goes on to its end", func() (string, error) { return "", err })
			break
		}
	}
	if d.OK {
		d.say("\nAll of it %s.\n", d.colour.green("held"))
	} else {
		d.say("\nNot all of it held: see %s above.\n", d.colour.red("FAILED"))
	}
}

func (d *reauthDemo) play(ctx context.Context, servers int) (err error) {
	folder := filepath.Join(d.folder, fmt.Sprint(servers))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	s, err := newStand(folder, servers, demoLinger)
	if err != nil {
		return err
	}
	defer s.close()
	r := &reauthRound{
		d: d, s: s, stop: make(chan struct{}), answers: make(chan tallied),
		totals: map[*caller]uint64{}, reports: map[*caller]*tallyReport{}, ops: map[int]int64{},
	}
	defer func() {
		for _, c := range r.callers {
			c.close()
		}
		r.killAll()
	}()
	// The first authentications, one after the other, so that it can be told what each
	// takes. The second server starts when that is over, so that it has done none.
	if err := r.start("A"); err != nil {
		return err
	}
	d.header()
	for _, mech := range []oid.OID{oid.Krb5, oid.PKIX} {
		if err := r.join(ctx, mech); err != nil {
			return err
		}
	}
	if servers == 2 {
		if err := r.start("B"); err != nil {
			return err
		}
	}
	if err := r.kills(ctx); err != nil {
		return err
	}
	if err := r.killAll(); err != nil {
		return err
	}
	d.say("\n")
	r.verdict()
	return nil
}

// killAll kills the servers. The file of totals is nobody's then.
func (r *reauthRound) killAll() (err error) {
	for _, t := range r.servers {
		err = errors.Join(err, t.kill())
	}
	r.servers = nil
	return err
}

// start starts a server, which the port then knows.
func (r *reauthRound) start(name string) error {
	t, err := startTally(name, &r.s.tally)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, t)
	r.s.port.up(t)
	return nil
}

// join adds a client, which authenticates for the first time.
func (r *reauthRound) join(ctx context.Context, mech oid.OID) error {
	add := r.s.kerberos
	if mech == oid.PKIX {
		add = r.s.certified
	}
	c, err := add("alice", filepath.Join(r.s.tally.Folder, "tickets of "+mechName(mech)))
	if c != nil {
		r.callers = append(r.callers, c)
	}
	if err != nil {
		return err
	}
	r.reports[c] = &tallyReport{Round: r.d.round, Who: mechName(mech) + ": " + c.who.String()}
	start := time.Now()
	t := c.add(ctx, 0, 1)
	if err := r.take(&t); err != nil {
		return err
	}
	return r.row(0, start, &t)
}

// take keeps the books. Any disagreement is the end.
func (r *reauthRound) take(t *tallied) error {
	c := t.caller
	if err := t.check(r.totals[c]); err != nil {
		return err
	}
	r.totals[c] = t.total
	r.ops[t.pid] = max(r.ops[t.pid], t.ops)
	a := r.reports[c]
	a.Calls++
	a.Total = t.total
	if t.again {
		a.Again++
	}
	return nil
}

// kills lets the clients call, in a loop, and kills servers meanwhile.
func (r *reauthRound) kills(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var calling sync.WaitGroup
	for _, c := range r.callers {
		calling.Go(func() {
			for {
				select {
				case <-r.stop:
					return
				case <-ctx.Done():
					return
				default:
					r.answers <- c.add(ctx, 0, rand.Uint64N(100))
				}
			}
		})
	}
	go func() {
		calling.Wait()
		close(r.answers)
	}()
	for n := 1; n <= demoKills && err == nil; n++ {
		err = r.kill(ctx, n)
	}
	if err != nil {
		cancel()
	}
	close(r.stop)
	for t := range r.answers { // what is under way is answered, too
		if err == nil {
			err = r.take(&t)
		}
	}
	return err
}

// until takes answers until that is enough or the time is up.
func (r *reauthRound) until(ctx context.Context, up <-chan time.Time, enough func(*tallied) bool) error {
	for {
		select {
		case t := <-r.answers:
			if err := r.take(&t); err != nil {
				return err
			}
			if enough(&t) {
				return nil
			}
		case <-up:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kill kills the server that the clients are at, at any instant while they call, and
// waits until they have come back, to the next one.
func (r *reauthRound) kill(ctx context.Context, n int) error {
	answered := map[*caller]int{}
	err := r.until(ctx, nil, func(t *tallied) bool {
		answered[t.caller]++
		for _, c := range r.callers {
			if answered[c] < 2 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := r.until(ctx, time.After(rand.N(10*time.Millisecond)), func(*tallied) bool { return false }); err != nil {
		return err
	}
	victim := r.servers[0]
	r.s.port.down(victim)
	start := time.Now()
	if err := victim.kill(); err != nil {
		return err
	}
	r.servers = r.servers[1:]
	alone := len(r.servers) == 0
	if alone {
		if err := r.start(victim.name); err != nil {
			return err
		}
	}
	back := map[*caller]*tallied{}
	err = r.until(ctx, nil, func(t *tallied) bool {
		if len(t.since) > 0 {
			back[t.caller] = t
		}
		return len(back) == len(r.callers)
	})
	if err != nil {
		return err
	}
	if err := r.row(n, start, slices.Collect(maps.Values(back))...); err != nil || alone {
		return err
	}
	return r.start(victim.name)
}

// row notes and shows what happened since the one before.
func (r *reauthRound) row(kill int, start time.Time, answers ...*tallied) error {
	here := r.servers[0]
	v := recovery{Round: r.d.round, Kill: kill, Server: here.name, KDCExchanges: r.s.asked.Load() - r.kdc, PublicKeyOps: -r.done}
	for _, c := range r.callers {
		v.PublicKeyOps += c.ops.total()
	}
	for _, n := range r.ops {
		v.PublicKeyOps += n
	}
	r.kdc += v.KDCExchanges
	r.done += v.PublicKeyOps
	for _, t := range answers {
		if t.pid != here.pid() {
			return fmt.Errorf("%s was answered by process %d, not by server %s", t.caller.who, t.pid, here.name)
		}
		state, err := t.caller.state()
		if err != nil {
			return err
		}
		h := t.since[len(t.since)-1]
		b := &comeback{Resumed: h.resumed, RoundTrips: h.trips, Micros: h.took.Microseconds(), State: state, Again: t.again}
		if t.caller.mech == oid.Krb5 {
			v.Krb5 = b
		} else {
			v.PKIX = b
		}
		v.MS = max(v.MS, float64(t.at.Sub(start).Microseconds())/1000)
	}
	r.d.Recoveries = append(r.d.Recoveries, v)
	r.d.row(v)
	return nil
}

// verdict says what the round has shown.
func (r *reauthRound) verdict() {
	d := r.d
	var rows []recovery
	for _, v := range d.Recoveries {
		if v.Round == d.round && v.Kill > 0 {
			rows = append(rows, v)
		}
	}
	d.step("each client came back with a ticket", func() (string, error) {
		trips := map[int]int{}
		for _, v := range rows {
			for _, b := range []*comeback{v.Krb5, v.PKIX} {
				if !b.Resumed {
					return "", fmt.Errorf("after kill %d one authenticated in full", v.Kill)
				}
				trips[b.RoundTrips]++
			}
		}
		for _, c := range r.callers {
			if n := c.refusals(); n > 0 {
				return "", fmt.Errorf("%d tickets of %s were refused", n, c.who)
			}
		}
		return fmt.Sprintf("%d times, %d of them in one round trip", 2*len(rows), trips[1]), nil
	})
	d.step("without the KDC, and without public keys", func() (string, error) {
		for _, v := range rows {
			if v.KDCExchanges != 0 || v.PublicKeyOps != 0 {
				return "", fmt.Errorf("kill %d took %d KDC exchanges and %d public-key operations", v.Kill, v.KDCExchanges, v.PublicKeyOps)
			}
		}
		return "0 KDC exchanges, 0 public-key operations", nil
	})
	calls, again := 0, 0
	for _, c := range r.callers {
		a := r.reports[c]
		calls, again = calls+a.Calls, again+a.Again
		d.Accounts = append(d.Accounts, *a)
	}
	// Anything else had ended the round.
	d.step("each call was answered, once, and to whom it belongs", func() (string, error) {
		return fmt.Sprintf("%d calls; %d had taken effect before a kill, and were answered from the store", calls, again), nil
	})
	d.step("each call was counted, once", func() (string, error) {
		book, err := r.s.tally.read()
		if err != nil {
			return "", err
		}
		if book.effects != calls || len(book.totals) != len(r.callers) {
			return "", fmt.Errorf("the store has %d effects on %d totals, of %d calls by %d clients", book.effects, len(book.totals), calls, len(r.callers))
		}
		var totals []string
		for _, c := range r.callers {
			who, err := c.who.Export()
			if err != nil {
				return "", err
			}
			if got, want := book.totals[string(accountName(who, 0))], r.totals[c]; got != want {
				return "", fmt.Errorf("the store has %d for %s, who counts %d", got, c.who, want)
			}
			totals = append(totals, fmt.Sprintf("%s: %d", c.who, r.totals[c]))
		}
		return strings.Join(totals, ", ") + ", as they count themselves", nil
	})
}

// tableLine is a line of the table: kill, server, KDC exchanges, public-key
// operations, twice round trips, microseconds, octets, then calls from the store and
// milliseconds.
const tableLine = "  %4s %6s %4s %6s  %6s %6s %6s  %6s %6s %6s  %5s %6s\n"

func (d *reauthDemo) header() {
	d.say("  %23s  %-20s  %-20s\n", "", "---- Kerberos ------", "--- certificates ---")
	line := fmt.Sprintf(tableLine, "kill", "server", "KDC", "public", "trips", "us", "octets", "trips", "us", "octets", "again", "ms")
	d.say("%s", d.colour.bold(line))
}

func (d *reauthDemo) row(v recovery) {
	cells := []any{"-", v.Server, strconv.FormatInt(v.KDCExchanges, 10), strconv.FormatInt(v.PublicKeyOps, 10)}
	if v.Kill > 0 {
		cells[0] = strconv.Itoa(v.Kill)
	}
	again := 0
	for _, b := range []*comeback{v.Krb5, v.PKIX} {
		if b == nil {
			cells = append(cells, "", "", "")
			continue
		}
		cells = append(cells, strconv.Itoa(b.RoundTrips), strconv.FormatInt(b.Micros, 10), strconv.FormatInt(b.State, 10))
		if b.Again {
			again++
		}
	}
	cells = append(cells, strconv.Itoa(again), strconv.FormatFloat(v.MS, 'f', 1, 64))
	d.say(tableLine, cells...)
}
