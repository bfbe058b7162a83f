package kdctest

import (
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// The flags that a client may ask for have the bits of the options that ask, RFC
// 4120 §5.3 and §5.4.1. So have renewable and, in the TGS exchange, forwarded and proxy.
const flagOptions = krb5.KDCForwardable | krb5.KDCProxiable

// as is the AS exchange, RFC 4120 §3.1: a ticket for whoever has the client's key.
func (r *Realm) as(req *krb5.KDCReq, now time.Time) (*reply, error) {
	const known = flagOptions | krb5.KDCRenewable | krb5.KDCRenewableOK | krb5.KDCAllowPostdate | krb5.KDCCanonicalize
	body := &req.Body
	client, ok := r.lookup(body.CName)
	if !ok || body.Realm != r.o.Realm {
		return nil, refuse(krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN, "no such client")
	}
	if client.refused != 0 {
		return nil, refuse(client.refused, "refused by the test")
	}
	server, session, err := r.target(body, false)
	if err != nil {
		return nil, err
	}
	if err := checkOptions(body.Options, known); err != nil {
		return nil, err
	}
	replyKey, ok := client.choose(body.ETypes)
	if !ok {
		return nil, refuse(krb5.KDC_ERR_ETYPE_NOSUPP, "the client has no key of those types")
	}
	if err := r.preauthenticate(req, client, now); err != nil {
		return nil, err
	}
	key, err := replyKey.get()
	if err != nil {
		return nil, err
	}
	t := &krb5.EncTicketPart{
		Flags:  body.Options&flagOptions | krb5.TicketInitial | krb5.TicketPreAuthent | server.flags(),
		CRealm: r.o.Realm, CName: body.CName, TransitedType: krb5.TransitedX500,
		AuthTime: now.Truncate(time.Second), CAddr: body.Addresses,
	}
	if err := r.setTimes(t, body, now, nil); err != nil {
		return nil, err
	}
	if t.Key, err = sessionKey(session); err != nil {
		return nil, err
	}
	defer t.Key.Erase()
	rep, err := r.issue(req, server, t, nil, func(plaintext []byte) (krb5.EncryptedData, error) {
		enc, err := encrypt(key, plaintext, krb5.UsageASRep)
		enc.KVNO, enc.HasKVNO = replyKey.kvno, true
		return enc, err
	})
	if err != nil {
		return nil, err
	}
	rep.PAData = []krb5.PAData{etypeInfo2(replyKey)}
	return rep, nil
}

// flags are those that every ticket for p has.
func (p principal) flags() uint32 {
	if p.okAsDelegate {
		return krb5.TicketOKAsDelegate
	}
	return 0
}

// checkOptions refuses what is not supported: RFC 4120 §3.1.3 and §3.3.3 have an
// error of their own for postdating. What a client does not insist on is in known.
func checkOptions(options, known uint32) error {
	switch {
	case options&krb5.KDCPostdated != 0:
		return refuse(krb5.KDC_ERR_CANNOT_POSTDATE, "no postdated tickets here")
	case options&^known != 0:
		return refuse(krb5.KDC_ERR_BADOPTION, "option not supported")
	}
	return nil
}

// preauthenticate checks the encrypted timestamp, RFC 4120 §5.2.7.2, which may be
// under any key of the client. An error tells the client how to make its keys.
func (r *Realm) preauthenticate(req *krb5.KDCReq, client principal, now time.Time) error {
	refuse := func(code krb5.ErrorCode, text string) error {
		e := refuse(code, text)
		e.EData = krb5.AppendMethodData(nil, hints(client, req.Body.ETypes))
		return e
	}
	value, ok := krb5.FindPAData(req.PAData, krb5.PAEncTimestamp)
	if !ok {
		return refuse(krb5.KDC_ERR_PREAUTH_REQUIRED, "encrypted timestamp needed")
	}
	enc, err := krb5.ParseEncryptedData(value)
	if err != nil {
		return refuse(krb5.KDC_ERR_PREAUTH_FAILED, "malformed encrypted timestamp")
	}
	longTerm, ok := client.current(enc.EType)
	if !ok {
		return refuse(krb5.KDC_ERR_PREAUTH_FAILED, "the client has no key of that type")
	}
	key, err := longTerm.get()
	if err != nil {
		return err
	}
	plaintext, err := key.Decrypt(nil, enc.Cipher, krb5.UsagePAEncTimestamp)
	if err != nil {
		return refuse(krb5.KDC_ERR_PREAUTH_FAILED, "wrong password or key")
	}
	ts, err := krb5.ParsePAEncTSEnc(plaintext)
	if err != nil {
		return refuse(krb5.KDC_ERR_PREAUTH_FAILED, "malformed timestamp")
	}
	if r.skewed(now, ts.Time, ts.USec) {
		return refuse(krb5.KRB_AP_ERR_SKEW, "the client's clock is off")
	}
	return nil
}

// hints are the METHOD-DATA of RFC 4120 §5.2.7: which keys the client has, of those
// that it asked for and in its order, how to make them, and what to do with one.
func hints(client principal, wanted []krb5.EType) []krb5.PAData {
	var keys []longTermKey
	for _, e := range wanted {
		if k, ok := client.current(e); ok {
			keys = append(keys, k)
		}
	}
	return []krb5.PAData{etypeInfo2(keys...), {Type: krb5.PAEncTimestamp, Value: []byte{}}}
}

func etypeInfo2(keys ...longTermKey) krb5.PAData {
	var list []krb5.ETypeInfo2Entry
	for _, k := range keys {
		list = append(list, krb5.ETypeInfo2Entry{EType: k.etype, Salt: k.salt, HasSalt: k.salt != ""})
	}
	return krb5.PAData{Type: krb5.PAETypeInfo2, Value: krb5.AppendETypeInfo2(nil, list)}
}
