package reauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// An Opener opens the introductions of those who may introduce: *seal.Recipient is one.
//
// Redeem calls admit once with the key that only the originator and the relay have, the hash
// of the relay's exported name, the names of the originator's context with the
// recipient, and the latest end of a context made of it. If admit returns nil, Redeem returns the
// body, and never again for the same message. It returns errors of admit as they are.
type Opener interface {
	Redeem(ctx context.Context, sealed []byte,
		admit func(key []byte, relay [32]byte, originator, recipient gss.Name, end time.Time) error) (body []byte, err error)
}

// IntroducedOptions tune Introduced. The zero value is an initiator's; an acceptor needs
// Introduce.
type IntroducedOptions struct {
	// Introduce says whether introduced may come in because introducer says so. Nil: nobody
	// may. It is asked whenever somebody comes, with a grant or a ticket; those who have tickets are
	// kept out by it alone when introducer's context is gone. introducer is that context's peer;
	// introduced is what introducer wrote, of any mechanism, and not canonicalized.
	Introduce func(introducer, introduced gss.Name) bool

	// Revoked, if not nil, refuses those who redeemed a grant at authTime, by the clock of
	// the acceptor that it was; of a grant, authTime is now. peer is an IntroducedName.
	Revoked func(peer gss.Name, authTime time.Time) bool

	// Ring, Cache, Store, StoreDomain, Life, Local and Time are as in Options. Local is asked
	// about the recipient of grants.
	Ring        *Ring
	Cache       *Cache
	Store       strike.Store
	StoreDomain [16]byte
	Life        time.Duration
	Local       func(gss.Name) bool
	Time        func() time.Time

	// Group is the share that the initiator sends, always; NoShare stands for X25519.
	Group Group
}

// A Redeemer is the mechanism oid.Introduced. It is a gss.Mechanism and gss.Described, and
// safe for concurrent use.
type Redeemer struct {
	m         *Mech // without an inner mechanism
	opener    Opener
	introduce func(introducer, introduced gss.Name) bool
}

// Introduced returns the mechanism with which those who were introduced come in. Its
// initiators need a credential of FromGrant, and its acceptors an opener; without one, they
// take tickets only. Openers in several processes that have the same contexts have to share
// what they strike grants in.
func Introduced(opener Opener, o IntroducedOptions) *Redeemer {
	if o.Group == NoShare {
		o.Group = X25519
	}
	return &Redeemer{
		m: newMech(nil, oid.Introduced, Options{
			Ring: o.Ring, Cache: o.Cache, Store: o.Store, StoreDomain: o.StoreDomain, Life: o.Life, Group: o.Group, RequireShare: true,
			Local: o.Local, Revoked: o.Revoked, Time: o.Time,
		}),
		opener:    opener,
		introduce: o.Introduce,
	}
}

// OID is gss.Mechanism's.
func (x *Redeemer) OID() oid.OID { return oid.Introduced }

// Attributes implements gss.Described.
func (x *Redeemer) Attributes() []oid.OID {
	return []oid.OID{oid.MAMechConcrete, oid.MANotDfltMech, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MAIntegProt,
		oid.MAConfProt, oid.MAMIC, oid.MAWrap, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings, oid.MAPFS}
}

// Causes of a refusal, which the acceptor alone gets to know.
var (
	errTicket   = errors.New("reauth: no ticket that is good here")
	errOpener   = errors.New("reauth: grants are not redeemed here")
	errGrant    = errors.New("reauth: the grant's key is not proven, or for other names")
	errShareDue = errors.New("reauth: no share, or one's own nonce")
	errPolicy   = errors.New("reauth: not to be introduced here")
	errEnd      = errors.New("reauth: it has ended")
	errRefused  = errors.New("reauth: refused")
)

// A redeeming is the acceptor's handshake.
type redeeming struct {
	answering
	x *Redeemer
}

// Accept implements gss.Mechanism.
func (x *Redeemer) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	h := &redeeming{answering{o: o.Resolved()}, x}
	h.handshake = handshake{m: x.m, op: "Accept_sec_context", next: h.start, bind: newBinding(h.o.Bindings)}
	return h, nil
}

func (h *redeeming) start(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	mech, tok, err := gss.ParseToken(in)
	if err != nil || mech != h.m.oid {
		return nil, nil, h.defective()
	}
	r, ok := parseResume(tok)
	switch {
	case ok && r.kind == kindTicket:
		return h.ticket(ctx, &claim{resume: r, now: h.m.o.Time()})
	case ok && r.kind == kindGrant:
		return h.grant(ctx, &claim{resume: r, now: h.m.o.Time()})
	}
	return nil, nil, h.defective()
}

// refuse tells the peer nothing of the reason, and the caller all: NoCred with the cause, or what
// gss.AcceptOptions.Check says. There is no other mechanism to go on with.
func (h *redeeming) refuse(why error) ([]byte, gss.Context, error) {
	if e, ok := why.(*gss.Error); !ok || e.Op != h.op {
		why = h.fail(gss.NoCred, why)
	}
	return []byte{tokRefused}, nil, why
}

// finish answers what admit came to.
func (h *redeeming) finish(ctx context.Context, c *claim, err error) ([]byte, gss.Context, error) {
	switch {
	case err == nil:
		return h.answer(ctx, c)
	case errors.Is(err, errBound):
		return h.badBindings()
	}
	clear(c.secret)
	return h.refuse(err)
}

// errBound: possession is proven, and the bindings differ.
var errBound = errors.New("reauth: other channel bindings")

// ticket answers a RESUME with a ticket of an introduced context.
func (h *redeeming) ticket(ctx context.Context, c *claim) ([]byte, gss.Context, error) {
	t, ok := h.m.o.Ring.open(c.cred, c.now, h.m.o.Life)
	if !ok {
		return h.refuse(errTicket)
	}
	defer clear(t.psk)
	c.ticket = t
	introducer, ok := parsePlain(t.introducer)
	if !ok || t.inner != oid.Introduced || t.tf&tfIntroduced == 0 || t.tf&^(tfBound|tfIntroduced|tfShare) != 0 {
		return h.refuse(errTicket)
	}
	return h.finish(ctx, c, h.admit(c, introducer, nil))
}

// grant answers a RESUME with a grant. Whatever can be refused is refused before the grant is
// used up.
func (h *redeeming) grant(ctx context.Context, c *claim) ([]byte, gss.Context, error) {
	if h.x.opener == nil {
		return h.refuse(errOpener)
	}
	admitted := false
	body, err := h.x.opener.Redeem(ctx, c.cred, func(key []byte, relay [32]byte, originator, recipient gss.Name, end time.Time) error {
		c.ticket = &ticket{
			tf: tfIntroduced | tfShare, flags: services, authTime: c.now, end: end, psk: key, inner: oid.Introduced,
		}
		to, err := recipient.Export()
		if err != nil {
			return err
		}
		c.ticket.acceptor = hash(to)
		err = h.admit(c, originator, &relay)
		admitted = err == nil
		return err
	})
	if err == nil && !admitted {
		err = errGrant
	}
	if err == nil {
		c.ticket.app = body
	}
	return h.finish(ctx, c, err)
}

// admit looks at all that makes a RESUME good. Of a grant, relay is the hash of the name that
// the introducer has for its bearer; of a ticket, the name is in the ticket.
func (h *redeeming) admit(c *claim, introducer gss.Name, relay *[32]byte) error {
	t := c.ticket
	if c.group == NoShare || c.group > P256 || h.m.waits.has(c.ni) {
		return errShareDue
	}
	if !h.prove(c) || subtle.ConstantTimeCompare(hash(c.a.target), t.acceptor) != 1 {
		return errGrant
	}
	if relay == nil && len(c.a.initiator) > 0 || relay != nil && !h.bearer(c, introducer, relay[:]) {
		return errGrant
	}
	recipient, ok := parsePlain(c.a.target)
	if !ok || !h.mine(recipient, oid.Introduced) {
		return errGrant
	}
	var err error
	if c.local, err = IntroducedName(introducer, recipient); err != nil {
		return err
	}
	if c.peer, err = IntroducedName(introducer, t.initiator); err != nil {
		return err
	}
	t.introducer, err = introducer.Export()
	switch revoked := h.m.o.Revoked; {
	case err != nil:
		return err
	case !c.now.Before(t.end):
		return errEnd
	case h.x.introduce == nil || !h.x.introduce(introducer, t.initiator), revoked != nil && revoked(c.peer, t.authTime):
		return errPolicy
	case !h.bound(c):
		return errBound
	}
	return h.agree(c)
}

// bearer reports whether the initiator calls itself what the introducer calls the bearer of
// the grant, and the introducer what the grant's context calls it: an introducer that gave
// the bearer another name of its own is found out.
func (h *redeeming) bearer(c *claim, introducer gss.Name, relay []byte) bool {
	n, ok := parseMN(c.a.initiator)
	if !ok {
		return false
	}
	by, who, ok := SplitIntroduced(n)
	if !ok || by != introducer {
		return false
	}
	c.ticket.initiator = who
	name, err := who.Export()
	return err == nil && subtle.ConstantTimeCompare(hash(name), relay) == 1
}
