package krb5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// exportPair is contextPair with names and an expiry; separate: PRFPartial has a key of
// its own.
func exportPair(t testing.TB, e ikrb5.EType, separate bool) (i, a *secContext) {
	end := func(initiator bool) *secContext {
		p := contextParams{
			info: gss.Info{
				Mech: oid.Krb5, Flags: gss.DefaultFlags | gss.Trans, Expiry: time.Now().Add(time.Hour),
				Local: gss.Name{Mech: oid.Krb5, Text: "alice@TEST.GSS"}, Peer: gss.Name{Mech: oid.Krb5, Text: "host/h.test@TEST.GSS"},
			},
			initiator: initiator, key: fixedKey(t, e, 1), acceptorSubkey: separate, sendSeq: 1<<64 - 1, recvSeq: 5,
		}
		if p.partial = p.key; separate {
			p.partial = fixedKey(t, e, 2)
		}
		if !initiator {
			p.sendSeq, p.recvSeq, p.info.Local, p.info.Peer = p.recvSeq, p.sendSeq, p.info.Peer, gss.Name{}
		}
		return newContext(p)
	}
	return end(true), end(false)
}

func exporter() *Mech { return New(Options{Config: &Config{DefaultRealm: testRealm}}) }

// A context goes on elsewhere as if nothing had happened, in both directions, with what
// was received before refused.
func TestContextExport(t *testing.T) {
	for _, e := range allETypes {
		for _, separate := range []bool{false, true} {
			i, a := exportPair(t, e, separate)
			m := exporter()
			var seen [][]byte
			for hop := range 4 {
				for _, c := range [][2]*secContext{{i, a}, {a, i}} {
					tok := must[[]byte](t)(c[0].Wrap(nil, []byte("message"), gss.Confidential))
					if got, _, err := c[1].Unwrap(nil, tok); err != nil || string(got) != "message" {
						t.Fatalf("%v, hop %d: %q, %v", e, hop, got, err)
					}
					if c[0] == i {
						seen = append(seen, tok)
					}
				}
				for _, tok := range seen {
					if _, _, err := a.Unwrap(nil, tok); !errors.Is(err, gss.DuplicateToken) {
						t.Errorf("%v, hop %d: %v", e, hop, err)
					}
				}
				full, partial := must[[]byte](t)(a.PRF(gss.PRFFull, nil, 32)), must[[]byte](t)(a.PRF(gss.PRFPartial, nil, 32))
				if bytes.Equal(full, partial) == separate {
					t.Fatal("the keys of the PRF")
				}
				for _, c := range []**secContext{&i, &a} {
					old, info := *c, (*c).Info()
					state := must[[]byte](t)(old.Export())
					for name, err := range calls(old, nil, nil) {
						if !errors.Is(err, gss.NoContext) {
							t.Errorf("%s after Export: %v", name, err)
						}
					}
					// An Unwrap that was decrypting meanwhile comes too late: what is
					// exported does not know of it.
					if err := old.commit("Unwrap", 1<<20); !errors.Is(err, gss.NoContext) {
						t.Errorf("a token taken after Export: %v", err)
					}
					if _, err := old.Export(); !errors.Is(err, gss.NoContext) {
						t.Errorf("Export again: %v", err)
					}
					if old.key.Bytes() != nil {
						t.Error("the key is still there")
					}
					sc, err := m.Import(state)
					if err != nil {
						t.Fatal(err)
					}
					*c = sc.(*secContext)
					if sc.Info() != info || (*c).Claim("x") {
						t.Errorf("%+v, was %+v; or it can be claimed", sc.Info(), info)
					}
					if _, err := m.Import(state); !errors.Is(err, gss.DuplicateToken) {
						t.Errorf("the same state again: %v", err)
					}
				}
				if !bytes.Equal(full, must[[]byte](t)(a.PRF(gss.PRFFull, nil, 32))) || !bytes.Equal(partial, must[[]byte](t)(i.PRF(gss.PRFPartial, nil, 32))) {
					t.Errorf("%v: another PRF", e)
				}
			}
		}
	}
}

// Nothing but a whole state is one.
func TestImportRefuses(t *testing.T) {
	i, _ := exportPair(t, allETypes[3], true)
	state := must[[]byte](t)(i.Export())
	m := exporter()
	refuse := func(what string, b []byte, want error) {
		t.Helper()
		if sc, err := m.Import(b); !errors.Is(err, want) || sc != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range state {
		refuse(fmt.Sprint("prefix ", n), state[:n], gss.DefectiveToken)
	}
	refuse("an octet more", append(slices.Clone(state), 0), gss.DefectiveToken)
	refuse("large", make([]byte, maxState+1), gss.DefectiveToken)
	other := slices.Clone(state)
	other[0]++
	refuse("another version", other, gss.DefectiveToken)
	other = slices.Clone(state)
	other[17] |= 0x80
	refuse("unknown bits", other, gss.DefectiveToken)

	m = New(Options{Config: &Config{EncTypes: []int32{17}}})
	refuse("a type that is not permitted", state, gss.Unavailable)
	m = New(Options{Replay: failing{}})
	refuse("a store that fails", state, gss.Unavailable)
	m = exporter()
	sc, err := m.Import(state)
	if err != nil {
		t.Fatal(err)
	}
	sc.Close()
	refuse("the same twice", state, gss.DuplicateToken)
}

type failing struct{ strike.Store }

// Strike implements strike.Store.
func (failing) Strike(context.Context, [32]byte, time.Time, time.Time) error { return strike.ErrBroken }

func TestImportExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, _ := exportPair(t, allETypes[0], true)
		state := must[[]byte](t)(i.Export())
		time.Sleep(time.Hour + 1)
		if _, err := exporter().Import(state); !errors.Is(err, gss.ContextExpired) {
			t.Error(err)
		}
		i, _ = exportPair(t, allETypes[0], true)
		time.Sleep(time.Hour + 1)
		if _, err := i.Export(); !errors.Is(err, gss.ContextExpired) {
			t.Error(err)
		}
	})
}

// While others use it: every token was made by one context or the other, and what one
// has taken the other refuses.
func TestExportConcurrent(t *testing.T) {
	for range 20 {
		i, a := exportPair(t, allETypes[1], true)
		var toks [][]byte
		for range 64 {
			toks = append(toks, must[[]byte](t)(i.Wrap(nil, []byte("message"), gss.IntegrityOnly)))
		}
		var wg sync.WaitGroup
		taken := make([]bool, len(toks))
		for g := range 4 {
			wg.Go(func() {
				for n := g; n < len(toks); n += 4 {
					_, _, err := a.Unwrap(nil, toks[n])
					taken[n] = err == nil
				}
			})
		}
		runtime.Gosched()
		state, err := a.Export()
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		sc, err := exporter().Import(state)
		if err != nil {
			t.Fatal(err)
		}
		for n, tok := range toks {
			if _, _, err := sc.Unwrap(nil, tok); taken[n] && err == nil {
				t.Fatalf("token %d was taken twice", n)
			}
		}
	}
}

func TestContextInterface(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		var c Context = i
		etype, key, err := c.SessionKey()
		if err != nil || etype != int32(e) || !bytes.Equal(key, fixedKey(t, e, 1).Bytes()) {
			t.Errorf("%v: %d, %x, %v", e, etype, key, err)
		}
		clear(key) // it is a copy
		if _, _, err := a.Unwrap(nil, must[[]byte](t)(i.Wrap(nil, nil, gss.Confidential))); err != nil {
			t.Error(err)
		}
		for _, l := range levels {
			for limit := range 200 {
				n, err := c.WrapSizeLimit(l, limit)
				if err != nil || n < 0 {
					t.Fatal(n, err)
				}
				if n > 0 && len(must[[]byte](t)(i.Wrap(nil, make([]byte, n), l))) != limit {
					t.Errorf("%v, %v: %d octets do not make %d", e, l, n, limit)
				}
				if n == 0 && len(must[[]byte](t)(i.Wrap(nil, []byte{0}, l))) <= limit {
					t.Errorf("%v, %v: an octet would go into %d", e, l, limit)
				}
			}
		}
		if _, err := c.WrapSizeLimit(9, 100); !errors.Is(err, gss.BadQOP) {
			t.Error(err)
		}
		c.Close()
		if _, _, err := c.SessionKey(); !errors.Is(err, gss.NoContext) {
			t.Error(err)
		}
		if _, err := c.WrapSizeLimit(0, 100); !errors.Is(err, gss.NoContext) {
			t.Error(err)
		}
	}
	plain, _ := contextPair(t, allETypes[0], gss.Integ)
	if _, err := plain.WrapSizeLimit(gss.Confidential, 100); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
}

// A context without Integ and Conf, as an initiator gets who asks for neither: SASL
// still has its last messages wrapped (RFC 4752 §3.1).
func TestNoFlags(t *testing.T) {
	i, a := contextPair(t, allETypes[0], gss.ProtReady)
	tok := must[[]byte](t)(i.Wrap(nil, []byte("message"), gss.IntegrityOnly))
	if got, l, err := a.Unwrap(nil, tok); err != nil || l != gss.IntegrityOnly || string(got) != "message" {
		t.Error(got, l, err)
	}
	if err := a.VerifyMIC([]byte("m"), must[[]byte](t)(i.MIC(nil, []byte("m")))); err != nil {
		t.Error(err)
	}
	if _, err := i.Wrap(nil, nil, gss.Confidential); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
}

// 64 goroutines on one context, every call there is.
func TestManyGoroutines(t *testing.T) {
	for _, e := range allETypes {
		i, a := contextPair(t, e, unsequenced)
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Go(func() {
				from, to := i, a
				if g%2 == 1 {
					from, to = a, i
				}
				msg := bytes.Repeat([]byte{byte(g)}, 1+g)
				for n := range 10 {
					l := levels[n%2]
					tok, err := from.WrapAEAD(nil, msg, msg, l)
					if err != nil {
						t.Error(err)
						return
					}
					if got, _, err := to.UnwrapAEAD(nil, tok, msg); err != nil || !bytes.Equal(got, msg) {
						t.Error(err)
					}
					iov := []gss.Buffer{header, {Data: bytes.Clone(msg)}, trailer}
					if err := errors.Join(from.IOVLengths(l, iov), from.WrapIOV(l, iov)); err != nil {
						t.Error(err)
					}
					if _, err := to.UnwrapIOV(iov); err != nil || !bytes.Equal(iov[1].Data, msg) {
						t.Error(err)
					}
					mic, err := from.MIC(nil, msg)
					if err != nil || to.VerifyMIC(msg, mic) != nil {
						t.Error(err)
					}
					if _, err := to.PRF(gss.PRFFull, msg, 40); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// 10,000 contexts at once, each used and closed.
func TestManyContexts(t *testing.T) {
	const n = 10_000
	contexts := make([][2]*secContext, n)
	for k := range contexts {
		contexts[k][0], contexts[k][1] = contextPair(t, allETypes[k%4], gss.DefaultFlags)
	}
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for k := w; k < n; k += 4 {
				i, a := contexts[k][0], contexts[k][1]
				tok, err := i.Wrap(nil, []byte("message"), gss.Confidential)
				if err == nil {
					_, _, err = a.Unwrap(nil, tok)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range contexts {
		c[0].Close()
		c[1].Close()
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines, were %d", now, before)
	}
}

func FuzzImport(f *testing.F) {
	for _, e := range allETypes {
		for _, separate := range []bool{false, true} {
			i, _ := exportPair(f, e, separate)
			f.Add(must[[]byte](f)(i.Export()))
		}
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		sc, err := exporter().Import(state)
		if err != nil {
			if !errors.Is(err, gss.DefectiveToken) && !errors.Is(err, gss.ContextExpired) && !errors.Is(err, gss.Unavailable) {
				t.Fatal(err)
			}
			return
		}
		defer sc.Close()
		sc.MIC(nil, nil)
		sc.Unwrap(nil, state)
		if again, err := sc.(gss.Exporter).Export(); err == nil && len(again) != len(state) {
			t.Fatalf("%x became %x", state, again)
		}
	})
}
