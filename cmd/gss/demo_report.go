package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A step is one thing that the demonstration shows.
type step struct {
	Round  int     `json:"round,omitempty"` // 0: preparation
	What   string  `json:"what"`
	OK     bool    `json:"ok"`
	MS     float64 `json:"ms"` // milliseconds
	Detail string  `json:"detail,omitempty"`
}

// A demoReport is a running demonstration: what it showed, and where it tells so.
type demoReport struct {
	OK    bool   `json:"ok"`
	Steps []step `json:"steps"`

	out    io.Writer // nil for --json
	lost   error     // why something could not be written
	colour palette
	round  int
}

// start is the beginning, end the end: it prints report, whose part r is, if JSON is
// wanted.
func (r *demoReport) start(sh *shell, asJSON bool) {
	r.OK = true
	if !asJSON {
		r.out, r.colour = sh.stdout, sh.colours(sh.stdout)
	}
}

func (r *demoReport) end(sh *shell, report any) error {
	if r.out == nil {
		r.lost = printJSON(sh.stdout, report)
	}
	if r.lost == nil && !r.OK {
		return errShown
	}
	return r.lost
}

const demoWidth = 62 // of a step's text

func (d *demoReport) say(format string, args ...any) {
	if d.out == nil {
		return
	}
	if _, err := fmt.Fprintf(d.out, format, args...); err != nil && d.lost == nil {
		d.lost = err
	}
}

// step runs f, shows how it went and how long it took, and notes it. detail is
// shown behind it. It returns f's error.
func (d *demoReport) step(what string, f func() (detail string, err error)) error {
	d.say("  %s ", pad(what, demoWidth, '.'))
	start := time.Now()
	detail, err := f()
	s := step{Round: d.round, What: what, OK: err == nil, MS: float64(time.Since(start).Microseconds()) / 1000, Detail: detail}
	if err != nil {
		d.OK = false
		s.Detail = err.Error()
	}
	d.Steps = append(d.Steps, s)
	d.say("%s %s\n", d.verdict(s.OK), pad(duration(s.MS), -10, ' '))
	if s.Detail != "" {
		d.say("%s\n", indent(s.Detail, "      "))
	}
	return err
}

// table says what was proven, a line for each step and a column for each round.
func (d *demoReport) table(rounds []string) {
	var names []string
	cells := map[string][]string{}
	for _, s := range d.Steps {
		if s.Round == 0 {
			continue
		}
		if cells[s.What] == nil {
			names = append(names, s.What)
			cells[s.What] = make([]string, len(rounds))
		}
		verdict := "ok"
		if !s.OK {
			verdict = "FAILED"
		}
		cells[s.What][s.Round-1] = verdict + " " + pad(duration(s.MS), -9, ' ')
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(tw, "WHAT WAS SHOWN\t%s\n", strings.Join(rounds, "\t"))
	for _, n := range names {
		fmt.Fprintf(tw, "%s\t%s\n", n, strings.Join(cells[n], "\t"))
	}
	tw.Flush()
	for line := range strings.Lines(b.String()) {
		d.say("%s\n", strings.TrimRight(line, " \n"))
	}
}

func (d *demoReport) verdict(ok bool) string {
	if ok {
		return d.colour.green("ok")
	}
	return d.colour.red("FAILED")
}

func duration(ms float64) string {
	if ms < 0.005 { // a look at what an earlier step found out
		return ""
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// pad fills s up to n characters, on the left if n is negative.
func pad(s string, n int, with rune) string {
	fill := strings.Repeat(string(with), max(max(n, -n)-len([]rune(s)), 0))
	if n < 0 {
		return fill + s
	}
	if with != ' ' && fill != "" {
		fill = " " + fill[1:]
	}
	return s + fill
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n"+by)
}
