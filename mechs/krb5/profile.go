package krb5

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrConfig is what a krb5.conf that cannot be understood is refused with.
var ErrConfig = errors.New("krb5: invalid configuration")

// Bounds on a configuration. Real ones are a few kilobytes.
const (
	maxConfigSize  = 1 << 20 // octets of one file
	maxConfigFiles = 256
	maxConfigLines = 1 << 13 // headers, relations and braces, of all files: finding a section takes a look at each before it
	maxNesting     = 8       // of sections, and of includes
)

// A profile is what MIT calls the syntax of krb5.conf: sections of relations,
// whose value is text or a sub-section. A name may come again: values add up, and
// a section that comes twice is one section.
//
//	[realms]
//	  EXAMPLE.ORG = {
//	    kdc = kdc1.example.org
//	  }
//
// A "*" behind a section's title, a sub-section's name or its closing brace makes it
// final: files that come later have no say in it. (MIT takes one behind the name of
// a value off too, and it means nothing.)
type profile struct {
	relations []relation
	final     bool
}

type relation struct {
	name  string
	value string
	sub   *profile // nil: value
}

// merge puts what a later file says behind what p says already.
func (p *profile) merge(later *profile) {
	if p.final {
		return
	}
	for _, r := range later.relations {
		if r.sub == nil {
			p.relations = append(p.relations, r)
		} else {
			p.section(r.name).merge(r.sub)
		}
	}
	p.final = later.final
}

// section returns the sub-section of that name, made if need be.
func (p *profile) section(name string) *profile {
	if sub := p.find(name); sub != nil {
		return sub
	}
	sub := new(profile)
	p.relations = append(p.relations, relation{name: name, sub: sub})
	return sub
}

// find returns the sub-section of that name; nil if there is none.
func (p *profile) find(name string) *profile {
	for i := range p.relations {
		if r := &p.relations[i]; r.name == name && r.sub != nil {
			return r.sub
		}
	}
	return nil
}

// get returns the first value of that name.
func (p *profile) get(name string) (string, bool) {
	for _, r := range p.relations {
		if r.name == name && r.sub == nil {
			return r.value, true
		}
	}
	return "", false
}

// all returns every value of that name, in order.
func (p *profile) all(name string) []string {
	var v []string
	for _, r := range p.relations {
		if r.name == name && r.sub == nil {
			v = append(v, r.value)
		}
	}
	return v
}

// A profileReader reads a file, and those that it includes, into one profile.
type profileReader struct {
	root  profile
	files int
	lines int
	local bool // the text came without a file: it may not name one
}

// parse reads text, which is called name in errors. An include interrupts the
// section it stands in; the file it names starts outside of any.
func (r *profileReader) parse(name, text string, depth int) error {
	if len(text) > maxConfigSize {
		return fmt.Errorf("%w: %s: too large", ErrConfig, name)
	}
	var section *profile      // nil before the first header
	var open []*profile       // sub-sections that wait for their brace, outermost first
	number, brace := 0, false // brace: the last line ended where one is missing
	fail := func(what string) error { return fmt.Errorf("%w: %s:%d: %s", ErrConfig, name, number, what) }
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if !indented(line) && isDirective(line) {
			if err := r.directive(name, line, depth); err != nil {
				return err
			}
			continue
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if r.lines++; r.lines > maxConfigLines {
			return fail("too many lines")
		}
		switch {
		case brace:
			if line != "{" {
				return fail("missing brace")
			}
			brace = false
		case line[0] == '[':
			title, after, ok := strings.Cut(line[1:], "]")
			if !ok || title == "" || strings.Trim(after, " \t*") != "" || len(open) > 0 {
				return fail("malformed section")
			}
			section = r.root.section(title)
			section.final = section.final || strings.Contains(after, "*")
		case line[0] == '}':
			if strings.Trim(line[1:], " \t*") != "" || len(open) == 0 {
				return fail("unexpected brace")
			}
			section.final = section.final || strings.Contains(line, "*")
			section, open = open[len(open)-1], open[:len(open)-1]
		default:
			tag, value, ok := strings.Cut(line, "=")
			starred := strings.TrimRight(tag, " \t")
			tag, value = strings.TrimRight(starred, "*"), strings.TrimSpace(value)
			if !ok || tag == "" || strings.ContainsAny(tag, " \t") || section == nil {
				return fail("malformed relation")
			}
			if value == "{" || value == "" { // where it stands on a line of its own
				if len(open) == maxNesting {
					return fail("sections too deep")
				}
				open, section = append(open, section), section.section(tag)
				section.final = section.final || tag != starred
				brace = value == ""
				continue
			}
			if value, ok = unquote(value); !ok {
				return fail("malformed value")
			}
			section.relations = append(section.relations, relation{name: tag, value: value})
		}
	}
	if len(open) > 0 {
		return fail("missing brace")
	}
	return nil
}

func indented(line string) bool { return line != "" && (line[0] == ' ' || line[0] == '\t') }

func isDirective(line string) bool {
	word, _ := cutWord(line)
	return word == "include" || word == "includedir" || word == "module"
}

func cutWord(line string) (word, rest string) {
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}

// directive obeys include and includedir, as MIT does: of a folder, the files
// whose names are letters, digits, dashes and underscores, or end in ".conf".
func (r *profileReader) directive(name, line string, depth int) error {
	word, arg := cutWord(line)
	switch {
	case r.local:
		return fmt.Errorf("%w: %s: %s in a configuration that is not a file", ErrConfig, name, word)
	case word == "module":
		return fmt.Errorf("%w: %s: modules are code, and are not loaded", ErrConfig, name)
	case !filepath.IsAbs(arg):
		return fmt.Errorf("%w: %s: %s needs an absolute path", ErrConfig, name, word)
	case depth == maxNesting:
		return fmt.Errorf("%w: %s: includes too deep", ErrConfig, name)
	case word == "include":
		return r.load(arg, depth+1)
	}
	entries, err := os.ReadDir(arg)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, name, err)
	}
	for _, e := range entries {
		if !includable(e.Name()) {
			continue
		}
		if err := r.load(filepath.Join(arg, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func includable(name string) bool {
	if name[0] == '.' {
		return false
	}
	return strings.HasSuffix(name, ".conf") || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

func (r *profileReader) load(path string, depth int) error {
	if r.files++; r.files > maxConfigFiles {
		return fmt.Errorf("%w: too many files", ErrConfig)
	}
	text, err := readFile(path, maxConfigSize)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return r.parse(path, string(text), depth)
}

// unquote takes the quotes off a value that has them.
func unquote(v string) (string, bool) {
	if !strings.HasPrefix(v, `"`) {
		return v, true
	}
	var b strings.Builder
	for i := 1; i < len(v); i++ {
		switch c := v[i]; c {
		case '"':
			return b.String(), i == len(v)-1
		case '\\':
			if i++; i == len(v) {
				return "", false
			}
			switch v[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'b':
				b.WriteByte('\b')
			default:
				b.WriteByte(v[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
