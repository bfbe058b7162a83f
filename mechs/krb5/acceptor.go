package krb5

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// An acceptor reads an AP-REQ and, if mutual authentication was asked for, sends
// an AP-REP (RFC 4120 §3.2, RFC 4121 §4.1).
type acceptor struct {
	m    *Mech
	cred *Credential // a handle of its own; nil: still to be asked for
	opts gss.AcceptOptions
	wait *third // not nil: for the third leg of DCE style
	done bool
}

// Close implements gss.Handshake.
func (h *acceptor) Close() error {
	h.done = true
	if h.wait != nil {
		h.wait.close()
		h.wait = nil
	}
	if h.cred != nil {
		h.cred.Close()
	}
	return nil
}

// A refusal is why a handshake fails, for the caller and for the peer.
type refusal struct {
	major gss.Major
	code  ikrb5.ErrorCode // also told to the peer
	err   error           // cause, for the caller only; nil: code
}

func acceptError(r *refusal) error {
	e := &gss.Error{Op: "Accept_sec_context", Mech: oid.Krb5, Major: r.major, Minor: uint32(r.code), Err: r.err}
	if e.Err == nil {
		e.Err = r.code
	}
	return e
}

// Step implements gss.Handshake.
func (h *acceptor) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if h.done {
		return nil, nil, &gss.Error{Op: "Accept_sec_context", Mech: oid.Krb5, Major: gss.NoContext}
	}
	if h.wait != nil {
		defer h.Close()
		sc, err := h.wait.step(in)
		return nil, sc, err
	}
	out, sc, err := h.first(ctx, in)
	if h.wait == nil {
		h.Close()
	}
	return out, sc, err
}

// first is the first step, and the last but in DCE style.
func (h *acceptor) first(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if h.cred == nil {
		c, err := h.m.acceptor(ctx)
		if err != nil {
			return nil, nil, err
		}
		h.cred = c
	}
	if !h.cred.shared.accepts {
		return nil, nil, noCred("Accept_sec_context", errInitiates)
	}
	bare := h.m.Sniff(in)
	id, msg, ok := unframeUnless(bare, in)
	if !ok {
		return nil, nil, acceptError(&refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_BADVERSION, nil})
	}
	x := exchange{m: h.m, service: h.cred, keys: h.cred.shared.keys, only: h.cred.shared.principal, opts: &h.opts, bare: bare}
	defer x.erase()
	var r *refusal
	if id != tokAPReq {
		r = &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MSG_TYPE, nil}
	} else if r = x.read(msg); r == nil {
		r = x.strike(ctx)
	}
	if r != nil {
		return x.errorToken(r.code), nil, acceptError(r)
	}
	out, sc, err := x.establish()
	if err != nil {
		return nil, nil, acceptError(&refusal{gss.Failure, ikrb5.KRB_ERR_GENERIC, err})
	}
	if bare {
		h.wait = &third{session: x.session, seq: x.seq, sent: out, sc: sc}
		x.session = nil
		return out, nil, nil
	}
	return out, sc, nil
}

// An exchange is one AP exchange as the acceptor sees it.
type exchange struct {
	m       *Mech
	service *Credential
	keys    *keytab
	only    ikrb5.Principal // no Components: any in keys
	opts    *gss.AcceptOptions
	bare    bool // the token came without framing, as in DCE style

	server  ikrb5.Principal // of the ticket; empty before the AP-REQ is parsed
	session *ikrb5.Key
	subkey  *ikrb5.Key // the initiator's; nil: none
	cipher  []byte     // of the authenticator
	auth    *ikrb5.Authenticator
	stamp   time.Time // the authenticator's clock
	info    gss.Info
	pac     *ikrb5.PAC // verified; nil: none
	data    []ikrb5.AuthDataEntry
	cred    *Credential // that came; nil: none
	seq     uint32      // this side's
}

func (x *exchange) erase() {
	if x.cred != nil {
		x.cred.Close()
	}
	if x.session != nil {
		x.session.Erase()
	}
	if x.subkey != nil {
		x.subkey.Erase()
	}
}

// errorToken is a KRB-ERROR for the peer, RFC 4120 §5.9.1. It says no more than
// the code.
func (x *exchange) errorToken(code ikrb5.ErrorCode) []byte {
	now, server := time.Now(), x.server
	if server.Realm == "" { // nobody was asked for; the message needs a realm
		server.Realm = x.keys.entries[0].principal.Realm
	}
	e := ikrb5.KRBError{
		STime: now.Truncate(time.Second), SUsec: now.Nanosecond() / 1000,
		Code: code, Realm: server.Realm, SName: server.Name,
	}
	return frameUnless(x.bare, tokError, e.Append(nil))
}

// read verifies an AP-REQ, in the order in which its parts become trustworthy.
func (x *exchange) read(msg []byte) *refusal {
	req, err := ikrb5.ParseAPReq(msg)
	if err != nil {
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MSG_TYPE, err}
	}
	x.server = ikrb5.Principal{Name: req.Ticket.SName, Realm: req.Ticket.Realm}
	x.cipher = req.Authenticator.Cipher
	if req.Options&ikrb5.APUseSessionKey != 0 { // user to user
		return &refusal{gss.Unavailable, ikrb5.KRB_AP_ERR_NOKEY, nil}
	}
	part, r := x.openTicket(&req.Ticket)
	if r != nil {
		return r
	}
	defer part.Key.Erase()
	if r := x.checkTicket(part); r != nil {
		return r
	}
	if r := x.openAuthenticator(&req.Authenticator, part); r != nil {
		return r
	}
	return x.actFor(&req.Ticket, part)
}

// openTicket decrypts the ticket with one of our keys. sname and realm only choose
// which: they are proven by that key. If there is no realm, one principal's key alone may do.
func (x *exchange) openTicket(t *ikrb5.Ticket) (*ikrb5.EncTicketPart, *refusal) {
	servers := x.servers()
	if len(servers) == 0 {
		return nil, &refusal{gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US, nil}
	}
	if !x.m.config.permits(t.EncPart.EType) {
		return nil, &refusal{gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP, nil}
	}
	r := &refusal{gss.NoCred, ikrb5.KRB_AP_ERR_BADKEYVER, nil}
	var plain []byte
	var key *ikrb5.Key
	for _, server := range servers {
		for _, k := range x.keys.candidates(server, &t.EncPart) {
			p, err := k.key.Decrypt(nil, t.EncPart.Cipher, ikrb5.UsageTicket)
			if err != nil {
				r = &refusal{gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY, nil}
				continue
			}
			defer clear(p)
			if plain != nil { // two realms have one key, and nothing says which is meant
				return nil, &refusal{gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US, nil}
			}
			plain, key, x.server = p, k.key, server
			break
		}
	}
	if plain == nil {
		return nil, r
	}
	part, err := ikrb5.ParseEncTicketPart(plain)
	if err != nil {
		return nil, &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED, err}
	}
	// Who the client is does not depend on a PAC. One that is not good says nothing.
	if pac, err := ikrb5.VerifyPAC(part, key, nil); err == nil {
		x.pac = pac
	}
	x.data = otherData(part.AuthData)
	return part, nil
}

// servers returns who of ours the ticket may be for: its server, if there is a key for it. A ticket
// without a realm, as Heimdal sends it, may be for that name in any of our realms.
func (x *exchange) servers() (out []ikrb5.Principal) {
	for i := range x.keys.entries {
		p := x.keys.entries[i].principal
		wanted := x.server
		if wanted.Realm == "" {
			wanted.Realm = p.Realm
		}
		if p.Equal(wanted) && (len(x.only.Name.Components) == 0 || x.only.Equal(p)) && !slices.ContainsFunc(out, p.Equal) &&
			(x.m.services == nil || slices.Contains(x.m.services, p.String())) {
			out = append(out, p)
		}
	}
	return out
}

// checkTicket decides whether the ticket may be used here and now.
func (x *exchange) checkTicket(part *ikrb5.EncTicketPart) *refusal {
	now, start := time.Now(), part.StartTime
	if start.IsZero() {
		start = part.AuthTime
	}
	switch {
	case part.Flags&ikrb5.TicketInvalid != 0, start.After(now.Add(x.m.config.skew())):
		return &refusal{gss.Failure, ikrb5.KRB_AP_ERR_TKT_NYV, nil}
	case !now.Before(part.EndTime):
		// No skew here: a context must not outlive its ticket, and this one would
		// have expired before its first message.
		return &refusal{gss.CredentialsExpired, ikrb5.KRB_AP_ERR_TKT_EXPIRED, nil}
	case part.Flags&ikrb5.TicketTransitedOK == 0 && !x.m.config.trusts(part, x.server.Realm):
		// Realms on the way may have lied about the client, RFC 4120 §2.7: also
		// about one of this realm, if the path left it and came back.
		return &refusal{gss.Unauthorized, ikrb5.KRB_AP_PATH_NOT_ACCEPTED, nil}
	case !x.m.config.permits(part.Key.EType):
		return &refusal{gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP, nil}
	case critical(part.AuthData):
		return &refusal{gss.Unauthorized, ikrb5.KRB_AP_ERR_MODIFIED, errAuthData}
	}
	var err error
	if x.session, err = part.Key.AnyKey(); err != nil {
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED, err}
	}
	return nil
}

// trusts reports whether every realm that is said to have been between the client's and
// a server's is on the path from the one to the other as this configuration knows it. The
// KDCs add realms to the list, not what they issue tickets with, so that a realm which
// wants to be left out has to be one that is trusted.
func (c *Config) trusts(part *ikrb5.EncTicketPart, server string) bool {
	if len(part.Transited) == 0 {
		return true // this realm's KDC has it from the client's
	}
	between, err := ikrb5.ParseTransited(part.Transited, part.CRealm, server)
	if err != nil || part.TransitedType != ikrb5.TransitedX500 || part.CRealm == server {
		return false
	}
	path, _ := c.path(part.CRealm, server)
	path = path[1 : len(path)-1]
	return !slices.ContainsFunc(between, func(r string) bool { return !slices.Contains(path, r) })
}

var errAuthData = errors.New("krb5: authorization data that is not understood restricts the ticket")

// adKDCIssued may be ignored, RFC 4120 §5.2.6.2.
const adKDCIssued = 4

// critical reports whether list holds what a service has to refuse because it does
// not know what it means, RFC 4120 §5.2.6. PACs come inside AD-IF-RELEVANT.
func critical(list []ikrb5.AuthDataEntry) bool {
	for _, e := range list {
		if e.Type != ikrb5.ADIfRelevant && e.Type != adKDCIssued {
			return true
		}
	}
	return false
}

// openAuthenticator decrypts the authenticator and checks it. Who the client is,
// the ticket says; the authenticator has to agree.
func (x *exchange) openAuthenticator(data *ikrb5.EncryptedData, part *ikrb5.EncTicketPart) *refusal {
	if data.EType != x.session.EType() {
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_BAD_INTEGRITY, errNoEncType}
	}
	plain, err := x.session.Decrypt(nil, data.Cipher, ikrb5.UsageAPReqAuth)
	if err != nil {
		return &refusal{gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY, nil}
	}
	defer clear(plain)
	auth, err := ikrb5.ParseAuthenticator(plain)
	if err != nil {
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED, err}
	}
	if auth.Subkey != nil {
		defer auth.Subkey.Erase()
	}
	if auth.Cksum != nil {
		defer clear(auth.Cksum.Sum) // the key of a delegated ticket, perhaps
	}
	client, skew := part.Client(), x.m.config.skew()
	x.auth = auth
	x.stamp = auth.CTime.Add(time.Duration(auth.CUsec) * time.Microsecond)
	switch claimed := (ikrb5.Principal{Name: auth.CName, Realm: auth.CRealm}); {
	case !claimed.Equal(client):
		return &refusal{gss.BadMIC, ikrb5.KRB_AP_ERR_BADMATCH, nil}
	case time.Until(x.stamp).Abs() > skew:
		return &refusal{gss.Failure, ikrb5.KRB_AP_ERR_SKEW, nil}
	case !auth.HasSeq:
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_BADSEQ, nil} // RFC 4121 §4.1.1
	case auth.Cksum == nil || auth.Cksum.Type != checksumType:
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM, nil}
	case critical(auth.AuthData):
		return &refusal{gss.Unauthorized, ikrb5.KRB_AP_ERR_MODIFIED, errAuthData}
	}
	sum, ok := parseGSSChecksum(auth.Cksum.Sum)
	if !ok {
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM, nil}
	}
	if auth.Subkey != nil {
		if !x.m.config.permits(auth.Subkey.EType) {
			return &refusal{gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP, nil}
		}
		if x.subkey, err = auth.Subkey.AnyKey(); err != nil {
			return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED, err}
		}
	}
	bound, ok := checkBindings(x.opts.Bindings, x.opts.BindingsOptional && !knowsBindings(auth.AuthData), sum.bindings)
	if !ok {
		return &refusal{gss.BadBindings, ikrb5.KRB_ERR_GENERIC, errBindings}
	}
	x.info = gss.Info{
		Mech: oid.Krb5, Local: mechName(x.server), Peer: partyName(client),
		Flags: sum.flags&wireFlags | always, Expiry: part.EndTime,
	}
	if bound {
		x.info.Flags |= gss.Bound
	}
	if isAnonymous(client.Name) {
		x.info.Flags |= gss.Anon
	}
	// Which style it is the framing says, and the checksum proves it.
	if dce := x.info.Flags.Has(gss.DCEStyle); dce != x.bare || dce && !x.info.Flags.Has(gss.Mutual) {
		return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MSG_TYPE, nil}
	}
	if sum.flags.Has(gss.Deleg) {
		keys := []*ikrb5.Key{x.session}
		if x.subkey != nil {
			keys = append(keys, x.subkey)
		}
		if x.cred, err = x.m.openCred(sum.cred, client, keys...); err != nil {
			return &refusal{gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED, err}
		}
		x.info.Flags |= gss.Deleg
	}
	if err := x.opts.Check(x.info); err != nil {
		return &refusal{gss.MajorOf(err), ikrb5.KRB_ERR_GENERIC, err}
	}
	return nil
}

var errBindings = errors.New("krb5: the initiator's channel bindings are missing or others")

// strike makes sure that this AP-REQ was not here before. Its authenticator has a
// random confounder, so that its ciphertext is what comes once. The time in a
// keytab entry does not say since when there is the key: ktutil and ktadd -norandkey
// write an old one anew. So it is no bound on the age of a recorded AP-REQ.
//
// A store that cannot vouch, or is full, does not matter with mutual
// authentication: the context's key then is a subkey that this side has just drawn,
// and who replays an AP-REQ does not learn it. So nobody locks the others out by
// filling the store.
func (x *exchange) strike(ctx context.Context) *refusal {
	hash := sha256.New()
	hash.Write([]byte("gss krb5 strike 1"))
	hash.Write(x.cipher)
	skew := x.m.config.skew()
	err := x.m.replay.Strike(ctx, [32]byte(hash.Sum(nil)), x.stamp.Add(-skew), x.stamp.Add(skew))
	unsure := errors.Is(err, strike.ErrUnsure) || errors.Is(err, strike.ErrFull)
	switch {
	case err == nil, unsure && x.info.Flags.Has(gss.Mutual) && !x.keyType().Old():
		return nil
	case errors.Is(err, strike.ErrSeen):
		return &refusal{gss.DuplicateToken, ikrb5.KRB_AP_ERR_REPEAT, err}
	}
	return &refusal{gss.Unavailable, ikrb5.KRB_ERR_GENERIC, err}
}

// keyType is that of the context's key: of the subkey that this side asserts, unless it is
// Old, whose tokens know none.
func (x *exchange) keyType() ikrb5.EType {
	return x.m.config.negotiate(x.auth.AuthData, x.session.EType())
}

// establish makes the context and, with mutual authentication, the AP-REP, which
// asserts a subkey of this side's.
func (x *exchange) establish() ([]byte, gss.Context, error) {
	if x.subkey == nil {
		var err error
		if x.subkey, err = copyKey(x.session); err != nil {
			return nil, nil, err
		}
	}
	if !x.info.Flags.Has(gss.Mutual) {
		return nil, x.context(nil, x.auth.SeqNumber), nil
	}
	x.seq = nonce() >> 1
	part := ikrb5.EncAPRepPart{CTime: x.auth.CTime, CUsec: x.auth.CUsec, SeqNumber: x.seq, HasSeq: true}
	var key *ikrb5.Key
	if e := x.keyType(); !e.Old() {
		key = x.session.Another()
		if e != key.EType() {
			var err error
			if key, err = ikrb5.RandomKey(e); err != nil {
				return nil, nil, err
			}
		}
		part.Subkey = &ikrb5.EncryptionKey{EType: e, Value: key.Bytes()}
		defer part.Subkey.Erase()
	}
	rep, err := sealAPRep(x.session, &part)
	if err != nil {
		if key != nil {
			key.Erase()
		}
		return nil, nil, err
	}
	return frameUnless(x.bare, tokAPRep, rep), x.context(key, x.seq), nil
}

// context makes the context, which gets the initiator's subkey and key, ours.
func (x *exchange) context(key *ikrb5.Key, sendSeq uint32) gss.Context {
	sc := newSubkeyContext(x.info, key, x.subkey, sendSeq, x.auth.SeqNumber)
	x.subkey = nil
	if x.cred == nil && x.pac == nil && x.data == nil {
		return sc
	}
	c := &acceptedContext{secContext: sc, cred: x.cred, pac: x.pac, data: x.data}
	x.cred = nil
	return c
}
