package reauth

import (
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
)

// One context has one ticket, even with reauth within reauth: both layers would encrypt
// theirs under the same key. And however deep, it is known when the initiator authenticated.
func TestNested(t *testing.T) {
	c := newClock()
	start := c.now().Truncate(time.Millisecond)
	o := Options{Time: c.now}
	client, server := New(&toy.Krb{Party: toy.NewParty("alice")}, o), New(&toy.Krb{Party: toy.NewParty("files")}, o)
	w := &world{t: t, client: New(client, o), server: New(server, o)}
	tr := w.shake(nil)
	w.must(tr, false)
	in, outer, ok := parseLast(tr.Tokens[len(tr.Tokens)-1])
	_, inner, okInner := parseLast(in)
	if !ok || !okInner || len(inner) == 0 || len(outer) != 0 {
		t.Fatalf("issues of %d and %d octets", len(inner), len(outer))
	}
	c.add(time.Hour)
	w.must(w.shake(nil), true) // the inner one; its context is another, which gets a ticket
	c.add(time.Hour)
	_, ac := w.must(w.shake(nil), true)
	if ac.Info().Mech != w.server.oid || !ac.(*Context).AuthTime().Equal(start) {
		t.Errorf("%v, authenticated at %v, not at %v", ac.Info().Mech, ac.(*Context).AuthTime(), start)
	}
}

// A nameless credential is a keytab.
type nameless struct{ oid.OID }

func (c nameless) Mech() oid.OID     { return c.OID }
func (c nameless) Name() gss.Name    { return gss.Name{} }
func (c nameless) Expiry() time.Time { return time.Time{} }
func (c nameless) Close() error      { return nil }

// Whose credentials are one mechanism's accepts no ticket of another in the same stack.
func TestNamelessCredential(t *testing.T) {
	alice, files := toy.NewParty("alice"), toy.NewParty("files")
	w := &world{
		t:      t,
		client: New(&toy.Nego{Mechs: []gss.Mechanism{&toy.PK{Party: alice}}}, Options{}),
		server: New(&toy.Nego{Mechs: []gss.Mechanism{&toy.PK{Party: files}, &toy.Uni{}}}, Options{}),
	}
	w.init.Credentials = []gss.Credential{&toy.Cred{OID: toy.PKOID, User: "alice"}}
	w.must(w.shake(nil), false)
	w.accept.Credentials = []gss.Credential{nameless{toy.PKOID}}
	w.must(w.shake(nil), true)
	tok, _ := w.resumeToken()
	w.accept.Credentials = []gss.Credential{nameless{toy.UniOID}}
	w.refuses("a credential of another mechanism", w.server, tok)
}
