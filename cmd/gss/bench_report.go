package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// defaultRound is shorter than what a scheduler gives to a process at a time, so
// that most turns are not interrupted by others on a busy machine.
const defaultRound = 3 * time.Millisecond

type benchFlags struct {
	rounds, contexts int
	round            time.Duration
	dir              string
}

// A benchReport is what a bench measured.
type benchReport struct {
	Machine string     `json:"machine"`
	Rows    []benchRow `json:"rows"`
	LeftOut []string   `json:"left_out,omitempty"`
}

// A benchRow is one measurement: medians, and the median of the ratios.
type benchRow struct {
	What    string   `json:"what"`
	Ours    float64  `json:"ours"`
	Rival   *float64 `json:"rival"` // null: none
	RivalIs string   `json:"rival_is,omitempty"`
	Unit    string   `json:"unit"`
	Ratio   *float64 `json:"ratio"`
	Aim     string   `json:"aim"`
	OK      bool     `json:"ok"`
}

func newBenchReport() *benchReport {
	return &benchReport{Machine: fmt.Sprintf("%s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))}
}

func (r *benchReport) print(sh *shell) error {
	p := sh.colours(sh.stdout)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Machine)
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprint(tw, "WHAT\tOURS\tRIVAL\tRATIO\tAIM\t\n")
	for _, row := range r.Rows {
		rival, ratio, verdict := "", "", "ok"
		if row.Rival != nil {
			rival = quantity(*row.Rival, row.Unit) + ", " + row.RivalIs
		}
		if row.Ratio != nil {
			ratio = fmt.Sprintf("%.3g ×", *row.Ratio)
		}
		if !row.OK {
			verdict = "missed"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", row.What, quantity(row.Ours, row.Unit), rival, ratio, row.Aim, verdict)
	}
	tw.Flush()
	for _, s := range r.LeftOut {
		fmt.Fprintf(&b, "\nNot measured: %s\n", s)
	}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, " \n")
		switch {
		case strings.HasPrefix(line, "WHAT "):
			line = p.bold(line)
		case strings.HasSuffix(line, " missed"):
			line = strings.TrimSuffix(line, "missed") + p.red("missed")
		case strings.HasSuffix(line, " ok"):
			line = strings.TrimSuffix(line, "ok") + p.green("ok")
		}
		if _, err := fmt.Fprintln(sh.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func quantity(x float64, unit string) string {
	if x >= 1000 {
		return fmt.Sprintf("%.0f %s", x, unit)
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}

// A contender does something n times and says how long that took.
type contender func(n int) (time.Duration, error)

// timed is a contender of which all counts.
func timed(once func() error) contender {
	return func(n int) (time.Duration, error) {
		start := time.Now()
		for range n {
			if err := once(); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	}
}

// A duel is what two contenders took, in seconds each time: medians, and the median
// of ours by the rival's.
type duel struct{ ours, rival, ratio float64 }

// fight lets them take turns, each for about turn.
func fight(ctx context.Context, rounds int, turn time.Duration, ours, rival contender) (d duel, err error) {
	var n [2]int
	contenders := [2]contender{ours, rival}
	for i, c := range contenders {
		if n[i], err = warm(ctx, turn, c); err != nil {
			return d, err
		}
	}
	var took [2][]float64
	var ratios []float64
	for range rounds {
		for i, c := range contenders {
			if err := ctx.Err(); err != nil {
				return d, err
			}
			t, err := c(n[i])
			if err != nil {
				return d, err
			}
			took[i] = append(took[i], max(t.Seconds(), 1e-9)/float64(n[i]))
		}
		last := len(took[0]) - 1
		ratios = append(ratios, took[0][last]/took[1][last])
	}
	return duel{median(took[0]), median(took[1]), median(ratios)}, nil
}

// warm returns how often c is done in turn.
func warm(ctx context.Context, turn time.Duration, c contender) (int, error) {
	for n := 1; ; n *= 2 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		t, err := c(n)
		if err != nil || t >= turn || n >= 1<<24 {
			return n, err
		}
		if t > turn/4 {
			return max(int(float64(n)*turn.Seconds()/t.Seconds()), 1), nil
		}
	}
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	if n := len(x); n%2 == 0 {
		return (x[n/2-1] + x[n/2]) / 2
	}
	return x[len(x)/2]
}
