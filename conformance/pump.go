package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gsseal/gss"
)

// A Trace is how a handshake went.
type Trace struct {
	Initiator, Acceptor gss.Context // nil if that side did not complete; the caller closes them
	InitErr, AcceptErr  error       // what that side's Step returned
	Tokens              [][]byte    // in order; the even ones are the initiator's
	Broken              error       // how the handshakes broke the rules of gss.Handshake; nil if they did not
}

// Close closes the contexts that there are.
func (t *Trace) Close() {
	for _, sc := range []gss.Context{t.Initiator, t.Acceptor} {
		if sc != nil {
			sc.Close()
		}
	}
}

// Err returns nil if both sides completed, or else why not.
func (t *Trace) Err() error {
	if t.Broken == nil && t.Initiator != nil && t.Acceptor != nil {
		return nil
	}
	var errs []error
	if t.Broken != nil {
		errs = append(errs, t.Broken)
	}
	if t.InitErr != nil {
		errs = append(errs, fmt.Errorf("initiator: %w", t.InitErr))
	}
	if t.AcceptErr != nil {
		errs = append(errs, fmt.Errorf("acceptor: %w", t.AcceptErr))
	}
	return errors.Join(errs...)
}

// maxLegs is more tokens than any mechanism sends; a handshake that is not over
// then never is.
const maxLegs = 32

// Pump runs i and a against each other to the end, error tokens included, and
// closes both. It checks that they keep to the rules of gss.Handshake (see
// Trace.Broken), and overwrites every token after use, so that a side that kept
// one is found out.
func Pump(ctx context.Context, i, a gss.Handshake) *Trace {
	defer i.Close()
	defer a.Close()
	return pump(ctx, i, a, nil)
}

// pump is Pump without the Close; change, if not nil, may replace the token of a
// leg on its way.
func pump(ctx context.Context, i, a gss.Handshake, change func(leg int, tok []byte) []byte) *Trace {
	t := new(Trace)
	var tok []byte
	for leg := 0; ; leg++ {
		name, h, sc, err := "initiator", i, &t.Initiator, &t.InitErr
		if leg%2 == 1 {
			name, h, sc, err = "acceptor", a, &t.Acceptor, &t.AcceptErr
		}
		switch {
		case *sc != nil:
			if t.InitErr == nil && t.AcceptErr == nil { // an error token may come too late
				t.Broken = fmt.Errorf("leg %d: a token for the %s, which is complete", leg, name)
			}
			return t
		case *err != nil:
			return t
		case leg == maxLegs:
			t.Broken = fmt.Errorf("no end after %d tokens", leg)
			return t
		}
		var out []byte
		out, *sc, *err, t.Broken = step(ctx, h, tok)
		if t.Broken != nil {
			t.Broken = fmt.Errorf("leg %d: the %s %w", leg, name, t.Broken)
			return t
		}
		if len(out) == 0 {
			break
		}
		t.Tokens = append(t.Tokens, bytes.Clone(out))
		tok = bytes.Clone(out)
		scribble(out)
		if change != nil {
			tok = change(leg, tok)
		}
	}
	if (t.Initiator == nil) != (t.Acceptor == nil) && t.InitErr == nil && t.AcceptErr == nil {
		t.Broken = errors.New("one side is complete and the other waits for a token")
	}
	return t
}

// step is h.Step, and says how it broke its rules.
func step(ctx context.Context, h gss.Handshake, tok []byte) (out []byte, sc gss.Context, err, broken error) {
	in := bytes.Clone(tok)
	out, sc, err = h.Step(ctx, in)
	switch {
	case !bytes.Equal(in, tok):
		broken = errors.New("changed the token that it was given")
	case sc != nil && err != nil:
		broken = fmt.Errorf("returned a context with an error: %w", err)
	case sc == nil && err == nil && len(out) == 0:
		broken = errors.New("returned no token, no context and no error")
	}
	scribble(in)
	return out, sc, err, broken
}

func scribble(b []byte) {
	for i := range b {
		b[i] = 0xa5
	}
}

// start begins a handshake of s on both sides.
func (s Setup) start() (i, a gss.Handshake, err error) {
	if s.Prepare != nil {
		if err := s.Prepare(&s); err != nil {
			return nil, nil, fmt.Errorf("in Prepare: %w", err)
		}
	}
	if i, err = s.Initiator.Initiate(s.Target, &s.InitOptions); err != nil {
		return nil, nil, fmt.Errorf("in Initiate: %w", err)
	}
	if a, err = s.Acceptor.Accept(&s.AcceptOptions); err != nil {
		i.Close()
		return nil, nil, fmt.Errorf("in Accept: %w", err)
	}
	return i, a, nil
}

// Establish runs a handshake of s and returns both contexts, which it closes at
// the end of the test. It fails t if there is none.
func Establish(t testing.TB, s Setup) (ic, ac gss.Context) {
	t.Helper()
	i, a, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	tr := Pump(t.Context(), i, a)
	t.Cleanup(tr.Close)
	if err := tr.Err(); err != nil {
		t.Fatal(err)
	}
	return tr.Initiator, tr.Acceptor
}
