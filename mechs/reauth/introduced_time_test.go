package reauth

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	gssseal "github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
)

// What was sealed for something else is no grant, and a grant is good once.
func TestIntroducedReplay(t *testing.T) {
	m := toyMeeting(t)
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{Store: &vouching{}}, nil)
	plain, err := x.toBob.Grant(nil, nil, x.toCarol, &gssseal.Options{OneTime: true, Relay: x.carol})
	if err != nil {
		t.Fatal(err)
	}
	h, err := x.relay.Accept(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	tok, _ := x.flight(x.credential(h, x.carol))
	x.refuses("a grant that is no introduction", x.server, tok, gssseal.ErrIntroduction)

	held := x.hold("", nil)
	c := x.credential(held, x.carol)
	before, _ := x.flight(c) // another RESUME of the same grant
	tr := x.come(c, nil)
	x.good(tr, kindGrant, "")
	x.refuses("the first flight, again", x.server, tr.Tokens[0], strike.ErrSeen)
	x.refuses("the grant, again", x.server, before, strike.ErrSeen)
	x.restart()
	x.refuses("the first flight, after a restart", x.server, tr.Tokens[0], strike.ErrSeen)

	// A host that lost its store, and kept what it needs to open grants.
	s, err := gssseal.NewState(x.ba)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again := gssseal.NewRecipient(nil)
	defer again.Close()
	if _, err := again.AddState(s); err != nil {
		t.Fatal(err)
	}
	x.refuses("the first flight, after the store was lost", Introduced(again, x.serverOpts), tr.Tokens[0], strike.ErrUnsure)

	// RESUMED and CONFIRM of another handshake.
	y := toys(t, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1})}, IntroducedOptions{})
	first := y.come(y.introduce(""), nil)
	y.good(first, kindGrant, "")
	for leg := 1; leg <= 2; leg++ {
		tr := y.come(y.introduce(""), func(l int, tok []byte) []byte {
			if l == leg {
				return bytes.Clone(first.Tokens[leg])
			}
			return tok
		})
		if leg == 1 && tr.Initiator != nil || tr.Acceptor != nil {
			t.Errorf("leg %d replayed: a context", leg)
		}
	}
	// The ticket's flight: an answer, never the first one's keys.
	tr = x.come(c, nil)
	x.good(tr, kindTicket, "")
	out, sc, err := x.answer(x.server, tr.Tokens[0])
	if err != nil || sc != nil || out[0] != tokResumed || out[1] != rfConfirm {
		t.Errorf("a ticket's flight, again: %x, %v", out[:2], err)
	}
}

// However often renewed, no introduced context outlives the grant, or the introducer's context.
func TestIntroducedChain(t *testing.T) {
	for what, expires := range map[string]bool{"the grant's": false, "the introducer's context's": true} {
		synctest.Test(t, func(t *testing.T) {
			end := time.Now().Add(6 * time.Hour)
			m := toyMeeting(t)
			ab := func(t testing.TB, from, to string) (gss.Context, gss.Context) {
				i, a := m(t, from, to)
				if expires {
					return &ending{i.(gss.Claimer), end}, &ending{a.(gss.Claimer), end}
				}
				return i, a
			}
			x := stage(t, ab, m, IntroducedOptions{}, IntroducedOptions{}, nil)
			o := &gssseal.Options{Relay: x.carol, Lifetime: 6 * time.Hour}
			if expires {
				o.Lifetime = 7 * 24 * time.Hour
			}
			held := x.hold("", o)
			g := x.stolen(held)
			c := x.credential(held, x.carol)
			began := time.Now()
			_, ac := x.good(x.come(c, nil), kindGrant, "")
			for n := range 100 {
				if e := ac.Info().Expiry; e.After(end) || end.Sub(e) > time.Millisecond {
					t.Fatalf("%s, %d: ends %v after the end", what, n, e.Sub(end))
				}
				time.Sleep(3 * time.Minute)
				_, ac = x.good(x.come(c, nil), kindTicket, "")
				if at := ac.(*Context).AuthTime(); at.After(began) || began.Sub(at) > time.Millisecond {
					t.Fatalf("authenticated at %v", at)
				}
			}
			last := x.client.take(t)
			time.Sleep(time.Until(end))
			x.refuses(what+": the ticket after the end", x.server, x.crafted(last, kindTicket, X25519, nil), errEnd)
			// A thief of the grant, who does not mind that it ended.
			e, who := x.asEntry(g)
			x.refuses(what+": the grant after the end", x.server, x.crafted(e, kindGrant, X25519, who), errEnd)
			time.Sleep(skew + time.Second)
			x.refuses(what+": the grant later", x.server, x.crafted(e, kindGrant, X25519, who))
			if !expires {
				if _, _, err := c.open(); gss.MajorOf(err) != gss.OldToken {
					t.Error(err)
				}
			}
		})
	}
}

// ending is a context that ends.
type ending struct {
	gss.Claimer
	end time.Time
}

func (c *ending) Info() gss.Info {
	i := c.Claimer.Info()
	i.Expiry = c.end
	return i
}

// A clock that is a day off lets nobody in who should not be, and takes CONFIRM of the others.
func TestIntroducedClocks(t *testing.T) {
	for _, d := range []time.Duration{-24 * time.Hour, -6 * time.Minute, 6 * time.Minute, 59 * time.Minute, 24 * time.Hour} {
		c := newClock()
		c.add(d)
		x := toys(t, IntroducedOptions{}, IntroducedOptions{Time: c.now, Store: &vouching{}})
		cred := x.introduce("")
		tr := x.come(cred, nil)
		if d > time.Hour {
			if why := x.refused(d.String(), tr); !errors.Is(why, errEnd) {
				t.Error(why)
			}
			continue
		}
		if err := tr.Err(); err != nil || len(tr.Tokens) != 3 {
			t.Errorf("%v: %d tokens, %v", d, len(tr.Tokens), err)
		}
	}
}

// Whoever is on the path can say REFUSED, as often as he likes: the ticket is still there when he
// is gone, and the grant is not used up if it was he who got it.
func TestIntroducedForgedRefusal(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("")
	for _, kind := range []byte{kindGrant, kindTicket} {
		for range 4 {
			tok, h := x.flight(c)
			if kindOf(t, tok) != kind {
				t.Fatal("kind")
			}
			_, sc, err := h.Step(t.Context(), []byte{tokRefused})
			if sc != nil {
				t.Fatal("a context")
			}
			wantMajor(t, "REFUSED", err, gss.NoCred)
		}
		x.good(x.come(c, nil), kind, "")
	}
}
