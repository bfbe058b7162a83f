// Package conformance judges a mechanism by what package gss promises: that a
// handshake follows its script, that hostile tokens establish nothing, that
// messages are protected, and that keys outlive the handshake and not the
// context. It knows no mechanism; a mechanism's own test calls it:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Setup{
//			Initiator: client, Acceptor: server,
//			Target:    gss.Service("host", "files.example.org"),
//		})
//	}
//
// Every case has a stable name. A case that a mechanism fails on purpose is
// named in [Setup.Skip] with the reason; a skipped case runs all the same, and
// a skip whose case would pass is a failure, as is a skip of no case. A case that
// cannot be asked of a mechanism (it has no Conf, it exports nothing) is not
// applicable, and says why.
//
// [Pump] and [Establish] are for tests of one's own.
//
// The cases report to a recorder of their own and not to a *testing.T, so that
// the suite can be run in-process against mechanisms that are broken on purpose:
// its own tests do, and each fault has to make it fail.
package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
)

// A Setup is a pair of mechanisms and how they are used. Both ends run in this
// process; Initiator and Acceptor may be the same value.
type Setup struct {
	Initiator, Acceptor gss.Mechanism
	Target              gss.Name

	// What the cases vary (flags, bindings), they vary in copies of these.
	InitOptions   gss.InitOptions
	AcceptOptions gss.AcceptOptions

	// Prepare, if not nil, is called with a copy of the Setup before each
	// handshake, to put in what can be used only once (a grant, a ticket). It must
	// be safe for concurrent use.
	Prepare func(*Setup) error

	// Skip maps the name of a case to the reason why it need not pass.
	Skip map[string]string

	// Full tries every bit and length of every handshake token; otherwise, of
	// long tokens, a fixed sample.
	Full bool
}

// An Outcome is what became of a case.
type Outcome uint8

const (
	Passed Outcome = iota
	Failed
	Skipped       // failed, and Setup.Skip has a reason
	NotApplicable // the mechanism lacks what it asks about
)

// String returns "passed" and so on.
func (o Outcome) String() string {
	return [...]string{"passed", "failed", "skipped", "not applicable"}[o]
}

// A Result is the outcome of one case.
type Result struct {
	Case    Case
	Outcome Outcome
	Detail  string // what failed, one line each; why it was skipped or is not applicable
}

// Run runs every case as a subtest of t.
func Run(t *testing.T, s Setup) {
	t.Helper()
	for _, name := range unknownSkips(s) {
		t.Errorf("Skip names no case: %q", name)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			switch r := runCase(t.Context(), c, s); r.Outcome {
			case Failed:
				t.Error(r.Detail)
			case Skipped, NotApplicable:
				t.Skipf("%v: %s", r.Outcome, r.Detail)
			}
		})
	}
}

// Check is Run without package testing: for programs, and for tests of the suite.
func Check(ctx context.Context, s Setup) []Result {
	var rs []Result
	for _, name := range unknownSkips(s) {
		rs = append(rs, Result{Case{Name: name}, Failed, "Skip names no case"})
	}
	for _, c := range cases {
		rs = append(rs, runCase(ctx, c, s))
	}
	return rs
}

// Cases lists all cases in the order in which they run.
func Cases() []Case { return slices.Clone(cases) }

func unknownSkips(s Setup) []string {
	skips := maps.Clone(s.Skip)
	for _, c := range cases {
		delete(skips, c.Name)
	}
	return slices.Sorted(maps.Keys(skips))
}

// limit is how long a case may take before it counts as hanging: two orders of
// magnitude more than any should.
const limit = 2 * time.Minute

func runCase(ctx context.Context, c Case, s Setup) Result {
	r := newRecorder(ctx, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(c.run)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		return Result{c, Failed, fmt.Sprintf("hangs: not over after %v", limit)}
	}
	reason, skipped := s.Skip[c.Name]
	switch failed := len(r.failures) > 0; {
	case skipped && reason == "":
		return Result{c, Failed, "Skip gives no reason"}
	case skipped && failed:
		return Result{c, Skipped, reason}
	case skipped && r.na != "":
		return Result{c, Failed, fmt.Sprintf("the skip is stale (%s): not applicable: %s", reason, r.na)}
	case skipped:
		return Result{c, Failed, fmt.Sprintf("the skip is stale (%s): the case passes", reason)}
	case failed:
		return Result{c, Failed, r.text()}
	case r.na != "":
		return Result{c, NotApplicable, r.na}
	}
	return Result{c, Passed, ""}
}
