package reauth

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// realmStand is one realm with alice and a service.
func realmStand(t testing.TB, name, service string) stand {
	realm := kdctest.New(t, kdctest.Options{Realm: name})
	realm.AddUser("alice", "secret")
	realm.AddService(service)
	cc := filepath.Join(t.TempDir(), "cc")
	realm.WriteCCache(cc, "alice", service)
	keytab, err := realm.Keytab(service)
	if err != nil {
		t.Fatal(err)
	}
	c, err := krb5.ParseConfig(realm.Krb5Conf())
	if err != nil {
		t.Fatal(err)
	}
	cred, err := krb5.FromKeytab(keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	return stand{
		client: krb5.New(krb5.Options{Config: c, Initiator: krb5.FileSource(cc, krb5.FromCCacheFile)}),
		server: krb5.New(krb5.Options{Config: c, Acceptor: cred.Source()}),
	}
}

// alice of one realm is not alice of another, and their servers are not each other, even if the
// servers share a ring and their names differ in the realm alone.
func TestSwappedRealms(t *testing.T) {
	ring := NewRing()
	worlds := map[string]*world{}
	for _, realm := range []string{"A.TEST", "B.TEST"} {
		s := realmStand(t, realm, "host/files.example.org")
		local := gss.Name{Mech: s.server.OID(), Text: "host/files.example.org@" + realm}
		w := &world{t: t, client: New(s.client, Options{}), server: New(s.server, Options{Ring: ring, Local: func(n gss.Name) bool { return n == local }})}
		_, ac := w.must(w.shake(nil), false)
		if i := ac.Info(); i.Peer.Text != "alice@"+realm || i.Local != local {
			t.Fatalf("%v, %v", i.Peer, i.Local)
		}
		worlds[realm] = w
	}
	a, b := worlds["A.TEST"], worlds["B.TEST"]
	tok, _ := a.resumeToken()
	b.refuses("a ticket of another realm", b.server, tok)

	// The owner of one ticket asks for the other server with it, or takes the other's ticket.
	ea, eb := a.client.take(t), b.client.take(t)
	x := ea.clone()
	x.peer = eb.peer
	a.client.o.Cache.put(x, ea.ticket)
	tok, _ = a.resumeToken()
	b.refuses("a ticket of another realm, for this realm's server", b.server, tok)
	x = ea.clone()
	x.ticket = bytes.Clone(eb.ticket)
	a.client.o.Cache.Clear()
	a.client.o.Cache.put(x, nil)
	tok, _ = a.resumeToken()
	a.refuses("another realm's ticket", a.server, tok)
	b.refuses("another realm's ticket, there", b.server, tok)

	// Who comes back is who he was, whatever the initiator believes.
	_, ac := b.must(b.shake(nil), true)
	if got := ac.Info().Peer; got.Text != "alice@B.TEST" {
		t.Error(got)
	}
}

// Who saw a ticket on the wire has nothing.
func TestStolenTicketWithoutSecret(t *testing.T) {
	w := krbWorld(t, Options{}, Options{})
	w.must(w.shake(nil), false)
	tok, _ := w.resumeToken()
	_, in, _ := gss.ParseToken(tok)
	r, _ := parseResume(in)
	owner := w.client.take(t)
	target, _ := owner.peer.Export()
	for what, psk := range map[string][]byte{
		"zeros": make([]byte, keyLen), "of the ticket": hash(r.cred), "of the names": hash(target), "none": {}, "its owner's": owner.psk,
	} {
		forged := resume{kind: kindTicket, ni: bytes.Repeat([]byte{7}, nonceLen), cred: r.cred}
		head := forged.appendHead(nil)
		k := newSchedule(kindTicket, psk, w.server.oid.AppendDER(nil), head)
		auth, err := seal(k.authKey(), (&authenticator{time: time.Now(), flags: services, bind: newBinding(nil), target: target}).marshal())
		if err != nil {
			t.Fatal(err)
		}
		tok := gss.AppendToken(nil, w.server.oid, appendVec16(head, auth))
		if what != "its owner's" {
			w.refuses(what, w.server, tok)
		} else if out, _, err := w.answer(w.server, tok); err != nil || out[0] != tokResumed {
			t.Errorf("the test's RESUME is none: %v", err)
		}
		// His own authenticator behind the genuine head, and the other way round.
		mixed := *r
		mixed.auth = auth
		w.refuses("another authenticator", w.server, gss.AppendToken(nil, w.server.oid, appendVec16(mixed.appendHead(nil), auth)))
		w.refuses("another head", w.server, gss.AppendToken(nil, w.server.oid, appendVec16(head, r.auth)))
	}
}
