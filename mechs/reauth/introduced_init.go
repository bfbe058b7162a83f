package reauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A Grant is what an introducer gave: *seal.Held is one. Originator and Recipient are the
// introducer and the acceptor, each as their own context has it.
type Grant interface {
	Credential() (sealed, key []byte, err error)
	Originator() gss.Name
	Recipient() gss.Name
	NotAfter() time.Time
}

// A Credential is a Grant in the hands of the one who is introduced. It is a
// gss.Credential of oid.Introduced, good for one acceptor, once, and then for the tickets
// that come of it.
type Credential struct {
	local, peer gss.Name // of the contexts to come
	who, target []byte   // N(local); N(recipient)
	recipient   gss.Name
	end         time.Time
	id          [32]byte // of the grant

	mu sync.Mutex
	g  Grant // nil: closed
}

// FromGrant makes a credential of g, which came from introducer, who calls its holder self. As a
// rule these are Info().Peer and Info().Local of the context on which it came; introducer is another if
// that has another name at the acceptor (as a user, by another mechanism), and then the caller has
// to know that both are one. A grant in another name is a BadName: nothing in it proves who
// made it, who did has its key, and could wait for the holder in the acceptor's place. FromGrant does not
// close g, and keeps no copy of its key: what erases that ends the credential.
//
// Errors: NameNotMN, BadName (see IntroducedName, too), DefectiveCredential if the grant takes more than
// 65535 octets, or the names more than 16384, and those of g.Credential.
func FromGrant(g Grant, introducer, self gss.Name) (*Credential, error) {
	if g.Originator() != introducer {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: oid.Introduced, Major: gss.BadName, Err: errIntroducer}
	}
	c := &Credential{recipient: g.Recipient(), end: g.NotAfter(), g: g}
	var err error
	if c.local, err = IntroducedName(introducer, self); err != nil {
		return nil, err
	}
	if c.peer, err = IntroducedName(introducer, c.recipient); err != nil {
		return nil, err
	}
	if c.target, err = c.recipient.Export(); err != nil {
		return nil, err
	}
	if c.who, err = c.local.Export(); err != nil {
		return nil, err
	}
	sealed, key, err := g.Credential()
	if err != nil {
		return nil, err
	}
	clear(key)
	if len(sealed) > 1<<16-1 || len(c.who)+len(c.target) > 1<<14 {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: oid.Introduced, Major: gss.DefectiveCredential}
	}
	c.id = sha256.Sum256(sealed)
	return c, nil
}

// Mech is oid.Introduced.
func (c *Credential) Mech() oid.OID { return oid.Introduced }

// Name is an IntroducedName: the holder's, by the introducer.
func (c *Credential) Name() gss.Name { return c.local }

// Target is an IntroducedName too: the acceptor's. Initiate takes it, or the name alone that the
// introducer has for the acceptor.
func (c *Credential) Target() gss.Name { return c.peer }

// Expiry is the end of the grant.
func (c *Credential) Expiry() time.Time { return c.end }

// Close ends the credential. The Grant is the caller's to close.
func (c *Credential) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.g = nil
	return nil
}

// key is that of the tickets that come of it, in a Cache.
func (c *Credential) key() [32]byte {
	b := appendString(append([]byte("gss introduced cache 1"), c.id[:]...), string(c.target))
	return sha256.Sum256(appendString(b, string(c.who)))
}

var (
	errClosed     = errors.New("reauth: credential closed")
	errIntroducer = errors.New("reauth: the grant is in somebody else's name")
)

func (c *Credential) open() (sealed, key []byte, err error) {
	c.mu.Lock()
	g := c.g
	c.mu.Unlock()
	if g == nil {
		return nil, nil, errClosed
	}
	return g.Credential()
}

// A presenting is the initiator's handshake.
type presenting struct {
	asking
	cred *Credential
}

// Initiate implements gss.Mechanism. The target is the Credential's Target, or the
// recipient of its grant. Errors: NoCred without a Credential; BadName if there is none
// for the target, and BadNameType if that is no mechanism name; Unavailable.
func (x *Redeemer) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	h := &presenting{asking: asking{o: o.Resolved()}}
	h.handshake = handshake{m: x.m, op: "Init_sec_context", next: h.start, bind: newBinding(h.o.Bindings)}
	can := gss.Info{Mech: oid.Introduced, Flags: services | gss.ProtReady}
	if h.bind.present == 1 {
		can.Flags |= gss.Bound
	}
	if err := h.o.Check(can); err != nil {
		return nil, err
	}
	major := gss.NoCred
	for _, c := range h.o.Credentials {
		c, ok := c.(*Credential)
		if !ok {
			continue
		}
		if target == c.peer || target == c.recipient {
			h.cred = c
			return h, nil
		}
		major = gss.BadName
		if target.Mech == "" && !target.IsZero() {
			major = gss.BadNameType
		}
	}
	return nil, h.fail(major, nil)
}

// start sends RESUME: with a ticket of the same grant if there is one, else with the grant.
func (h *presenting) start(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) > 0 {
		return nil, nil, h.defective()
	}
	c, now := h.cred, h.m.o.Time()
	key := c.key()
	r := &resume{kind: kindTicket, group: h.m.o.Group}
	a := &authenticator{time: now, target: c.target}
	e := h.m.o.Cache.take(key, now, func(e *entry) bool {
		return e.tf&tfBound <= h.bind.present && h.o.Check(gss.Info{Flags: h.ask(e) | gss.ProtReady | gss.Bound}) == nil
	})
	if e != nil {
		r.cred = e.ticket
	} else {
		sealed, psk, err := c.open()
		if errors.Is(err, errClosed) {
			return nil, nil, h.fail(gss.NoCred, err)
		}
		if err != nil {
			return nil, nil, h.fail(gss.CredentialsExpired, err)
		}
		e = &entry{key: key, tf: tfIntroduced | tfShare, flags: services, end: c.end, psk: psk, local: c.local, peer: c.peer}
		r.kind, r.cred, a.initiator = kindGrant, sealed, c.who
	}
	h.next = h.answered
	return h.send(e, r, a)
}

// answered reads the answer to RESUME. After REFUSED nothing is left to try; the ticket is kept,
// as whoever is on the path can say that, and there is nothing better to come with.
func (h *presenting) answered(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	if h.refused(in) {
		return nil, nil, &gss.Error{Op: h.op, Mech: h.m.oid, Major: gss.NoCred, Remote: true, Err: errRefused}
	}
	return h.read(in)
}

var (
	_ gss.Described  = (*Redeemer)(nil)
	_ gss.Credential = (*Credential)(nil)
)
