package krb5

import (
	"bytes"
	"errors"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// DCE style (RFC 4757 §7.1; MS-KILE §3.4.5) has three legs, with Kerberos' messages bare: no
// framing, no token identifier. The third is an AP-REP of the initiator's, which
// repeats the acceptor's sequence number.

// Tags of Kerberos messages, RFC 4120 §5.10.
const (
	tagAPReq = 0x60 | 14
	tagAPRep = 0x60 | 15
	tagError = 0x60 | 30
)

// Sniff implements gss.Sniffer: it knows a bare AP-REQ.
func (m *Mech) Sniff(first []byte) bool { return len(first) > 0 && first[0] == tagAPReq }

// frameUnless is frame, unless the message is to be bare.
func frameUnless(bare bool, id uint16, msg []byte) []byte {
	if bare {
		return msg
	}
	return frame(id, msg)
}

// unframeUnless is unframe, or for a bare message says what it is. Errors may be framed in
// either style.
func unframeUnless(bare bool, tok []byte) (id uint16, msg []byte, ok bool) {
	if !bare {
		return unframe(tok)
	}
	if len(tok) == 0 {
		return 0, nil, false
	}
	switch tok[0] {
	case tagAPReq:
		return tokAPReq, tok, true
	case tagAPRep:
		return tokAPRep, tok, true
	case tagError:
		return tokError, tok, true
	}
	id, msg, ok = unframe(tok)
	return id, msg, ok && id == tokError
}

// openAPRep decrypts an AP-REP under a session key. Errors: errNoEncType, ikrb5.ErrIntegrity,
// ikrb5.ErrMalformed.
func openAPRep(msg []byte, session *ikrb5.Key) (*ikrb5.EncAPRepPart, error) {
	rep, err := ikrb5.ParseAPRep(msg)
	if err != nil {
		return nil, err
	}
	if rep.EncPart.EType != session.EType() {
		return nil, errNoEncType
	}
	plain, err := session.Decrypt(nil, rep.EncPart.Cipher, ikrb5.UsageAPRepEnc)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return ikrb5.ParseEncAPRepPart(plain)
}

// majorOfRep says in GSS words what openAPRep returned.
func majorOfRep(err error) gss.Major {
	if errors.Is(err, ikrb5.ErrIntegrity) {
		return gss.BadMIC
	}
	return gss.DefectiveToken
}

// sealAPRep makes an AP-REP.
func sealAPRep(session *ikrb5.Key, part *ikrb5.EncAPRepPart) ([]byte, error) {
	plain := part.Append(nil)
	defer clear(plain)
	cipher, err := session.Encrypt(nil, plain, ikrb5.UsageAPRepEnc)
	if err != nil {
		return nil, err
	}
	rep := ikrb5.APRep{EncPart: ikrb5.EncryptedData{EType: session.EType(), Cipher: cipher}}
	return rep.Append(nil), nil
}

// thirdLeg is the initiator's AP-REP: the time is its own, the number the acceptor's. It
// asserts no subkey, which the acceptor's does, unless it is of an old type.
func thirdLeg(session *ikrb5.Key, ctime time.Time, seq uint32) ([]byte, error) {
	return sealAPRep(session, &ikrb5.EncAPRepPart{
		CTime: ctime.Truncate(time.Second), CUsec: ctime.Nanosecond() / 1000, SeqNumber: seq, HasSeq: true,
	})
}

// A third is what an acceptor keeps until the third leg.
type third struct {
	session *ikrb5.Key
	seq     uint32 // this side's
	sent    []byte // the second leg, which is this side's AP-REP
	sc      gss.Context
}

func (t *third) close() {
	t.session.Erase()
	if t.sc != nil {
		t.sc.Close()
	}
}

// echo reports whether msg is the second leg, which is under the same key and has the same
// number as the third has to have.
func (t *third) echo(msg []byte) bool {
	a, err := ikrb5.ParseAPRep(msg)
	b, err2 := ikrb5.ParseAPRep(t.sent)
	return err == nil && err2 == nil && bytes.Equal(a.EncPart.Cipher, b.EncPart.Cipher)
}

// step reads the third leg, which proves that the initiator read the second.
func (t *third) step(in []byte) (gss.Context, error) {
	id, msg, ok := unframeUnless(true, in)
	if !ok || id != tokAPRep {
		return nil, acceptError(&refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MSG_TYPE, nil})
	}
	if t.echo(msg) {
		return nil, acceptError(&refusal{gss.BadMIC, ikrb5.KRB_AP_ERR_MUT_FAIL, nil})
	}
	part, err := openAPRep(msg, t.session)
	if err != nil {
		return nil, acceptError(&refusal{majorOfRep(err), ikrb5.KRB_AP_ERR_BAD_INTEGRITY, err})
	}
	if part.Subkey != nil { // an acceptor's
		part.Subkey.Erase()
		return nil, acceptError(&refusal{gss.BadMIC, ikrb5.KRB_AP_ERR_MUT_FAIL, nil})
	}
	if !part.HasSeq || part.SeqNumber != t.seq {
		return nil, acceptError(&refusal{gss.BadMIC, ikrb5.KRB_AP_ERR_MUT_FAIL, nil})
	}
	sc := t.sc
	t.sc = nil
	return sc, nil
}
