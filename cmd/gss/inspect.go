package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
)

var inspectCommand = command{
	name:  "inspect",
	args:  "[--json] TOKEN | - | -f FILE",
	short: "explain a token: what it is, what its clear parts say",
	long: `
Takes a GSS-API token apart as far as it can be read without a key: RFC 2743
framing, Kerberos (AP-REQ, AP-REP, KRB-ERROR, MIC, Wrap), SPNEGO and what it
carries, the mechanisms of this module, exported names.

TOKEN is hexadecimal or base64, also with "Authorization: Negotiate" before it;
"-" reads standard input, and -f a file; those may be raw octets too.

    gss inspect 0401000b06092a864886f71201020200000003614062
    gss inspect "Authorization: Negotiate YIIC…"

What is encrypted stays so, and keys are never asked for. Exit code 1 means that
some part is malformed; all that could be read before it is shown.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		file := fs.String("f", "", "`FILE`: read the token from there")
		asJSON := fs.Bool("json", false, "print JSON")
		return func(_ context.Context, sh *shell, args []string) error {
			in, err := inspectInput(sh, *file, args)
			if err != nil {
				return err
			}
			token, encoding, err := decodeToken(in, *file == "" && args[0] != "-")
			if err != nil {
				return err
			}
			t := inspectToken(token)
			t.Encoding = encoding
			if *asJSON {
				err = printJSON(sh.stdout, t)
			} else {
				err = t.print(sh)
			}
			if err == nil && !t.OK {
				return errors.New(t.Problem)
			}
			return err
		}
	},
}

// maxInspect is the most octets that inspect reads.
const maxInspect = 4 << 20

func inspectInput(sh *shell, file string, args []string) ([]byte, error) {
	var r io.Reader
	switch {
	case file != "" && len(args) == 0:
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	case file != "" || len(args) != 1:
		return nil, usagef("one token is due: as an argument, by \"-\" from standard input, or by -f from a file")
	case args[0] == "-":
		r = sh.stdin
	default:
		r = strings.NewReader(args[0])
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInspect+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxInspect {
		return nil, fmt.Errorf("more than %d octets: this is no token", maxInspect)
	}
	return b, nil
}

// decodeToken finds out how in is written. textOnly is for an argument, which
// cannot be raw octets.
func decodeToken(in []byte, textOnly bool) (token []byte, encoding string, err error) {
	s := strings.TrimSpace(string(in))
	for _, prefix := range []string{"Authorization:", "WWW-Authenticate:", "Proxy-Authorization:", "Negotiate ", "Kerberos "} {
		if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			s = strings.TrimSpace(s[len(prefix):])
		}
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	if s == "" && len(in) == 0 {
		return nil, "", errors.New("the token is empty")
	}
	if x := strings.ReplaceAll(strings.TrimPrefix(s, "0x"), ":", ""); x != "" {
		if b, err := hex.DecodeString(x); err == nil {
			return b, "hexadecimal", nil
		}
	}
	unpadded := strings.TrimRight(s, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(unpadded); err == nil && len(b) > 0 {
			return b, "base64", nil
		}
	}
	if textOnly {
		return nil, "", errors.New("the token is neither hexadecimal nor base64")
	}
	return in, "raw", nil
}

// A report is what inspect says of a token.
type report struct {
	OK       bool    `json:"ok"` // understood throughout
	Kind     string  `json:"kind"`
	Encoding string  `json:"encoding"`
	Length   int     `json:"length"` // octets
	Problem  string  `json:"problem,omitempty"`
	Fields   []field `json:"fields"`
}

// A field is a part of a token, in the order of the octets.
type field struct {
	Name   string  `json:"name"`
	Value  string  `json:"value,omitempty"`
	Fields []field `json:"fields,omitempty"`
}

func (t *report) print(sh *shell) error {
	p := sh.colours(sh.stdout)
	_, err := fmt.Fprintf(sh.stdout, "%s  (%s, read as %s)\n", p.bold(t.Kind), octets(t.Length), t.Encoding)
	if err == nil {
		err = printFields(sh.stdout, p, t.Fields, "  ")
	}
	return err
}

func printFields(w io.Writer, p palette, fields []field, indent string) error {
	width := 0
	for _, f := range fields {
		if len(f.Fields) == 0 {
			width = max(width, len(f.Name))
		}
	}
	for _, f := range fields {
		pad := strings.Repeat(" ", max(width-len(f.Name), 0))
		if _, err := fmt.Fprintf(w, "%s%s%s  %s\n", indent, p.dim(f.Name), pad, f.Value); err != nil {
			return err
		}
		if err := printFields(w, p, f.Fields, indent+"  "); err != nil {
			return err
		}
	}
	return nil
}

func octets(n int) string {
	if n == 1 {
		return "1 octet"
	}
	return fmt.Sprintf("%d octets", n)
}
