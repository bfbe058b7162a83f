package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/strike"
)

// UnsealOptions tune Recipient.Unseal. The zero value, as nil, takes what anyone
// may hand over. Whatever claim a message makes is checked whether required or not.
type UnsealOptions struct {
	Require Claims        // refuse messages without these claims
	MaxAge  time.Duration // refuse what was sealed longer ago; 0: only the message's own limits
	Strike  bool          // strike the message though it is not OneTime: it opens here once
	From    gss.Name      // only from this originator; zero: any

	// Relay is the established context on which the message came. Its peer must
	// be the relay that the message names, and a proof by key must be bound to it.
	// If this end initiated it, without Mutual it vouches for no name.
	Relay Secret

	// RelayNames are more names of whoever handed it over, for which the caller
	// vouches: aliases of Relay's peer, or what another protocol authenticated.
	RelayNames []gss.Name

	// Bindings, if not empty, are RFC 5056 channel bindings of the channel on which
	// the message came, with their prefix; a proof by key may be bound to them.
	Bindings []byte

	// Unbound admits a proof by key that is bound to no channel: whoever sees it
	// can be the first to hand it over.
	Unbound bool

	// Data is what the originator gave as Options.Data.
	Data []byte
}

// anyone is what nil stands for. It is only read.
var anyone UnsealOptions

// A Message is what was sealed and is known of it.
type Message struct {
	Body       []byte // somewhere in the memory behind len(dst), if it had room; nil of a stream
	Payload    []byte // what the relay added to its proof; nil without RelayByKey
	Claims     Claims
	Originator gss.Name  // the peer of the context
	Recipient  gss.Name  // this end of it
	Relay      gss.Name  // who handed it over, if the message named who should; else zero
	SealedAt   time.Time // by the originator's clock, no more than Skew after ours
	Until      time.Time // the last instant at which it opens, Skew not included
	N          uint64    // its number; distinct numbers do not mean distinct messages
	StrikeKey  [32]byte  // names the message: what it was struck under, or would have been
}

// Unseal opens a message: what Sender.Seal or Held.Present made. It allocates
// nothing but the cipher of the message if dst has room for len(in) more octets;
// they must not overlap in, and are cleared on an error. What is in the message
// leaves only after all checks.
//
// A struck message is delivered at most once: it is lost if the process ends
// between the strike and what the caller does with it. For effects exactly once,
// give the Recipient a Store that strikes in the caller's own transaction, which ctx
// may carry: packages boltstate and boltstore have such.
//
// ctx bounds the store and the search. Errors, for this host's eyes only: the
// application gives whoever handed the message over one answer for all failures,
// and none automatically.
//
//   - BadMIC: unknown, damaged, of another context, or with other Data.
//   - Unavailable with cause ErrBusy: it was not looked for everywhere.
//   - OldToken with cause ErrErased, ErrExpired, ErrNotYet: outside its time.
//   - ContextExpired: sealed after the context's end. NoContext: removed meanwhile.
//   - DefectiveToken: authentic and malformed, or octets behind it that are no proof.
//   - BadName: the names in it are not those of its context, or, with cause
//     ErrRelay, it did not come by its relay.
//   - BadBindings with cause ErrProof: no proof of the relay's key for this channel.
//   - Unauthorized with cause ErrClaim, ErrIntroduction, ErrStream, or ErrIntroduced: a
//     grant of who was introduced.
//   - DuplicateToken: struck before, message or proof.
//   - Unavailable with cause strike.ErrUnsure, strike.ErrFull, ErrQuota: cannot be
//     struck. Failure with the store's error as its cause.
func (r *Recipient) Unseal(ctx context.Context, dst, in []byte, o *UnsealOptions) (Message, error) {
	if o == nil {
		o = &anyone
	}
	u := unsealing{r: r, o: o, now: r.now().UnixMilli()}
	p, err := u.open(ctx, dst, in)
	if err != nil {
		return Message{}, err
	}
	defer clear(u.h.key[:])
	if err = u.check(); err == nil {
		if err = u.checkRelay(); err == nil {
			err = u.strike(ctx)
		}
	}
	if err != nil {
		clear(p)
		return Message{}, err
	}
	// The body stays where it lies: moving a large one would cost a tenth of opening it.
	end := headerSize + int(u.h.body)
	clear(p[:headerSize])
	clear(p[end:])
	return u.message(p[headerSize:end:end]), nil
}

// An unsealing is a message on its way through the checks.
type unsealing struct {
	r      *Recipient
	o      *UnsealOptions
	now    int64 // Unix ms
	stream bool  // it shall be the beginning of a stream

	s             *Source // its context
	m             match
	sealed, proof []byte
	h             header
	whole         bool // P is well-formed
	until         int64

	relay     gss.Name
	payload   []byte
	proofTime int64 // Unix ms; with RelayByKey
}

// message is what passed all checks.
func (u *unsealing) message(body []byte) Message {
	return Message{
		Body: body, Payload: u.payload, Claims: u.h.claims,
		Originator: u.s.keys.from, Recipient: u.s.keys.to, Relay: u.relay,
		SealedAt: time.UnixMilli(u.h.sealedAt), Until: time.UnixMilli(u.until),
		N: u.h.n, StrikeKey: u.strikeKey(),
	}
}

func (u *unsealing) fail(m gss.Major, cause error) error {
	if u.s == nil {
		return fail("Unseal", "", m, cause)
	}
	return fail("Unseal", u.s.keys.mech, m, cause)
}

// open finds the message's context, decrypts it into what is behind dst, and moves
// the window. All that is wrong with it is one error.
func (u *unsealing) open(ctx context.Context, dst, in []byte) ([]byte, error) {
	if len(in) < overhead+minPadded {
		return nil, u.fail(gss.BadMIC, nil)
	}
	var err error
	defer clear(u.m.key[:])
	switch u.s, err = u.r.find(ctx, in, u.o, u.o.carrier(u.now), u.now, &u.m); {
	case errors.Is(err, ErrErased):
		return nil, u.fail(gss.OldToken, err)
	case err != nil:
		return nil, u.fail(gss.Unavailable, err)
	case u.s == nil:
		return nil, u.fail(gss.BadMIC, nil)
	}
	u.sealed, u.proof = in[:u.m.size], in[u.m.size:]
	a, err := newGCM(u.m.key[:])
	if err != nil {
		return nil, u.fail(gss.Failure, err)
	}
	size := u.m.size - overhead
	dst = slices.Grow(dst, size)
	p, err := a.Open(dst[len(dst):], zeroNonce[:], u.sealed[offCipher:], u.o.Data)
	if err != nil {
		u.s = nil
		return nil, u.fail(gss.BadMIC, nil)
	}
	if !u.m.seen { // lest replays of old lanes drive out those in use
		u.r.accept(u.s, in[:16], u.m.n, u.now)
	}
	u.whole = u.h.parse(p, u.m.n, u.m.e)
	return p, nil
}

// check looks at all that is in the header but the relay: form, names, time,
// claims that are required.
func (u *unsealing) check() error {
	h, k := &u.h, u.s.keys
	if !u.whole {
		return u.fail(gss.DefectiveToken, errHeader)
	}
	switch {
	case h.from != k.hFrom || h.to != k.hTo:
		return u.fail(gss.BadName, errNames)
	case h.sealedAt-skewMS > k.expiry:
		return u.fail(gss.ContextExpired, nil)
	case u.s.removed.Load():
		return u.fail(gss.NoContext, errRemoved)
	case h.claims.Has(Stream) != u.stream:
		return u.fail(gss.Unauthorized, ErrStream)
	}
	u.until = min(h.notAfter, h.sealedAt+u.r.maxLife)
	if u.o.MaxAge != 0 {
		u.until = min(u.until, h.sealedAt+u.o.MaxAge.Milliseconds())
	}
	switch {
	case h.sealedAt > u.now+skewMS:
		return u.fail(gss.OldToken, ErrNotYet)
	case u.now > u.until+skewMS:
		return u.fail(gss.OldToken, ErrExpired)
	}
	return nil
}

// checkRelay checks the claims about the relay, and that none is missing.
func (u *unsealing) checkRelay() error {
	h := &u.h
	switch {
	case h.claims.Has(Introduction):
		return u.fail(gss.Unauthorized, ErrIntroduction)
	case h.claims.Has(RelayByKey) && u.s.keys.introduced():
		return u.fail(gss.Unauthorized, ErrIntroduced)
	}
	if h.claims.Has(RelayByName) {
		if err := u.checkRelayName(); err != nil {
			return err
		}
	}
	if h.claims.Has(RelayByKey) {
		if err := u.checkProof(); err != nil {
			return err
		}
	} else if len(u.proof) > 0 {
		return u.fail(gss.DefectiveToken, errHeader)
	}
	if !h.claims.Has(u.o.Require) {
		return u.fail(gss.Unauthorized, ErrClaim)
	}
	return nil
}

// checkRelayName finds the relay among the names of whoever handed the message over.
func (u *unsealing) checkRelayName() error {
	if u.o.Relay != nil {
		if n := contextPeer(u.o.Relay, u.now); !n.IsZero() && u.s.isCarrier(n, &u.h.relay) {
			u.relay = n
			return nil
		}
	}
	for _, n := range u.o.RelayNames {
		if n.IsMN() && u.s.isCarrier(n, &u.h.relay) {
			u.relay = n
			return nil
		}
	}
	return u.fail(gss.BadName, ErrRelay)
}

// isCarrier reports whether h is hN(n), and remembers that: one relay may hand over
// many messages of a context.
func (s *Source) isCarrier(n gss.Name, h *[32]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hot != nil && s.hot.carrier == n {
		return s.hot.carrierHash == *h
	}
	is, err := hashName(n)
	if err != nil {
		return false
	}
	if s.hot != nil {
		s.hot.carrier, s.hot.carrierHash = n, is
	}
	return is == *h
}

// contextPeer returns the peer of sc, zero if it is not authenticated or sc expired:
// whom an initiator named as its target, without Mutual, may be anybody.
func contextPeer(sc Secret, now int64) gss.Name {
	i := sc.Info()
	if i.Flags.Has(gss.Anon) || i.Initiator && !i.Flags.Has(gss.Mutual) || !i.Peer.IsMN() ||
		!i.Expiry.IsZero() && i.Expiry.UnixMilli() < now {
		return gss.Name{}
	}
	return i.Peer
}

// strike strikes the proof, then the message: a proof that comes again must not
// use up the message.
func (u *unsealing) strike(ctx context.Context) error {
	h := &u.h
	if h.claims.Has(RelayByKey) {
		digest := sha256.Sum256(u.sealed)
		key := strikeHash("gss seal proof strike 1", u.proof[:proofNonce], digest[:])
		if err := u.strikeOne(ctx, &u.struck().proofs, key, u.proofTime-skewMS, u.proofTime+2*skewMS); err != nil {
			return err
		}
	}
	if h.claims.Has(OneTime) || u.o.Strike {
		return u.strikeOne(ctx, &u.struck().messages, u.strikeKey(), h.sealedAt-skewMS, h.notAfter+skewMS)
	}
	return nil
}

// strikeKey names the message.
func (u *unsealing) strikeKey() [32]byte {
	return strikeHash("gss seal strike 1", u.sealed[:offCipher], nil)
}

// struck returns the quotas of the message's context.
func (u *unsealing) struck() *quotas {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if u.s.struck == nil {
		u.s.struck = new(quotas)
	}
	return u.s.struck
}

// strikeOne strikes key, which counts in q.
func (u *unsealing) strikeOne(ctx context.Context, q *quota, key [32]byte, from, until int64) error {
	if err := ctx.Err(); err != nil { // lest it counts as what may be struck
		return u.fail(gss.Failure, err)
	}
	s := u.s
	made := s.keys.established
	s.mu.Lock()
	ok := q.take(until, u.now, u.r.o.Quota)
	if u.now < made.UnixMilli() {
		s.first = false // the clock stepped back: first strikes can have been before made
	}
	first := s.first
	s.mu.Unlock()
	if !ok {
		return u.fail(gss.Unavailable, ErrQuota)
	}
	start := time.UnixMilli(from)
	if first && start.Before(made) {
		start = made
	}
	err := u.r.o.Store.Strike(ctx, key, start, time.UnixMilli(until))
	if err == nil {
		return nil
	}
	major := gss.Failure
	switch {
	case errors.Is(err, strike.ErrSeen):
		major = gss.DuplicateToken
	case errors.Is(err, strike.ErrUnsure), errors.Is(err, strike.ErrFull):
		major = gss.Unavailable
	case errors.Is(err, strike.ErrBroken), errors.Is(err, strike.ErrClosed):
		// A few of these may be struck. But were they all counted, one message that
		// is tried again and again would spend the quota for longer than the store
		// is broken.
	default:
		return u.fail(major, err) // it may be struck
	}
	s.mu.Lock()
	q.giveBack(until)
	s.mu.Unlock()
	return u.fail(major, err)
}

// strikeHash is SHA-256 of label, a and b.
func strikeHash(label string, a, b []byte) [32]byte {
	var room [128]byte
	return sha256.Sum256(append(append(append(room[:0], label...), a...), b...))
}

// from reports whether o wants messages of s.
func (o *UnsealOptions) from(s *Source) bool { return o.From.IsZero() || o.From == s.keys.from }

// provable reports whether o lets a proof follow the message.
func (o *UnsealOptions) provable() bool {
	return o.Relay != nil || len(o.Bindings) > 0 || o.Unbound
}

// carrier returns who pays for a search: zero if nobody is authenticated.
func (o *UnsealOptions) carrier(now int64) gss.Name {
	if o.Relay != nil {
		return contextPeer(o.Relay, now)
	}
	for _, n := range o.RelayNames {
		if n.IsMN() {
			return n
		}
	}
	return gss.Name{}
}
