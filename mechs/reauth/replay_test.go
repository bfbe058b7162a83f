package reauth

import (
	"bytes"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/strike"
)

// TestReplayEveryFlight puts every token of a handshake in the place of the same one of a later
// handshake: of a first one, of a resumption with and without a store, and of one that is
// refused, or is on another channel.
func TestReplayEveryFlight(t *testing.T) {
	for name, make := range map[string]func(testing.TB, Options, Options) *world{"krb": krbWorld, "pk": pkWorld} {
		kinds := map[string]func(w *world){
			"first":   func(w *world) { w.client.o.Cache.Clear() },
			"resumed": func(*world) {},
			"refused": func(w *world) { w.server.o.Ring.Forget() },
			"BADCB": func(w *world) {
				w.init.Bindings, w.accept.Bindings = []byte("tls-exporter:a"), []byte("tls-exporter:b")
			},
			"with-share": func(w *world) { w.client.o.Group = X25519 },
			"with-store": func(w *world) {
				if w.server.o.Store == nil {
					w.server.o.Store = &vouching{}
				}
			},
		}
		for kind, prepare := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := make(t, Options{}, Options{})
				before := func() {
					w.init.Bindings, w.accept.Bindings = nil, nil
					if kind == "BADCB" {
						w.init.Bindings, w.accept.Bindings = []byte("tls-exporter:a"), []byte("tls-exporter:a")
					}
					if w.client.o.Cache.Len() == 0 {
						w.must(w.shake(nil), false)
					}
					prepare(w)
				}
				before()
				old := w.shake(nil)
				if kind != "BADCB" && old.Err() != nil {
					t.Fatal(old.Err())
				}
				want := map[string]byte{"refused": tokRefused, "BADCB": tokBadCB, "first": old.Tokens[1][0]}[kind]
				if want == 0 {
					want = tokResumed
				}
				if old.Tokens[1][0] != want || kind == "first" && want != tokLast && want != tokInner {
					t.Fatalf("the answer is a token %02x", old.Tokens[1][0])
				}
				var keys []byte
				if old.Acceptor != nil {
					keys, _ = old.Acceptor.PRF(gss.PRFFull, []byte("keys"), 32)
				}
				for leg := range old.Tokens {
					before()
					var tr *conformance.Trace
					if leg == 0 {
						tr = w.replayFirst(old.Tokens[0])
					} else {
						tr = w.shake(func(l int, tok []byte) []byte {
							if l == leg {
								return bytes.Clone(old.Tokens[leg])
							}
							return tok
						})
					}
					constant := len(old.Tokens[leg]) == 1 // REFUSED is always the same
					if tr.Acceptor != nil && !constant {
						got, _ := tr.Acceptor.PRF(gss.PRFFull, []byte("keys"), 32)
						if leg == 0 || leg%2 == 0 || bytes.Equal(got, keys) {
							t.Errorf("token %d: the acceptor has a context", leg)
						}
					}
					if tr.Initiator != nil && leg%2 == 1 && !constant {
						t.Errorf("token %d: the initiator has a context", leg)
					}
				}
			})
		}
	}
}

// replayFirst gives a new acceptor a first token, and nobody answers it.
func (w *world) replayFirst(tok []byte) *conformance.Trace {
	w.t.Helper()
	_, sc, err := w.answer(w.server, bytes.Clone(tok))
	tr := &conformance.Trace{Acceptor: sc, AcceptErr: err}
	w.t.Cleanup(tr.Close)
	return tr
}

// Revoked is asked on every resumption, always about the first authentication.
func TestRevokedEveryResumption(t *testing.T) {
	for _, store := range []strike.Store{nil, &vouching{}} {
		c := newClock()
		type asked struct {
			who gss.Name
			at  time.Time
		}
		var calls []asked
		var since time.Time // whoever authenticated earlier is revoked
		w := krbWorld(t, Options{Time: c.now}, Options{Time: c.now, Store: store, Revoked: func(n gss.Name, at time.Time) bool {
			calls = append(calls, asked{n, at})
			return at.Before(since)
		}})
		_, ac := w.must(w.shake(nil), false)
		first := asked{ac.Info().Peer, c.now().Truncate(time.Millisecond)}
		for n := range 20 {
			c.add(time.Minute)
			w.must(w.shake(nil), true)
			if len(calls) != n+1 || calls[n].who != first.who || !calls[n].at.Equal(first.at) {
				t.Fatalf("resumption %d: asked %d times, at last %v", n+1, len(calls), calls[len(calls)-1])
			}
		}
		since = c.now().Truncate(time.Millisecond)
		c.add(time.Minute)
		tr := w.shake(nil)
		w.must(tr, false) // in full
		if !bytes.Equal(tr.Tokens[1], []byte{tokRefused}) {
			t.Error("not refused")
		}
		w.must(w.shake(nil), true) // with the ticket of that
		if last := calls[len(calls)-1]; last.at.Before(since) {
			t.Error(last)
		}
	}
}
