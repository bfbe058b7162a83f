package main

import (
	"flag"
	"reflect"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	code, out, stderr := gssRun(t, "")
	if code != exitUsage || out != "" || !strings.Contains(stderr, "Commands:") {
		t.Errorf("no arguments: %d %q %q", code, out, stderr)
	}
	for _, arg := range []string{"help", "-h", "--help"} {
		code, out, stderr := gssRun(t, "", arg)
		if code != exitOK || stderr != "" {
			t.Errorf("%s: %d %q", arg, code, stderr)
		}
		for _, c := range commands {
			if !strings.Contains(out, "\n  "+c.name+" ") {
				t.Errorf("%s does not list %s:\n%s", arg, c.name, out)
			}
		}
	}
	for _, c := range commands {
		for _, args := range [][]string{{"help", c.name}, {c.name, "--help"}, {c.name, "-h"}} {
			code, out, stderr := gssRun(t, "", args...)
			if code != exitOK || stderr != "" || !strings.HasPrefix(out, "Usage: gss "+c.name+" ") {
				t.Errorf("%q: %d\n%s%s", args, code, out, stderr)
			}
			for line := range strings.Lines(out) {
				if n := len([]rune(line)); n > 81 {
					t.Errorf("%q: a line of %d characters: %s", args, n, line)
				}
			}
		}
		code, out, stderr := gssRun(t, "", c.name, "--no-such-flag")
		if code != exitUsage || out != "" || !strings.Contains(stderr, "Usage: gss "+c.name) || !strings.Contains(stderr, "no-such-flag") {
			t.Errorf("%s --no-such-flag: %d %q %q", c.name, code, out, stderr)
		}
	}
	for _, args := range [][]string{{"no-such-command"}, {"help", "no-such-command"}} {
		if code, _, stderr := gssRun(t, "", args...); code != exitUsage || !strings.Contains(stderr, "no-such-command") {
			t.Errorf("%q: %d %q", args, code, stderr)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in, rest string
		n        int
		b        bool
	}{
		{"a b", "a b", 0, false},
		{"-n 3 a", "a", 3, false},
		{"--n=3 a", "a", 3, false},
		{"a --b c -n 4", "a c", 4, true},
		{"a -- --b c", "a --b c", 0, false},
		{"-- -b", "-b", 0, false},
		{"--b -- -n", "-n", 0, true},
	} {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		n, b := fs.Int("n", 0, ""), fs.Bool("b", false, "")
		rest, err := parse(fs, strings.Fields(c.in))
		if err != nil || !reflect.DeepEqual(rest, strings.Fields(c.rest)) || *n != c.n || *b != c.b {
			t.Errorf("%s: %q %d %v %v", c.in, rest, *n, *b, err)
		}
	}
}
