package main

import (
	"encoding/json"
	"io"
	"os"
)

// printJSON writes v as machines like it: one document, indented for the eye.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// A palette colours words for a terminal, or leaves them as they are.
type palette bool

// colours is for what goes to w: only a terminal gets colours, and not if
// NO_COLOR is set (https://no-color.org).
func (sh *shell) colours(w io.Writer) palette {
	if sh.getenv("NO_COLOR") != "" || sh.getenv("TERM") == "dumb" {
		return false
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return palette(err == nil && st.Mode()&os.ModeCharDevice != 0)
}

func (p palette) paint(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) bold(s string) string  { return p.paint("1", s) }
func (p palette) green(s string) string { return p.paint("32", s) }
func (p palette) red(s string) string   { return p.paint("31", s) }
func (p palette) dim(s string) string   { return p.paint("2", s) }
