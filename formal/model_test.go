package formal

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A model is a ProVerif or Spin file with notes in its comments, which neither
// prover minds: the file as it stands is the protocol. In "(* … *)" or "/* … */",
// the first character after the star tells the notes apart:
//
//	# name: what the mutant leaves out
//	! name: other code         at the end of a line of code: the mutant has the other code,
//	                           or nothing, in its place; on a line of its own: besides
//	? name: true; false in a, b. Why.    the outcome of the query that follows, and
//	                                     the mutants that have to turn it round
//
// An outcome of the other kind is "false; true in a".
type model struct {
	file    string
	lines   []string
	mutants []mutant
	queries []query
}

type mutant struct{ name, text string }

type query struct {
	name   string
	want   bool
	breaks []string // the mutants for which the opposite is wanted
	code   string   // the first line of code after the note
	first  int      // its line
	last   int      // the statement's last line
}

var (
	mutantNote = regexp.MustCompile(`^\s*[(/]\*# ([\w-]+): (.*?) \*[)/]`)
	changeNote = regexp.MustCompile(`[(/]\*! ([\w-]+)(?:: (.*?))? \*[)/]`)
	queryNote  = regexp.MustCompile(`^\s*[(/]\*\? ([\w-]+): (true|false)(?:; (true|false) in ([\w-]+(?:, [\w-]+)*))?\.`)
	anyNote    = regexp.MustCompile(`[(/]\*[#!?]`)
)

func load(file string) (*model, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parse(file, string(text))
}

// parse reads the notes and checks that they hang together, so that nothing is
// left unproved because of a slip of the pen.
func parse(file, text string) (*model, error) {
	m := &model{file: file, lines: strings.Split(text, "\n")}
	changed := map[string]bool{}
	for i, l := range m.lines {
		notes := len(anyNote.FindAllString(l, -1))
		if s := mutantNote.FindStringSubmatch(l); s != nil {
			m.mutants = append(m.mutants, mutant{s[1], s[2]})
			notes--
		}
		for _, s := range changeNote.FindAllStringSubmatch(l, -1) {
			changed[s[1]] = true
			notes--
		}
		if s := queryNote.FindStringSubmatch(l); s != nil {
			q := query{name: s[1], want: s[2] == "true"}
			if s[4] != "" {
				if s[2] == s[3] {
					return nil, fmt.Errorf("%s:%d: %s in a mutant, too", file, i+1, s[3])
				}
				q.breaks = strings.Split(s[4], ", ")
			}
			q.first, q.last = m.statement(i)
			if q.first < len(m.lines) {
				q.code = m.lines[q.first]
			}
			m.queries = append(m.queries, q)
			notes--
		}
		if notes != 0 {
			return nil, fmt.Errorf("%s:%d: a note that does not parse", file, i+1)
		}
	}
	reach := false
	broken := map[string]bool{}
	for _, q := range m.queries {
		reach = reach || !q.want
		for _, b := range q.breaks {
			broken[b] = true
			if !slices.ContainsFunc(m.mutants, func(x mutant) bool { return x.name == b }) {
				return nil, fmt.Errorf("%s: query %s speaks of %s, which is no mutant", file, q.name, b)
			}
		}
	}
	for _, x := range m.mutants {
		switch {
		case !changed[x.name]:
			return nil, fmt.Errorf("%s: mutant %s changes nothing", file, x.name)
		case !broken[x.name]:
			return nil, fmt.Errorf("%s: mutant %s breaks nothing", file, x.name)
		}
		delete(changed, x.name)
	}
	for name := range changed {
		return nil, fmt.Errorf("%s: mutant %s is not described", file, name)
	}
	if len(m.queries) == 0 || strings.Count(text, "\nquery ")+strings.Count(text, "\nltl ") > len(m.queries) {
		return nil, fmt.Errorf("%s: a query without an expectation", file)
	}
	if !reach && strings.Contains(text, "\nquery ") {
		return nil, fmt.Errorf("%s: no query shows that the honest run is possible", file)
	}
	return m, nil
}

// statement returns the first and last line of the code after the note on line i.
func (m *model) statement(i int) (first, last int) {
	for i < len(m.lines) && !strings.Contains(m.lines[i], "*)") && !strings.Contains(m.lines[i], "*/") {
		i++
	}
	first = i + 1
	for last = first; last < len(m.lines)-1; last++ {
		if l := strings.TrimSpace(m.lines[last]); strings.HasSuffix(l, ".") || strings.HasSuffix(l, "}") {
			break
		}
	}
	return first, last
}

// expand returns the model with a mutant's changes ("" for none), and which
// queries are asked of it: all, or those that the mutant breaks.
func (m *model) expand(name string) (text string, asked []query) {
	drop := map[int]bool{}
	for _, q := range m.queries {
		if name == "" || slices.Contains(q.breaks, name) {
			asked = append(asked, q)
		} else if strings.HasPrefix(q.code, "query ") {
			for i := q.first; i <= q.last; i++ {
				drop[i] = true
			}
		}
	}
	var b strings.Builder
	for i, l := range m.lines {
		if drop[i] {
			l = ""
		}
		for _, s := range changeNote.FindAllStringSubmatch(l, -1) {
			if s[1] == name {
				l = s[2]
				break
			}
		}
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return b.String(), asked
}

// A slip in the notes must not pass for a proof.
func TestNotes(t *testing.T) {
	const good = "(*# m: without g *)\nif g then (*! m *)\nP\n(*? q: true; false in m. Why. *)\nquery x;\n  y.\n(*? r: false. *)\nquery z.\n"
	m, err := parse("good", good)
	if err != nil {
		t.Fatal(err)
	}
	text, asked := m.expand("m")
	if want := "(*# m: without g *)\n\nP\n(*? q: true; false in m. Why. *)\nquery x;\n  y.\n(*? r: false. *)\n\n\n"; text != want || len(asked) != 1 {
		t.Errorf("expanded to %q, %d queries", text, len(asked))
	}
	if text, asked = m.expand(""); text != good+"\n" || len(asked) != 2 {
		t.Errorf("the model itself became %q, %d queries", text, len(asked))
	}
	for _, c := range []struct{ why, old, new string }{
		{"a mutant that changes nothing", "(*! m *)", ""},
		{"a mutant that breaks nothing", "; false in m", ""},
		{"a mutant nobody describes", "(*# m: without g *)", ""},
		{"a query that speaks of another mutant", "in m.", "in n."},
		{"a query without an expectation", "(*? r: false. *)", ""},
		{"an expectation misspelt", "q: true", "q: yes"},
		{"the same outcome in the mutant", "; false in m", "; true in m"},
		{"nothing to show that the model runs", "r: false", "r: true"},
	} {
		if _, err := parse("bad", strings.Replace(good, c.old, c.new, 1)); err == nil {
			t.Errorf("%s was accepted", c.why)
		}
	}
}
