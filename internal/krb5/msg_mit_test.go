package krb5_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
)

// A client of a real KDC, made of nothing but this package: MIT's KDC understands
// what we write, and we read all that it writes, with the strictness that we have.
func TestMITKDC(t *testing.T) {
	peers.Need(t, "krb5kdc", "kdb5_util", "kadmin.local")
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			realm := peers.MITRealm(t, peers.Options{Enctype: e.Name})
			etype := krb5.EType(e.ID)
			user := krb5.PrincipalName{Type: krb5.NTPrincipal, Components: []string{"user"}}
			host := krb5.PrincipalName{Type: krb5.NTSrvHst, Components: []string{"host", "localhost"}}
			userKey := keytabKey(t, realm.ClientKeytab, "user", realm.Name, etype)
			hostKey := keytabKey(t, realm.Keytab, "host/localhost", realm.Name, etype)

			// AS, preauthenticated at once.
			as := krb5.KDCReq{Body: krb5.KDCReqBody{
				Options: krb5.KDCForwardable, CName: user, Realm: realm.Name,
				SName: krb5.PrincipalName{Type: krb5.NTSrvInst, Components: []string{"krbtgt", realm.Name}},
				Till:  time.Now().Add(time.Hour), Nonce: 0x7ffffffe, ETypes: []krb5.EType{etype},
			}}
			now := time.Now()
			ts := krb5.PAEncTSEnc{Time: now, USec: now.Nanosecond() / 1000}
			enc := krb5.EncryptedData{EType: etype, Cipher: seal(t, userKey, ts.Append(nil), krb5.UsagePAEncTimestamp)}
			as.PAData = []krb5.PAData{{Type: krb5.PAEncTimestamp, Value: enc.Append(nil)}, {Type: krb5.PAReqEncPARep, Value: []byte{}}}
			rep, part := exchange(t, realm.Addr, &as, userKey, krb5.UsageASRep)
			if part.Nonce != as.Body.Nonce || part.Key.EType != etype || part.Flags&krb5.TicketForwardable == 0 || !rep.CName.Equal(user) ||
				len(part.EncPAData) == 0 {
				t.Fatalf("%+v, %+v", rep, part)
			}

			// TGS, with a subkey.
			session, err := part.Key.Key()
			if err != nil {
				t.Fatal(err)
			}
			sub, err := krb5.RandomKey(etype)
			if err != nil {
				t.Fatal(err)
			}
			tgs := krb5.KDCReq{TGS: true, Body: krb5.KDCReqBody{
				Realm: realm.Name, SName: host, Till: time.Now().Add(time.Hour), Nonce: 1, ETypes: []krb5.EType{etype},
			}}
			now = time.Now()
			auth := krb5.Authenticator{
				CRealm: realm.Name, CName: user, CTime: now, CUsec: now.Nanosecond() / 1000,
				Cksum:     &krb5.Checksum{Type: etype.ChecksumType(), Sum: session.Checksum(nil, tgs.Body.Append(nil), krb5.UsageTGSReqCksum)},
				Subkey:    &krb5.EncryptionKey{EType: etype, Value: sub.Bytes()},
				SeqNumber: 0xfffffffe, HasSeq: true,
			}
			ap := krb5.APReq{RawTicket: rep.RawTicket, Authenticator: krb5.EncryptedData{
				EType: etype, Cipher: seal(t, session, auth.Append(nil), krb5.UsageTGSReqAuth)}}
			tgs.PAData = []krb5.PAData{{Type: krb5.PATGSReq, Value: ap.Append(nil)}}
			rep, part = exchange(t, realm.Addr, &tgs, sub, krb5.UsageTGSRepSubkey)
			if part.Nonce != 1 || !part.SName.Equal(host) {
				t.Fatalf("%+v, %+v", rep, part)
			}
			plaintext, err := hostKey.Decrypt(nil, rep.Ticket.EncPart.Cipher, krb5.UsageTicket)
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := krb5.ParseEncTicketPart(plaintext)
			if err != nil || !ticket.CName.Equal(user) || ticket.CRealm != realm.Name || string(ticket.Key.Value) != string(part.Key.Value) {
				t.Errorf("%+v, %v", ticket, err)
			}

			// An error: another request than was signed. (RFC 4120 §3.3.3 says
			// KRB_AP_ERR_MODIFIED; MIT does not.)
			tgs.Body.Nonce++
			if e, err := krb5.ParseKRBError(ask(t, realm.Addr, tgs.Append(nil))); err != nil || !errors.Is(e, krb5.KRB_AP_ERR_BAD_INTEGRITY) {
				t.Errorf("%v, %v", e, err)
			}
		})
	}
}

func exchange(t *testing.T, addr string, req *krb5.KDCReq, key *krb5.Key, usage uint32) (*krb5.KDCRep, *krb5.EncKDCRepPart) {
	t.Helper()
	b := ask(t, addr, req.Append(nil))
	rep, err := krb5.ParseKDCRep(b)
	if err != nil {
		e, _ := krb5.ParseKRBError(b)
		t.Fatalf("%v: %v, %x", err, e, b)
	}
	plaintext, err := key.Decrypt(nil, rep.EncPart.Cipher, usage)
	if err != nil {
		t.Fatal(err)
	}
	part, err := krb5.ParseEncKDCRepPart(plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return rep, part
}

func ask(t *testing.T, addr string, request []byte) []byte {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...))
	var n [4]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:])&0xfffff)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func seal(t *testing.T, key *krb5.Key, plaintext []byte, usage uint32) []byte {
	t.Helper()
	b, err := key.Encrypt(nil, plaintext, usage)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keytabKey(t *testing.T, path, name, realm string, etype krb5.EType) *krb5.Key {
	t.Helper()
	kt, err := keytab.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ek, _, err := kt.GetEncryptionKey(types.NewPrincipalName(krb5.NTPrincipal, name), realm, 0, int32(etype))
	if err != nil {
		t.Fatal(err)
	}
	key, err := krb5.NewKey(etype, ek.KeyValue)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
