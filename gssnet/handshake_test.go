package gssnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

var svc = gss.Service("echo", "files.example.org")

// mechanisms of every number of tokens, and what to require of them.
var mechanisms = map[string]struct {
	make  func(user string) gss.Mechanism
	flags gss.Flags
}{
	"one token":    {func(u string) gss.Mechanism { return &toy.Uni{Party: toy.NewParty(u)} }, toy.UniFlags},
	"two tokens":   {func(u string) gss.Mechanism { return &toy.Krb{Party: toy.NewParty(u)} }, 0},
	"DCE style":    {func(u string) gss.Mechanism { return &toy.Krb{Party: toy.NewParty(u)} }, gss.DefaultFlags | gss.DCEStyle},
	"three tokens": {func(u string) gss.Mechanism { return &toy.PK{Party: toy.NewParty(u)} }, 0},
	"negotiation": {func(u string) gss.Mechanism {
		return &toy.Nego{Mechs: []gss.Mechanism{&toy.PK{Party: toy.NewParty(u)}}}
	}, 0},
}

func initiator(t testing.TB, m gss.Mechanism, o *gss.InitOptions) gss.Handshake {
	t.Helper()
	h, err := m.Initiate(svc, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func acceptor(t testing.TB, m gss.Mechanism, o *gss.AcceptOptions) gss.Handshake {
	t.Helper()
	h, err := m.Accept(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// result is what Initiate or Accept returned.
type result struct {
	sc  gss.Context
	err error
}

// both runs a handshake over a pipe.
func both(t *testing.T, i, a gss.Handshake) (ri, ra result) {
	t.Helper()
	x, y := net.Pipe()
	defer y.Close()
	ch := make(chan result, 1)
	go func() {
		defer x.Close()
		sc, err := Initiate(t.Context(), Stream(x, 0), i)
		ch <- result{sc, err}
	}()
	ra.sc, ra.err = Accept(t.Context(), Stream(y, 0), a)
	y.Close()
	ri = <-ch
	for _, r := range []result{ri, ra} {
		if r.sc != nil {
			t.Cleanup(func() { r.sc.Close() })
		}
	}
	return ri, ra
}

func TestInitiateAccept(t *testing.T) {
	for name, m := range mechanisms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, a := both(t, initiator(t, m.make("alice"), &gss.InitOptions{Require: m.flags}), acceptor(t, m.make("files"), nil))
				if i.err != nil || a.err != nil {
					t.Fatal(i.err, a.err)
				}
				tok, err := i.sc.Wrap(nil, []byte("hello"), gss.Confidential)
				if err != nil {
					t.Fatal(err)
				}
				if msg, _, err := a.sc.Unwrap(nil, tok); err != nil || string(msg) != "hello" {
					t.Errorf("%q, %v", msg, err)
				}
			})
		})
	}
}

// TestErrorToken: what a failing Step leaves for the peer arrives.
func TestErrorToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skewed := &toy.Krb{Party: toy.NewParty("files"), Skew: true}
		i, a := both(t, initiator(t, &toy.Krb{Party: toy.NewParty("alice")}, nil), acceptor(t, skewed, nil))
		e, ok := errors.AsType[*gss.Error](i.err)
		if !ok || !e.Remote || e.Minor != toy.MinorSkew || i.sc != nil {
			t.Errorf("initiator: %v", i.err)
		}
		if e, ok := errors.AsType[*gss.Error](a.err); !ok || e.Remote || e.Minor != toy.MinorSkew || a.sc != nil {
			t.Errorf("acceptor: %v", a.err)
		}
	})
}

// scripted is a handshake of a test, and counts what happens to it.
type scripted struct {
	step   func(n int, in []byte) ([]byte, gss.Context, error)
	steps  int
	closed int
}

func (s *scripted) Step(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	s.steps++
	return s.step(s.steps, in)
}

func (s *scripted) Close() error { s.closed++; return nil }

// queue is a Transport of a test.
type queue struct {
	in   [][]byte
	sent [][]byte
	fail error // of Send
}

func (q *queue) Send(_ context.Context, tok []byte) error {
	q.sent = append(q.sent, bytes.Clone(tok))
	return q.fail
}

func (q *queue) Receive(context.Context) ([]byte, error) {
	if len(q.in) == 0 {
		return nil, io.EOF
	}
	tok := q.in[0]
	q.in = q.in[1:]
	return tok, nil
}

// closable is a context that says whether it was closed.
type closable struct {
	gss.Context
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

func TestRun(t *testing.T) {
	tok := []byte("token")
	refused := &gss.Error{Op: "Step", Major: gss.BadMIC}
	broken := errors.New("wire cut")
	endless := make([][]byte, 1000)
	for name, tt := range map[string]struct {
		initiate bool
		in       [][]byte
		fail     error
		step     func(sc gss.Context) func(n int, in []byte) ([]byte, gss.Context, error)
		sent     int
		want     error // by errors.Is; nil: a context
		orphan   bool  // the context was closed
	}{
		"initiator speaks first": {true, [][]byte{tok}, nil, func(sc gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(n int, in []byte) ([]byte, gss.Context, error) {
				if n == 1 {
					if in != nil {
						return nil, nil, refused
					}
					return tok, nil, nil
				}
				return nil, sc, nil
			}
		}, 1, nil, false},
		"acceptor's last token": {false, [][]byte{tok}, nil, func(sc gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return tok, sc, nil }
		}, 1, nil, false},
		"a last token that cannot be sent": {false, [][]byte{tok}, broken, func(sc gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return tok, sc, nil }
		}, 1, broken, true},
		"an error token that cannot be sent": {false, [][]byte{tok}, broken, func(gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return tok, nil, refused }
		}, 1, gss.BadMIC, false},
		"an error token": {false, [][]byte{tok}, nil, func(gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return tok, nil, refused }
		}, 1, gss.BadMIC, false},
		"nobody there": {false, nil, nil, func(gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return nil
		}, 0, io.EOF, false},
		"gone halfway": {true, nil, nil, func(gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return tok, nil, nil }
		}, 1, io.ErrUnexpectedEOF, false},
		"a silent mechanism": {false, [][]byte{tok, tok}, nil, func(gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return nil, nil, nil }
		}, 0, gss.Failure, false},
		"no end": {false, endless, nil, func(gss.Context) func(int, []byte) ([]byte, gss.Context, error) {
			return func(int, []byte) ([]byte, gss.Context, error) { return tok, nil, nil }
		}, maxLegs, gss.Failure, false},
	} {
		sc := new(closable)
		h := &scripted{step: tt.step(sc)}
		q := &queue{in: tt.in, fail: tt.fail}
		got, err := run(t.Context(), q, h, tt.initiate)
		if tt.want == nil && (err != nil || got != sc) || tt.want != nil && (!errors.Is(err, tt.want) || got != nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if h.closed == 0 || sc.closed != tt.orphan || len(q.sent) != tt.sent {
			t.Errorf("%s: handshake closed %d times, context closed %v, %d tokens sent", name, h.closed, sc.closed, len(q.sent))
		}
	}
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := net.Pipe()
		defer x.Close()
		defer y.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Accept(ctx, Stream(x, 0), acceptor(t, &toy.PK{Party: toy.NewParty("files")}, nil))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("a silent peer:", err)
		}
		_, err = Initiate(ctx, Stream(x, 0), initiator(t, &toy.PK{Party: toy.NewParty("alice")}, nil))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("a context that had ended:", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = Initiate(ctx, Stream(x, 0), initiator(t, &toy.PK{Party: toy.NewParty("alice")}, nil)) // nobody reads
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("a deaf peer:", err)
		}
		// The deadline that interrupted is gone again.
		go func() { y.Write([]byte("x")) }()
		if _, err := io.ReadFull(x, make([]byte, 1)); err != nil {
			t.Error("after an interruption:", err)
		}
	})
}
