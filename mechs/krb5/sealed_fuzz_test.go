package krb5

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// FuzzSealed: whatever a holder of the key puts into what is encrypted, of a ticket (0), an
// authenticator (1), an AP-REP (2) or the third leg of DCE style (3), it is refused with a
// type or makes a context. The seeds are what MIT and Heimdal put there.
func FuzzSealed(f *testing.F) {
	b, err := os.ReadFile(exchangeFile)
	if err != nil {
		f.Fatal(err)
	}
	var all []*dialogue
	if err := json.Unmarshal(b, &all); err != nil {
		f.Fatal(err)
	}
	for _, r := range all {
		for kind, plain := range r.plain(f) {
			f.Add(byte(kind), plain)
		}
	}
	g := newForger(f, ikrb5.AES128SHA1)
	g.server = ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "h.test"}}, Realm: testRealm}
	seal := func(k *ikrb5.Key, plain []byte, usage uint32) ikrb5.EncryptedData {
		cipher, err := k.Encrypt(nil, plain, usage)
		if err != nil {
			f.Fatal(err)
		}
		return ikrb5.EncryptedData{EType: k.EType(), Cipher: cipher}
	}
	for kind, plain := range [][]byte{
		g.ticketPart().Append(nil), g.authenticator(allFlags, nil).Append(nil),
		(&ikrb5.EncAPRepPart{CTime: time.Now().Truncate(time.Second), HasSeq: true}).Append(nil),
	} {
		f.Add(byte(kind), plain)
	}
	cred := g.credential()
	f.Fuzz(func(t *testing.T, kind byte, plain []byte) {
		g := g.in(t)
		check := func(sc gss.Context, err error) {
			if _, ok := errors.AsType[*gss.Error](err); ok == (sc != nil) {
				t.Errorf("%v, %T", sc, err)
			}
			if sc == nil {
				return
			}
			defer sc.Close()
			if i := sc.Info(); i.Flags.Has(gss.Anon) != i.Peer.IsZero() {
				t.Errorf("%+v", i)
			}
			if a, ok := sc.(*acceptedContext); ok {
				for range a.PeerAttributes() {
				}
				if c, err := a.Delegated(); err == nil {
					c.Close()
				}
			}
		}
		accept := func(r ikrb5.APReq) {
			h, err := g.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{g.service}, AllowAnonymous: true})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			_, sc, err := h.Step(context.Background(), frame(tokAPReq, r.Append(nil)))
			check(sc, err)
		}
		switch kind % 4 {
		case 0:
			tkt := ikrb5.Ticket{Realm: g.server.Realm, SName: g.server.Name, EncPart: seal(g.key, plain, ikrb5.UsageTicket)}
			// With its own session key the authenticator is read, too, if there is one.
			session := g.session
			if part, err := ikrb5.ParseEncTicketPart(plain); err == nil {
				if k, err := part.Key.Key(); err == nil {
					session = k
				}
				g.client = part.Client()
			}
			auth := g.authenticator(allFlags, nil)
			accept(ikrb5.APReq{Ticket: tkt, Authenticator: seal(session, auth.Append(nil), ikrb5.UsageAPReqAuth)})
		case 1:
			accept(ikrb5.APReq{Ticket: g.ticket(g.ticketPart()), Authenticator: seal(g.session, plain, ikrb5.UsageAPReqAuth)})
		case 2:
			h, _ := g.initiate(cred, nil)
			rep := ikrb5.APRep{EncPart: seal(g.session, plain, ikrb5.UsageAPRepEnc)}
			_, sc, err := h.Step(context.Background(), frame(tokAPRep, rep.Append(nil)))
			check(sc, err)
		case 3:
			key, err := copyKey(g.session)
			if err != nil {
				t.Fatal(err)
			}
			w := third{session: key, sc: newSubkeyContext(gss.Info{}, nil, g.session.Another(), 0, 0)}
			rep := ikrb5.APRep{EncPart: seal(g.session, plain, ikrb5.UsageAPRepEnc)}
			sc, err := w.step(rep.Append(nil))
			if _, ok := errors.AsType[*gss.Error](err); ok == (sc != nil) {
				t.Errorf("%v, %T", sc, err)
			}
			w.close()
		}
	})
}

// plain is what is encrypted in an exchange: of a ticket, an authenticator, an AP-REP and a
// third leg.
func (r *dialogue) plain(t testing.TB) [][]byte {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	keys, err := parseKeytab(r.Keytab)
	fatal(err)
	open := func(k *ikrb5.Key, d *ikrb5.EncryptedData, usage uint32) []byte {
		plain, err := k.Decrypt(nil, d.Cipher, usage)
		fatal(err)
		return plain
	}
	req, err := ikrb5.ParseAPReq(r.Bare)
	fatal(err)
	server := ikrb5.Principal{Name: req.Ticket.SName, Realm: r.Realm}
	tkt := open(keys.candidates(server, &req.Ticket.EncPart)[0].key, &req.Ticket.EncPart, ikrb5.UsageTicket)
	part, err := ikrb5.ParseEncTicketPart(tkt)
	fatal(err)
	session, err := part.Key.Key()
	fatal(err)
	_, msg, _ := unframe(r.Reply)
	rep, err := ikrb5.ParseAPRep(msg)
	fatal(err)
	last, err := ikrb5.ParseAPRep(r.Third)
	fatal(err)
	key, err := ikrb5.NewKey(ikrb5.EType(r.EType), r.Session)
	fatal(err)
	return [][]byte{
		tkt, open(session, &req.Authenticator, ikrb5.UsageAPReqAuth),
		open(key, &rep.EncPart, ikrb5.UsageAPRepEnc), open(session, &last.EncPart, ikrb5.UsageAPRepEnc),
	}
}
