package conformance

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gsseal/gss"
)

func TestHealthy(t *testing.T) {
	Run(t, brokenSetup(&fault{}))
	full := brokenSetup(&fault{})
	full.Full = true
	for _, c := range hostileCases {
		if r := runCase(t.Context(), c, full); r.Outcome != Passed {
			t.Errorf("%s: %v: %s", c.Name, r.Outcome, r.Detail)
		}
	}
}

// TestFaults: every fault is noticed, and by the cases that are about it.
func TestFaults(t *testing.T) {
	leak = make(chan struct{})
	defer close(leak)
	byName := map[string]Case{}
	for _, c := range cases {
		byName[c.Name] = c
	}
	noticed := map[string]bool{}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			for _, name := range f.fails {
				noticed[name] = true
				c, ok := byName[name]
				if !ok {
					t.Fatalf("no case %q", name)
				}
				if raceDetector && name == "dst/allocations" {
					continue
				}
				r := runCase(t.Context(), c, brokenSetup(f))
				if r.Outcome != Failed {
					t.Errorf("%s: %v %s", name, r.Outcome, r.Detail)
				}
				if strings.Contains(r.Detail, "panic") != strings.Contains(f.name, "panic") {
					t.Errorf("%s: %s", name, r.Detail)
				}
			}
		})
	}
	for _, c := range cases {
		if !noticed[c.Name] {
			t.Errorf("%s: there is no fault that it would notice", c.Name)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	stable := regexp.MustCompile(`^[a-z]+/[a-z]+(-[a-z]+)*$`)
	for _, c := range Cases() {
		if !stable.MatchString(c.Name) || c.Source == "" || seen[c.Name] {
			t.Errorf("%q (%s) twice, without a source, or no name", c.Name, c.Source)
		}
		seen[c.Name] = true
	}
}

func TestSkip(t *testing.T) {
	s := brokenSetup(&fault{close: func(*brokenContext) error { return nil }})
	s.Skip = map[string]string{"close/every-method": "it never closes", "wrap/level": "", "wrap/tampered": "x", "no/case": "x"}
	want := map[string]string{
		"close/every-method": "skipped: it never closes",
		"wrap/level":         "failed: Skip gives no reason",
		"wrap/tampered":      "failed: the skip is stale (x): the case passes",
		"no/case":            "failed: Skip names no case",
	}
	for _, r := range Check(t.Context(), s) {
		got := fmt.Sprintf("%v: %s", r.Outcome, r.Detail)
		if w, ok := want[r.Case.Name]; ok && got != w || !ok && r.Outcome == Failed && !strings.HasPrefix(r.Case.Name, "close/") {
			t.Errorf("%s: %q, want %q", r.Case.Name, got, w)
		}
		delete(want, r.Case.Name)
	}
	if len(want) > 0 {
		t.Error("no results:", want)
	}
}

// TestHang: a mechanism that never returns is not waited for.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		s := brokenSetup(&fault{step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			<-end
			return h.healthy(ctx, in)
		}})
		if r := runCase(t.Context(), cases[0], s); r.Outcome != Failed || !strings.HasPrefix(r.Detail, "hangs") {
			t.Error(r)
		}
		close(end)
	})
}

func TestEstablish(t *testing.T) {
	ic, ac := Establish(t, brokenSetup(&fault{}))
	if ic.Info().Peer != ac.Info().Local || !ic.Info().Initiator {
		t.Error(ic.Info(), ac.Info())
	}
}

// TestPrepare: what can be used once is made anew for each handshake.
func TestPrepare(t *testing.T) {
	s := brokenSetup(&fault{})
	target := s.Target
	s.Target = gss.Name{}
	s.Prepare = func(s *Setup) error { s.Target = target; return nil }
	if r := runCase(t.Context(), cases[0], s); r.Outcome != Passed {
		t.Error(r)
	}
}
