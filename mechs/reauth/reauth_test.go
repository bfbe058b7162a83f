package reauth

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

var files = gss.Service("host", "files.example.org")

// A clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A world is a client and a server of one toy mechanism.
type world struct {
	t              testing.TB
	client, server *Mech
	init           gss.InitOptions
	accept         gss.AcceptOptions
}

func krbWorld(t testing.TB, i, a Options) *world {
	return &world{t: t, client: New(&toy.Krb{Party: toy.NewParty("alice")}, i), server: New(&toy.Krb{Party: toy.NewParty("files")}, a)}
}

func pkWorld(t testing.TB, i, a Options) *world {
	w := &world{t: t, client: New(&toy.PK{Party: toy.NewParty("alice")}, i), server: New(&toy.PK{Party: toy.NewParty("files")}, a)}
	w.init.Credentials = []gss.Credential{&toy.Cred{OID: toy.PKOID, User: "alice"}}
	return w
}

// shake runs a handshake, in which alter may change tokens on their way.
func (w *world) shake(alter func(leg int, tok []byte) []byte) *conformance.Trace {
	w.t.Helper()
	return shake(w.t, w.client, w.server, &w.init, &w.accept, alter)
}

func shake(t testing.TB, client, server gss.Mechanism, init *gss.InitOptions, accept *gss.AcceptOptions, alter func(leg int, tok []byte) []byte) *conformance.Trace {
	t.Helper()
	ih, err := client.Initiate(files, init)
	if err != nil {
		t.Fatal(err)
	}
	ah, err := server.Accept(accept)
	if err != nil {
		t.Fatal(err)
	}
	if alter == nil {
		alter = func(_ int, tok []byte) []byte { return tok }
	}
	tr := conformance.Pump(context.Background(), &altered{ih, alter, 1}, &altered{ah, alter, 0})
	t.Cleanup(tr.Close)
	return tr
}

// altered changes what a handshake receives; leg counts tokens.
type altered struct {
	gss.Handshake
	alter func(leg int, tok []byte) []byte
	leg   int
}

func (h *altered) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) > 0 {
		in = h.alter(h.leg, bytes.Clone(in))
		h.leg += 2
	}
	return h.Handshake.Step(ctx, in)
}

// must fails the test unless the handshake led to a context, resumed or not.
func (w *world) must(tr *conformance.Trace, resumed bool) (ic, ac gss.Context) {
	w.t.Helper()
	if err := tr.Err(); err != nil {
		w.t.Fatal(err)
	}
	for _, sc := range []gss.Context{tr.Initiator, tr.Acceptor} {
		if _, ok := sc.(*Context); ok != resumed {
			w.t.Fatalf("resumed: %v, want %v", ok, resumed)
		}
	}
	i, a := tr.Initiator.Info(), tr.Acceptor.Info()
	if i.Local != a.Peer || i.Peer != a.Local || i.Local.IsZero() || i.Peer.IsZero() {
		w.t.Fatalf("names: %v %v %v %v", i.Local, i.Peer, a.Local, a.Peer)
	}
	tok, err := tr.Initiator.Wrap(nil, []byte("hello"), gss.Confidential)
	if err != nil {
		w.t.Fatal(err)
	}
	if b, _, err := tr.Acceptor.Unwrap(nil, tok); err != nil || string(b) != "hello" {
		w.t.Fatalf("%q, %v", b, err)
	}
	return tr.Initiator, tr.Acceptor
}

func TestFirstAndResumed(t *testing.T) {
	for name, make := range map[string]func(testing.TB, Options, Options) *world{"krb": krbWorld, "pk": pkWorld} {
		for _, g := range []Group{NoShare, X25519, X25519MLKEM768, P256} {
			for _, store := range []strike.Store{nil, strike.NewMemory(strike.MemoryOptions{})} {
				t.Run(name, func(t *testing.T) {
					time.Sleep(2 * time.Millisecond) // tickets are younger than the store by their own clock of milliseconds
					w := make(t, Options{Group: g}, Options{Store: store})
					tr := w.shake(nil)
					ic, _ := w.must(tr, false)
					if name == "pk" && len(tr.Tokens) != 4 || name == "krb" && len(tr.Tokens) != 2 {
						t.Errorf("%d tokens", len(tr.Tokens))
					}
					for range 3 {
						tr := w.shake(nil)
						rc, ra := w.must(tr, true)
						if rc.Info().Mech != oid.Join(oid.Reauth, w.client.inner.OID()) || rc.Info().Local != ic.Info().Local {
							t.Errorf("%+v", rc.Info())
						}
						if !rc.Info().Expiry.Equal(ra.Info().Expiry) || rc.Info().Flags != ra.Info().Flags {
							t.Errorf("%+v %+v", rc.Info(), ra.Info())
						}
						want := 3
						if store != nil {
							want = 2
						}
						if len(tr.Tokens) != want {
							t.Errorf("%d tokens, want %d", len(tr.Tokens), want)
						}
						if w.client.o.Cache.Len() != 1 {
							t.Errorf("%d tickets", w.client.o.Cache.Len())
						}
					}
				})
			}
		}
	}
}

// wantMajor checks an error.
func wantMajor(t testing.TB, what string, err error, want ...gss.Major) {
	t.Helper()
	if err == nil || !slices.Contains(want, gss.MajorOf(err)) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestNewDefaults(t *testing.T) {
	m := New(&toy.PK{Party: toy.NewParty("")}, Options{Life: 1000 * time.Hour})
	if m.o.Life != maxLife || m.OID() != oid.Join(oid.Reauth, toy.PKOID) {
		t.Error(m.o.Life, m.OID())
	}
	if _, err := m.Acquire(t.Context()); !errors.Is(err, gss.Unavailable) {
		t.Error(err)
	}
}
