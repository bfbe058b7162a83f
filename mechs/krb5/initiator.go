package krb5

import (
	"context"
	"errors"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// An initiator sends an AP-REQ and, with mutual authentication, reads an AP-REP
// (RFC 4120 §3.2, RFC 4121 §4.1).
type initiator struct {
	m      *Mech
	cred   *Credential // a handle of its own; nil: still to be asked for
	name   gss.Name    // as the caller gave it
	target ikrb5.Principal
	opts   gss.InitOptions

	ticket *ticket    // nil before the AP-REQ
	subkey *ikrb5.Key // of the authenticator; nil before the AP-REQ, and at the end
	ctime  time.Time  // of the authenticator
	seq    uint32     // of the authenticator
	info   gss.Info
	done   bool
}

// Step implements gss.Handshake.
func (h *initiator) Step(ctx context.Context, in []byte) (out []byte, sc gss.Context, err error) {
	switch {
	case h.done:
		return nil, nil, initError(gss.NoContext, nil)
	case h.ticket == nil:
		out, sc, err = h.request(ctx, in)
	default:
		out, sc, err = h.reply(in)
	}
	if err != nil || sc != nil {
		h.Close()
	}
	return out, sc, err
}

// Close implements gss.Handshake.
func (h *initiator) Close() error {
	h.done = true
	if h.subkey != nil {
		h.subkey.Erase()
		h.subkey = nil
	}
	h.ticket = nil
	if h.cred != nil {
		h.cred.Close()
	}
	return nil
}

func initError(m gss.Major, err error) error {
	e := &gss.Error{Op: "Init_sec_context", Mech: oid.Krb5, Major: m, Err: err}
	if code, ok := errors.AsType[ikrb5.ErrorCode](err); ok {
		e.Minor = uint32(code)
	}
	return e
}

// request makes the AP-REQ.
func (h *initiator) request(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) != 0 {
		return nil, nil, initError(gss.DefectiveToken, nil)
	}
	if h.cred == nil {
		c, err := h.m.initiator(ctx)
		if err != nil {
			return nil, nil, err
		}
		h.cred = c
		if !c.shared.initiates {
			return nil, nil, initError(gss.NoCred, errAccepts)
		}
		if h.target, err = h.m.config.principal(h.name, c.shared.principal.Realm); err != nil {
			return nil, nil, err
		}
	}
	s := h.cred.shared
	asked := h.opts.Require | h.opts.Request
	flags := asked&services | always
	if flags.Has(gss.DCEStyle) {
		flags |= gss.Mutual // three legs are no fewer
	}
	if isAnonymous(s.principal.Name) {
		flags |= gss.Anon
	}
	peer := mechName(h.target)
	t, err := h.m.ticketFor(ctx, s, h.target, peer.Text)
	if err != nil {
		return nil, nil, err
	}
	peer = mechName(t.server) // whose realm may be found by referral
	if !h.m.config.permits(t.key.EType()) {
		return nil, nil, initError(gss.Unavailable, errNoEncType)
	}
	cred, more, err := h.delegate(ctx, asked, t)
	if err != nil {
		return nil, nil, err
	}
	h.info = gss.Info{
		Mech: oid.Krb5, Local: partyName(s.principal), Peer: peer,
		Initiator: true, Flags: flags | more, Expiry: t.end,
	}
	if err := h.opts.Check(h.info); err != nil {
		return nil, nil, err
	}
	msg, err := h.apReq(s.principal, t, cred)
	if err != nil {
		return nil, nil, initError(gss.Failure, err)
	}
	out := frameUnless(flags.Has(gss.DCEStyle), tokAPReq, msg)
	if flags.Has(gss.Mutual) {
		h.ticket = t
		return out, nil, nil
	}
	// Nothing tells the acceptor's first sequence number: it is ours.
	sc, err := h.context(nil, h.seq)
	if err != nil {
		return nil, nil, err
	}
	return out, sc, nil
}

// apReq returns an AP-REQ, whose authenticator has a fresh subkey and sequence
// number, and cred, a KRB-CRED, if there is one.
func (h *initiator) apReq(client ikrb5.Principal, t *ticket, cred []byte) ([]byte, error) {
	var err error
	if h.subkey, err = ikrb5.RandomKey(t.key.EType()); err != nil {
		return nil, err
	}
	// 30 bits leave room before 2³², at which old implementations wrap around.
	h.ctime, h.seq = h.m.stamp(), nonce()>>1
	sum := gssChecksum{bindings: hashBindings(h.opts.Bindings), flags: h.info.Flags & (wireFlags | gss.Deleg), cred: cred}
	subkey := ikrb5.EncryptionKey{EType: h.subkey.EType(), Value: h.subkey.Bytes()}
	defer subkey.Erase()
	auth := ikrb5.Authenticator{
		CRealm:    client.Realm,
		CName:     client.Name,
		Cksum:     &ikrb5.Checksum{Type: checksumType, Sum: sum.append(nil)},
		CTime:     h.ctime.Truncate(time.Second),
		CUsec:     h.ctime.Nanosecond() / 1000,
		Subkey:    &subkey,
		SeqNumber: h.seq,
		HasSeq:    true,
		AuthData:  h.authData(t),
	}
	plain := auth.Append(nil)
	defer clear(plain)
	cipher, err := t.key.Encrypt(nil, plain, ikrb5.UsageAPReqAuth)
	if err != nil {
		return nil, err
	}
	req := ikrb5.APReq{RawTicket: t.raw, Authenticator: ikrb5.EncryptedData{EType: t.key.EType(), Cipher: cipher}}
	if h.info.Flags.Has(gss.Mutual) {
		req.Options |= ikrb5.APMutualRequired
	}
	return req.Append(nil), nil
}

// reply reads the AP-REP, or the KRB-ERROR in its place. The latter is not
// authenticated: it ends the handshake, as a lost connection would, and no more.
// In DCE style it returns the third leg.
func (h *initiator) reply(in []byte) ([]byte, gss.Context, error) {
	dce := h.info.Flags.Has(gss.DCEStyle)
	id, msg, ok := unframeUnless(dce, in)
	switch {
	case ok && id == tokAPRep:
	case ok && id == tokError:
		kerr, err := ikrb5.ParseKRBError(msg)
		if err != nil {
			return nil, nil, initError(gss.DefectiveToken, err)
		}
		return nil, nil, &gss.Error{Op: "Init_sec_context", Mech: oid.Krb5, Major: remoteMajor(kerr.Code), Minor: uint32(kerr.Code), Remote: true, Err: kerr}
	default:
		return nil, nil, initError(gss.DefectiveToken, nil)
	}
	part, err := openAPRep(msg, h.ticket.key)
	if err != nil {
		return nil, nil, initError(majorOfRep(err), err)
	}
	if part.Subkey != nil {
		defer part.Subkey.Erase()
	}
	if !sameStamp(part.CTime, part.CUsec, h.ctime) {
		return nil, nil, initError(gss.BadMIC, ikrb5.KRB_AP_ERR_MUT_FAIL)
	}
	var key *ikrb5.Key
	if part.Subkey != nil {
		if !h.m.config.permits(part.Subkey.EType) {
			return nil, nil, initError(gss.Unavailable, errNoEncType)
		}
		if key, err = part.Subkey.Key(); err != nil {
			return nil, nil, initError(gss.DefectiveToken, err)
		}
	}
	var out []byte
	if dce {
		if out, err = thirdLeg(h.ticket.key, h.ctime, part.SeqNumber); err != nil {
			return nil, nil, initError(gss.Failure, err)
		}
	}
	sc, err := h.context(key, part.SeqNumber)
	return out, sc, err
}

// context makes the context, which gets h's subkey, and key, the acceptor's
// subkey, if there is one.
func (h *initiator) context(key *ikrb5.Key, recvSeq uint32) (gss.Context, error) {
	sc := newSubkeyContext(h.info, key, h.subkey, h.seq, recvSeq)
	h.subkey = nil
	return sc, nil
}

// newSubkeyContext makes a context, which owns both keys. acceptor is nil if that
// side asserted no subkey.
func newSubkeyContext(info gss.Info, acceptor, initiator *ikrb5.Key, sendSeq, recvSeq uint32) *secContext {
	p := contextParams{
		info: info, initiator: info.Initiator, key: acceptor, partial: initiator,
		acceptorSubkey: acceptor != nil, sendSeq: uint64(sendSeq), recvSeq: uint64(recvSeq),
	}
	if acceptor == nil {
		p.key = initiator
	}
	return newContext(p)
}

// remoteMajor says in GSS words what a peer's KRB-ERROR says.
func remoteMajor(code ikrb5.ErrorCode) gss.Major {
	switch code {
	case ikrb5.KRB_AP_ERR_TKT_EXPIRED:
		return gss.CredentialsExpired
	case ikrb5.KRB_AP_ERR_REPEAT:
		return gss.DuplicateToken
	}
	return gss.Failure
}
