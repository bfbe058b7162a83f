package seal

import (
	"context"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// An introduction is a grant that is a credential: with it the relay establishes a
// context of its own with the recipient, who learns who introduced it. A mechanism
// does that, with the key that both derive from the relay key:
//
//	Expand(Krelay, "gss reauth 1 grant", 32)
const labelGrant = "gss reauth 1 grant"

// introduced reports whether k is a context that an introduction led to: its mechanism
// is oid.Introduced, and so are its names, whatever is stacked upon it.
func (k *link) introduced() bool {
	return k.mech == oid.Introduced || k.from.Mech == oid.Introduced || k.to.Mech == oid.Introduced
}

// Introduce is Grant of an introduction: one-time, by relay key and by name, so that
// o.Relay has to be given: what the recipient is to call the relay, as a rule the peer of
// the context of via. o.Data cannot be: nobody could give it again. body
// reaches the recipient's application with the introduced context.
//
// Who was introduced does not introduce, nor is introduced further: neither context
// may be one that an introduction led to, and o.Relay is no name of such a one.
//
// Errors: those of Grant; BadName without o.Relay, or with one that is introduced;
// Failure with o.Data; Unauthorized with cause ErrIntroduced.
func (s *Sender) Introduce(dst, body []byte, via *Sender, o *Options) ([]byte, error) {
	switch {
	case o == nil || o.Relay.IsZero():
		return dst, fail("Seal", s.mech, gss.BadName, ErrRelay)
	case o.Relay.Mech == oid.Introduced:
		return dst, fail("Seal", s.mech, gss.BadName, ErrIntroduced)
	case len(o.Data) > 0:
		return dst, fail("Seal", s.mech, gss.Failure, errData)
	case via != nil && via.introduced():
		return dst, fail("Seal", s.mech, gss.Unauthorized, ErrIntroduced)
	}
	return s.grant(dst, body, via, o, OneTime|Introduction)
}

// Credential returns the sealed message and the key with which a mechanism presents
// it, as its relay; both are the caller's. Error: OldToken with cause ErrExpired
// after the message's time or Close.
func (h *Held) Credential() (sealed, key []byte, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.erased || h.now().UnixMilli() > h.notAfter+skewMS {
		return nil, nil, fail("Present", "", gss.OldToken, ErrExpired)
	}
	k := expand32(&h.key, []byte(labelGrant))
	return append([]byte(nil), h.sealed...), k[:], nil
}

// Redeem opens an introduction for a mechanism, which proves the rest: it calls admit
// with the key of Held.Credential, the hash of the relay's exported name, the
// originator and recipient as their context has them, and the latest end of a context
// made of it. admit checks that the peer has the key and that name, and what the
// application's policy is; key is erased when it returns. If admit returns nil the
// message is struck, and its body returned: nothing else may come of a second one.
//
// Its checks are those of Unseal, and so are its errors, admit's besides, which are
// returned as they are. Any other message is Unauthorized with cause ErrIntroduction, and
// one whose originator was introduced itself is so with cause ErrIntroduced.
func (r *Recipient) Redeem(ctx context.Context, sealed []byte, admit func(key []byte, relay [32]byte, originator, recipient gss.Name, end time.Time) error) (body []byte, err error) {
	u := unsealing{r: r, o: &anyone, now: r.now().UnixMilli()}
	p, err := u.open(ctx, nil, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(p)
	defer clear(u.h.key[:])
	if err := u.check(); err != nil {
		return nil, err
	}
	if !u.h.claims.Has(Introduction) {
		return nil, u.fail(gss.Unauthorized, ErrIntroduction)
	}
	if u.s.keys.introduced() {
		return nil, u.fail(gss.Unauthorized, ErrIntroduced)
	}
	key := expand32(&u.h.key, []byte(labelGrant))
	defer clear(key[:])
	k := u.s.keys
	if err := admit(key[:], u.h.relay, k.from, k.to, time.UnixMilli(min(u.until, k.expiry))); err != nil {
		return nil, err
	}
	if err := u.strikeOne(ctx, &u.struck().messages, u.strikeKey(), u.h.sealedAt-skewMS, u.h.notAfter+skewMS); err != nil {
		return nil, err
	}
	return append([]byte{}, p[headerSize:headerSize+int(u.h.body)]...), nil
}
