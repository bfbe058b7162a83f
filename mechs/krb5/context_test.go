package krb5

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

func TestContextRoundTrip(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, gss.DefaultFlags)
		for _, c := range [][2]*secContext{{i, a}, {a, i}} {
			for n := range 100 {
				msg := bytes.Repeat([]byte{byte(n)}, n*n)
				for _, l := range levels {
					tok, err := c[0].Wrap([]byte("before"), msg, l)
					if err != nil || string(tok[:6]) != "before" || len(tok)-6-len(msg) > c[0].Info().Overhead {
						t.Fatalf("%v: %d octets, %v", e, len(tok), err)
					}
					if l == gss.Confidential && len(tok)-6-len(msg) != c[0].Info().Overhead {
						t.Fatalf("%v: Overhead is %d, not %d", e, c[0].Info().Overhead, len(tok)-6-len(msg))
					}
					if l == gss.Confidential && n > 2 && bytes.Contains(tok, msg) {
						t.Fatal("in clear")
					}
					got, gotLevel, err := c[1].Unwrap([]byte("before"), tok[6:])
					if err != nil || string(got) != "before"+string(msg) || gotLevel != l {
						t.Fatalf("%v, %v: %v, %v", e, l, gotLevel, err)
					}
				}
				mic, err := c[0].MIC([]byte("before"), msg)
				if err != nil || string(mic[:6]) != "before" {
					t.Fatal(err)
				}
				if err := c[1].VerifyMIC(msg, mic[6:]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Sequence numbers: what a context answers to tokens of the other side, in the
// order in which it gets them.
func TestSequence(t *testing.T) {
	const both = gss.Replay | gss.Sequence
	for _, tt := range []struct {
		name  string
		flags gss.Flags
		order []int
		want  []error
	}{
		{"in order", both, []int{0, 1, 2}, []error{nil, nil, nil}},
		{"replayed", both, []int{0, 0, 1, 0, 1}, []error{nil, gss.DuplicateToken, nil, gss.DuplicateToken, gss.DuplicateToken}},
		{"gap and late", both, []int{0, 2, 1, 3}, []error{nil, gss.GapToken, gss.UnseqToken, nil}},
		{"replay alone", gss.Replay, []int{5, 0, 2, 5, 0}, []error{nil, nil, nil, gss.DuplicateToken, gss.DuplicateToken}},
		{"old", gss.Replay, []int{999, 0}, []error{nil, gss.OldToken}},
		{"neither", 0, []int{3, 3, 0, 0}, []error{nil, nil, nil, nil}},
	} {
		for _, first := range []uint64{0, 1, math.MaxUint32 - 1, math.MaxUint64 - 1} {
			key := func(i byte) contextParams {
				return contextParams{
					info: gss.Info{Mech: oid.Krb5, Flags: unsequenced | tt.flags}, initiator: i == 0,
					key: fixedKey(t, allETypes[3], 0), partial: fixedKey(t, allETypes[3], 1), sendSeq: first, recvSeq: first,
				}
			}
			kinds := []struct {
				name string
				make func(c *secContext) []byte
				take func(c *secContext, tok []byte) ([]byte, error)
			}{
				{"sealed", func(c *secContext) []byte { return must[[]byte](t)(c.Wrap(nil, []byte("secret"), gss.Confidential)) }, nil},
				{"clear", func(c *secContext) []byte { return must[[]byte](t)(c.Wrap(nil, []byte("secret"), gss.IntegrityOnly)) }, nil},
				{"MIC", func(c *secContext) []byte { return must[[]byte](t)(c.MIC(nil, []byte("secret"))) },
					func(c *secContext, tok []byte) ([]byte, error) { return nil, c.VerifyMIC([]byte("secret"), tok) }},
			}
			for _, k := range kinds {
				i, a := newContext(key(0)), newContext(key(1))
				var toks [][]byte
				for range 1000 {
					toks = append(toks, k.make(i))
				}
				for step, n := range tt.order {
					// A forgery moves nothing.
					bad := bytes.Clone(toks[min(n+500, 999)])
					bad[len(bad)-1] ^= 1
					take := k.take
					if take == nil {
						take = func(c *secContext, tok []byte) ([]byte, error) {
							dst := make([]byte, 0, 100)
							got, _, err := c.Unwrap(dst, tok)
							if err == nil && string(got) != "secret" || err != nil && (len(got) != 0 || bytes.Contains(dst[:100], []byte("secret"))) {
								t.Errorf("%s: %q beside %v", tt.name, got, err)
							}
							return got, err
						}
					}
					if _, err := take(a, bad); !errors.Is(err, gss.BadMIC) {
						t.Fatalf("%s, %s: a forgery: %v", tt.name, k.name, err)
					}
					if _, err := take(a, toks[n]); !errors.Is(err, tt.want[step]) || (err == nil) != (tt.want[step] == nil) {
						t.Errorf("%s, %s, first %d, step %d: %v, want %v", tt.name, k.name, first, step, err, tt.want[step])
					}
				}
			}
		}
	}
}

// calls are all methods that fail on a context that is not usable.
func calls(c *secContext, tok, mic []byte) map[string]error {
	errs := map[string]error{}
	dst := []byte("before")
	same := func(name string, got []byte, err error) {
		if string(got) != "before" {
			err = fmt.Errorf("dst became %q", got)
		}
		errs[name] = err
	}
	for _, l := range levels {
		got, err := c.Wrap(dst, []byte("message"), l)
		same("Wrap "+l.String(), got, err)
	}
	got, _, err := c.Unwrap(dst, tok)
	same("Unwrap", got, err)
	got, err = c.MIC(dst, []byte("message"))
	same("MIC", got, err)
	errs["VerifyMIC"] = c.VerifyMIC([]byte("message"), mic)
	_, errs["PRF full"] = c.PRF(gss.PRFFull, nil, 8)
	_, errs["PRF partial"] = c.PRF(gss.PRFPartial, nil, 8)
	return errs
}

func TestClose(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		tok := must[[]byte](t)(i.Wrap(nil, []byte("message"), gss.Confidential))
		mic := must[[]byte](t)(i.MIC(nil, []byte("message")))
		info := a.Info()
		for range 2 {
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for name, err := range calls(a, tok, mic) {
			if !errors.Is(err, gss.NoContext) {
				t.Errorf("%v: %s after Close: %v", e, name, err)
			}
		}
		if a.Info() != info || a.Claim("x") {
			t.Error("Info or Claim after Close")
		}
		if a.key.Bytes() != nil || a.partial.Bytes() != nil {
			t.Error("a key survives Close")
		}
	}
	// An erased key alone, as a racing call would find it.
	i, a := contextPair(t, allETypes[0], unsequenced)
	tok := must[[]byte](t)(i.Wrap(nil, []byte("message"), gss.Confidential))
	clear := must[[]byte](t)(i.Wrap(nil, []byte("message"), gss.IntegrityOnly))
	mic := must[[]byte](t)(i.MIC(nil, []byte("message")))
	a.key.Erase()
	a.partial.Erase()
	for _, tok := range [][]byte{tok, clear} {
		for name, err := range calls(a, tok, mic) {
			if !errors.Is(err, gss.NoContext) {
				t.Errorf("%s after Erase: %v", name, err)
			}
		}
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := func(i bool) *secContext {
			return newContext(contextParams{
				info: gss.Info{Mech: oid.Krb5, Flags: unsequenced, Expiry: time.Now().Add(time.Hour)}, initiator: i,
				key: fixedKey(t, allETypes[0], 0), partial: fixedKey(t, allETypes[0], 0),
			})
		}
		i, a := end(true), end(false)
		tok := must[[]byte](t)(i.Wrap(nil, []byte("message"), gss.Confidential))
		mic := must[[]byte](t)(i.MIC(nil, []byte("message")))
		time.Sleep(time.Hour)
		if got, _, err := a.Unwrap(nil, tok); err != nil || string(got) != "message" {
			t.Fatal(err)
		}
		time.Sleep(time.Nanosecond)
		for name, err := range calls(a, tok, mic) {
			if !errors.Is(err, gss.ContextExpired) {
				t.Errorf("%s: %v", name, err)
			}
		}
		a.Info()
		a.Close()
		for name, err := range calls(a, tok, mic) {
			if !errors.Is(err, gss.NoContext) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestLevels(t *testing.T) {
	i, a := contextPair(t, allETypes[0], gss.Mutual|gss.Integ)
	if got, err := i.Wrap([]byte("before"), []byte("secret"), gss.Confidential); !errors.Is(err, gss.Unavailable) || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := i.Wrap([]byte("before"), []byte("secret"), 2); !errors.Is(err, gss.BadQOP) || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
	tok, err := i.Wrap(nil, []byte("message"), gss.IntegrityOnly)
	if err != nil {
		t.Fatal(err)
	}
	if got, l, err := a.Unwrap(nil, tok); err != nil || l != gss.IntegrityOnly || string(got) != "message" {
		t.Error(got, l, err)
	}
	// None of the refused calls took a sequence number.
	if tok[15] != 1000&0xff || tok[14] != 1000>>8 {
		t.Errorf("%x", tok[:headerLen])
	}
}

func TestContextPRF(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		long := make([]byte, gss.MaxPRF)
		for _, key := range []gss.PRFKey{gss.PRFFull, gss.PRFPartial} {
			for _, n := range []int{0, 1, 16, 17, 1000, gss.MaxPRF} {
				for _, in := range [][]byte{nil, []byte("in"), long} {
					x, err1 := i.PRF(key, in, n)
					y, err2 := a.PRF(key, in, n)
					if err1 != nil || err2 != nil || len(x) != n || x == nil || !bytes.Equal(x, y) || n > 8 && bytes.Count(x, []byte{0}) == n {
						t.Errorf("%v: %x, %v; %x, %v", e, x, err1, y, err2)
					}
				}
			}
		}
		x, _ := i.PRF(gss.PRFFull, nil, 32)
		y, _ := i.PRF(gss.PRFPartial, nil, 32)
		if want := fixedKey(t, e, 1).PRFPlus(nil, nil, 32); !bytes.Equal(x, want) {
			t.Errorf("%v: not under the acceptor's subkey", e)
		}
		if want := fixedKey(t, e, 2).PRFPlus(nil, nil, 32); !bytes.Equal(y, want) {
			t.Errorf("%v: not under the initiator's key", e)
		}
		for _, tt := range []struct {
			key  gss.PRFKey
			in   []byte
			n    int
			want gss.Major
		}{
			{gss.PRFFull, nil, -1, gss.Failure}, {gss.PRFFull, nil, gss.MaxPRF + 1, gss.Failure}, {gss.PRFFull, nil, math.MaxInt, gss.Failure},
			{gss.PRFPartial, append(long, 0), 1, gss.Failure}, {2, nil, 1, gss.Unavailable},
		} {
			if out, err := i.PRF(tt.key, tt.in, tt.n); !errors.Is(err, tt.want) || out != nil {
				t.Errorf("%v: %d octets: %v", tt.key, tt.n, err)
			}
		}
	}
}

func TestClaim(t *testing.T) {
	i, a := contextPair(t, allETypes[0], unsequenced)
	if !i.Claim("x") || i.Claim("x") || !i.Claim("y") || !a.Claim("x") || a.Claim("x") {
		t.Error("a label is claimed once on each context")
	}
	var first sync.Map
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			if i.Claim("raced") {
				first.Store(g, true)
			}
		})
	}
	wg.Wait()
	n := 0
	first.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Error(n, "were first")
	}
}

// Many goroutines on both ends, and a Close: a call works or says NoContext, and
// no two tokens have one sequence number.
func TestConcurrent(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, gss.DefaultFlags&^gss.Sequence)
		var seen sync.Map
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				msg := bytes.Repeat([]byte{byte(g)}, 50*g)
				for n := range 100 {
					l := levels[n%2]
					tok, err := i.Wrap(nil, msg, l)
					if err != nil {
						t.Error(err)
						return
					}
					if _, again := seen.LoadOrStore(string(tok[8:headerLen]), true); again {
						t.Error("one sequence number twice")
					}
					got, gotLevel, err := a.Unwrap(nil, tok)
					// Goroutines that lag behind may leave the window.
					if err == nil && (!bytes.Equal(got, msg) || gotLevel != l) ||
						err != nil && !errors.Is(err, gss.NoContext) && !errors.Is(err, gss.OldToken) {
						t.Error(gotLevel, err)
					}
					if _, err := a.PRF(gss.PRFFull, msg, 40); err != nil && !errors.Is(err, gss.NoContext) {
						t.Error(err)
					}
					if g == 3 && n == 70 {
						a.Close()
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		msg := make([]byte, 3000)
		sealed := must[[]byte](t)(i.Wrap(nil, msg, gss.Confidential))
		clear := must[[]byte](t)(i.Wrap(nil, msg, gss.IntegrityOnly))
		mic := must[[]byte](t)(i.MIC(nil, msg))
		rotated := rotate(sealed, 28)
		dst := make([]byte, 0, len(sealed))
		for name, f := range map[string]func(){
			"Wrap sealed":    func() { i.Wrap(dst, msg, gss.Confidential) },
			"Wrap clear":     func() { i.Wrap(dst, msg, gss.IntegrityOnly) },
			"Unwrap sealed":  func() { a.Unwrap(dst, sealed) },
			"Unwrap clear":   func() { a.Unwrap(dst, clear) },
			"Unwrap rotated": func() { a.Unwrap(dst, rotated) },
			"MIC":            func() { i.MIC(dst, msg) },
			"VerifyMIC":      func() { a.VerifyMIC(msg, mic) },
		} {
			if n := testing.AllocsPerRun(50, f); n != 0 {
				t.Errorf("%v %s: %v allocations", e, name, n)
			}
		}
		if n := testing.AllocsPerRun(50, func() { i.PRF(gss.PRFFull, msg, 64) }); n > 1 {
			t.Errorf("%v PRF: %v allocations", e, n)
		}
	}
}
