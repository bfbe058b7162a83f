// Package formal runs the protocol models beside it through their provers and
// compares every outcome with the one written next to the query. It has tests
// only; README.md says what is modelled.
package formal

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/peers"
)

var (
	record = flag.Bool("record", false, "write results/*.txt instead of comparing with them")
	keep   = flag.String("keep", "", "`folder` in which to leave every model as it was given to its prover, and the answer")
)

// patience is far more than any model takes; a prover that does not end must not
// hang the tests.
const patience = 5 * time.Minute

// An outcome is what a prover says about one query, in its own words.
type outcome struct {
	holds bool
	said  string
}

// A prover answers the queries of one expanded model, in their order.
type prover func(t *testing.T, dir, text string, asked []query) ([]outcome, time.Duration)

func TestProVerif(t *testing.T) {
	program := os.Getenv("PROVERIF")
	if program == "" {
		p, err := exec.LookPath("proverif")
		if err != nil {
			t.Skip("proverif is not in PATH, nor does PROVERIF name it (https://proverif.inria.fr)")
		}
		program = p
	}
	out, err := exec.Command(program, "-help").Output()
	version, _, _ := strings.Cut(string(out), ".  ")
	if version, _, _ = strings.Cut(version, ". Crypt"); version == "" {
		t.Fatalf("%s -help: %v", program, err)
	}
	check(t, "*.pv", version, func(t *testing.T, dir, text string, asked []query) ([]outcome, time.Duration) {
		file := filepath.Join(dir, "model.pv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, spent := run(t, dir, program, "-set", "color", "false", file)
		var said []outcome
		for l := range strings.Lines(out) {
			// "(but …" and "(even …" say besides what holds of an injective query without the injection.
			if l, ok := strings.CutPrefix(strings.TrimSpace(l), "RESULT "); ok && !strings.HasPrefix(l, "(") {
				said = append(said, proverif(t, l, strings.Contains(out, "A trace has been found.")))
			}
		}
		if n := len(said); n > 1 && strings.HasPrefix(said[n-1].said, "Observational") {
			said = said[n-1:] // it simplifies the process when it fails, and tries again
		}
		return said, spent
	})
}

// proverif reads one RESULT. "cannot be proved" is neither answer: a query that the
// prover gives up on has to be put in another way. Of an equivalence it never says
// that it is false; there, a trace that tells the two worlds apart does.
func proverif(t *testing.T, said string, trace bool) outcome {
	holds := strings.HasSuffix(said, " is true.")
	if trace && said == "Observational equivalence cannot be proved." {
		return outcome{false, said + " A trace has been found."}
	}
	if !holds && !strings.HasSuffix(said, " is false.") {
		t.Errorf("undecided: %s", said)
	}
	return outcome{holds, said}
}

func TestSpin(t *testing.T) {
	peers.Need(t, "spin", "cc")
	out, err := exec.Command("spin", "-V").Output()
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(string(out), " -- ")
	ltl := regexp.MustCompile(`^ltl (\w+) `)
	summary := regexp.MustCompile(`(?m)^State-vector .* errors: (\d+)$|^ +(\d+) states, stored`)
	check(t, "*.pml", version, func(t *testing.T, dir, text string, asked []query) ([]outcome, time.Duration) {
		if err := os.WriteFile(filepath.Join(dir, "model.pml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, dir, "spin", "-a", "model.pml")
		_, spent := run(t, dir, "cc", "-O1", "-w", "-o", "pan", "pan.c")
		var said []outcome
		for _, q := range asked {
			name := ltl.FindStringSubmatch(q.code)
			if name == nil {
				t.Fatalf("query %s: no ltl property follows", q.name)
			}
			out, took := run(t, dir, "./pan", "-a", "-m200000", "-N", name[1])
			spent += took
			s := summary.FindAllStringSubmatch(out, -1)
			if len(s) != 2 || strings.Contains(out, "Search not completed") && s[0][1] == "0" || strings.Contains(out, "max search depth too small") {
				t.Fatalf("query %s: the search did not end:\n%s", q.name, out)
			}
			said = append(said, outcome{s[0][1] == "0", fmt.Sprintf("ltl %s: errors: %s, %s states stored", name[1], s[0][1], s[1][2])})
		}
		return said, spent
	})
}

// check runs every model that fits the pattern, and its mutants, and compares the
// outcomes with the notes, and the provers' words with those recorded.
func check(t *testing.T, pattern, version string, p prover) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no models: ", err)
	}
	for _, file := range files {
		m, err := load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(file, func(t *testing.T) {
			var report strings.Builder
			fmt.Fprintf(&report, "%s, %s\n", file, version)
			for _, x := range slices.Insert(slices.Clone(m.mutants), 0, mutant{}) {
				title := x.name
				if title == "" {
					title = "model"
				}
				if x.name != "" && testing.Short() {
					continue
				}
				t.Run(title, func(t *testing.T) { one(t, m, x, p, &report) })
			}
			compare(t, file, report.String())
		})
	}
}

// one runs a model or one of its mutants.
func one(t *testing.T, m *model, x mutant, p prover, report *strings.Builder) {
	text, asked := m.expand(x.name)
	dir := t.TempDir()
	if *keep != "" {
		dir = filepath.Join(*keep, m.file, t.Name()[strings.LastIndex(t.Name(), "/")+1:])
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, spent := p(t, dir, text, asked)
	t.Logf("%.1f s of processor time", spent.Seconds())
	if len(got) != len(asked) {
		t.Fatalf("%d answers to %d queries", len(got), len(asked))
	}
	if x.name != "" {
		fmt.Fprintf(report, "\nmutant %s: %s\n", x.name, x.text)
	}
	for i, q := range asked {
		fmt.Fprintf(report, "\n%s %v\n  %s\n", q.name, got[i].holds, got[i].said)
		if want := q.want == (x.name == ""); got[i].holds != want {
			t.Errorf("%s is %v, want %v: %s", q.name, got[i].holds, want, got[i].said)
		}
	}
}

// compare holds the report against the recorded one, whose first line, with the
// prover's version, may differ: then so may its words, and only the notes count.
func compare(t *testing.T, file, got string) {
	name := filepath.Join("results", strings.TrimSuffix(file, filepath.Ext(file))+".txt")
	if *record {
		if t.Failed() || testing.Short() {
			t.Fatal("not recorded: it failed, or was not run whole")
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w, _, _ := strings.Cut(string(want), "\n")
	g, _, _ := strings.Cut(got, "\n")
	if !t.Failed() && w == g && got != string(want) && !testing.Short() {
		t.Errorf("%s is stale: record it anew (go test ./formal -record)", name)
	}
}

// run returns what a program prints and the processor time that it takes. Its exit code is not looked at: provers use it
// for their own purposes, and no output is no outcome.
func run(t *testing.T, dir, program string, args ...string) (string, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if *keep != "" {
		_ = os.WriteFile(filepath.Join(dir, filepath.Base(program)+".out"), out.Bytes(), 0o600)
	}
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v, %v\n%s", program, err, ctx.Err(), tail(out.String()))
	}
	if err != nil && !strings.Contains(out.String(), "RESULT ") && !strings.Contains(out.String(), "errors: ") {
		t.Fatalf("%s: %v\n%s", program, err, tail(out.String()))
	}
	return out.String(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
