package reauth

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/toy"
)

// What is kept is taken back to what it was, as by a failover to a replica that lacks the
// last: newer tickets are not honoured, and older ones are.
func TestRolledBack(t *testing.T) {
	k := new(shelf)
	r := mustShare(t, k)
	w := krbWorld(t, Options{}, Options{Ring: r})
	w.must(w.shake(nil), false)
	old, domain := bytes.Clone(k.b), r.Domain()
	first := w.client
	if err := r.Rotate(time.Now()); err != nil {
		t.Fatal(err)
	}
	w.client = New(&toy.Krb{Party: toy.NewParty("alice")}, Options{})
	w.must(w.shake(nil), false) // under the new key
	k.set(old, nil)
	r.later()
	w.must(w.shake(nil), false)
	w.must(w.shake(nil), true)
	w.client = first
	w.must(w.shake(nil), true)
	if r.Domain() != domain {
		t.Error("another domain")
	}
}

// What was forgotten stays so for those who knew, whatever is kept later.
func TestForgottenStays(t *testing.T) {
	k := new(shelf)
	a, b := mustShare(t, k), mustShare(t, k)
	server := func(r *Ring) *Mech { return New(&toy.Krb{Party: toy.NewParty("files")}, Options{Ring: r}) }
	w := krbWorld(t, Options{}, Options{})
	w.server = server(a)
	w.must(w.shake(nil), false)
	old, forgotten := bytes.Clone(k.b), w.client.take(t)
	stolen := func(what string, r *Ring) {
		t.Helper()
		r.later()
		w.client.o.Cache.Clear()
		w.client.o.Cache.put(forgotten.clone(), nil)
		w.server = server(r)
		w.must(w.shake(nil), false)
		if d := r.Domain(); !bytes.Contains(k.b, d[:]) || bytes.Contains(old, d[:]) {
			t.Errorf("%s: the old ring", what)
		}
	}
	if err := a.Forget(); err != nil {
		t.Fatal(err)
	}
	b.later()
	stolen("by the one who heard of it", b)
	domains := map[[16]byte]bool{a.Domain(): true}
	for n, r := range []*Ring{a, b, a, b} {
		k.set(bytes.Clone(old), nil)
		stolen(fmt.Sprintf("restored %d times", n), r)
		if domains[r.Domain()] {
			t.Error("a domain comes again")
		}
		domains[r.Domain()] = true
	}
	// By one that could not tell the others: they hear of it when it can.
	b.later()
	stolen("b", b)
	a.later()
	stolen("a", a)
	old = bytes.Clone(k.b)
	w.client.o.Cache.Clear()
	w.must(w.shake(nil), false)
	forgotten = w.client.take(t)
	k.set(bytes.Clone(old), errors.New("away"))
	if err := a.Forget(); err == nil {
		t.Fatal("Forget")
	}
	k.set(bytes.Clone(old), nil)
	stolen("Forget failed", a)
	stolen("and b hears of it", b)

	for range 2 * maxGone {
		old = bytes.Clone(k.b)
		if err := a.Forget(); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.gone) != maxGone {
		t.Errorf("%d domains are remembered", len(a.gone))
	}
	k.set(bytes.Clone(old), nil)
	stolen("the last of many", a)
}
