package krb5

import (
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	gokeytab "github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// gokrb5 is a second implementation of the AP exchange (of AP-REQ, that is), and of
// the files.

func TestGokrb5Accepts(t *testing.T) {
	for _, e := range defaultEncTypes {
		f := newForger(t, e)
		kt := gokeytab.New()
		if err := kt.Unmarshal(f.keytab()); err != nil {
			t.Fatal(err)
		}
		_, tok := f.initiate(f.credential(), nil)
		_, msg, _ := unframe(tok)
		var req messages.APReq
		if err := req.Unmarshal(msg); err != nil {
			t.Fatal(err)
		}
		ok, creds, err := service.VerifyAPREQ(&req, service.NewSettings(kt, service.DecodePAC(false)))
		if err != nil || !ok || creds.UserName() != "alice" || creds.Realm() != testRealm {
			t.Errorf("%v: %v, %v", e, ok, err)
		}
		if a := req.Authenticator; a.SeqNumber <= 0 || a.SeqNumber >= 1<<30 || a.SubKey.KeyType != int32(e) || a.Cksum.CksumType != checksumType || len(a.Cksum.Checksum) != 24 {
			t.Errorf("%v: authenticator %+v", e, a)
		}
	}
}

func TestGokrb5Initiates(t *testing.T) {
	for _, e := range defaultEncTypes {
		f := newForger(t, e)
		tkt := f.ticket(f.ticketPart())
		var theirs messages.Ticket
		if err := theirs.Unmarshal(tkt.Append(nil)); err != nil {
			t.Fatal(err)
		}
		cl := client.NewWithPassword("alice", testRealm, "", config.New())
		flags := []int{gssapi.ContextFlagInteg, gssapi.ContextFlagConf, gssapi.ContextFlagMutual}
		session := types.EncryptionKey{KeyType: int32(e), KeyValue: f.session.Bytes()}
		m, err := spnego.NewKRB5TokenAPREQ(cl, theirs, session, flags, []int{2})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		out, info, err := f.accept(tok, nil)
		if err != nil || info.Peer != mechName(f.client) || info.Flags != gss.Integ|gss.Conf|gss.Mutual|always {
			t.Errorf("%v: %+v, %v", e, info, err)
		}
		var rep spnego.KRB5Token
		if err := rep.Unmarshal(out); err != nil || !rep.IsAPRep() || rep.APRep.EncPart.EType != int32(e) {
			t.Errorf("%v: AP-REP: %+v, %v", e, rep, err)
		}
	}
}

// Keytabs that gokrb5 writes, credential caches that it reads.
func TestGokrb5Files(t *testing.T) {
	kt := gokeytab.New()
	for kvno := range uint8(3) {
		for _, e := range defaultEncTypes {
			if err := kt.AddEntry("HTTP/www.test", "R", "secret", time.Unix(1e9+int64(kvno), 0), kvno+1, int32(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c, err := FromKeytab(b, "HTTP/www.test@R")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, e := range defaultEncTypes {
		want, err := ikrb5.StringToKey(e, "secret", "RHTTPwww.test", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := c.shared.keys.candidates(c.shared.principal, &ikrb5.EncryptedData{EType: e})
		if len(got) != 3 || got[0].kvno != 3 || got[2].kvno != 1 || string(got[0].key.Bytes()) != string(want.Bytes()) || got[0].written.Unix() != 1e9+2 {
			t.Errorf("%v: %+v", e, got)
		}
	}
	var cc credentials.CCache
	if err := cc.Unmarshal(sampleCCache(t)); err != nil || cc.GetClientPrincipalName().PrincipalNameString() != "alice" || len(cc.Credentials) != 2 {
		t.Errorf("ccache: %+v, %v", cc, err)
	}
}
