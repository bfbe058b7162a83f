package seal

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
)

// A grant is what the originator gives the relay:
//
//	u8 1 | u8 mode (0 relay key derived, 1 carried) | u24 e | u64 not-after, Unix ms
//	| vec8 relay key if carried | vec16 N(originator) | vec16 N(recipient) | vec32 sealed
//
// The names are those of the originator's context with the recipient.
const (
	grantVersion = 1
	modeDerived  = 0
	modeCarried  = 1
)

// Grant appends a grant to dst: a message sealed as Seal does, which nobody can hand
// over without its relay key, and what its relay needs to have that key. The grant
// names the recipient: send it to the relay under a context, encrypted.
//
// via is a Sender on this originator's context with the relay, who derives the key
// with Relay.Accept: it does not travel. If via is nil the grant carries the key,
// and whoever sees the grant is the relay. o.Relay may name the relay besides.
//
// Who was introduced grants nothing: the context may not be one that an introduction led
// to. That of via may, unless it is for an introduction.
//
// body must not overlap the octets behind len(dst). On an error dst comes back as it
// was. Errors: those of Seal; BadName if a name is too long for a grant; Unauthorized with
// cause ErrIntroduced.
func (s *Sender) Grant(dst, body []byte, via *Sender, o *Options) ([]byte, error) {
	return s.grant(dst, body, via, o, 0)
}

func (s *Sender) grant(dst, body []byte, via *Sender, o *Options, extra Claims) ([]byte, error) {
	if s.introduced() {
		return dst, fail("Seal", s.mech, gss.Unauthorized, ErrIntroduced)
	}
	if o == nil {
		o = new(Options)
	}
	rs := relaySecret{by: byCarried}
	for try := 0; ; try++ {
		if via != nil {
			e, x, err := via.relayEpoch(s.lowest())
			if err != nil {
				return dst, err
			}
			rs = relaySecret{byDerived, e, x}
		}
		sealed, g, err := s.seal(nil, body, o, extra, rs)
		if errors.Is(err, errEpoch) {
			if try < 2 {
				continue
			}
			err = fail("Seal", s.mech, gss.Failure, ErrClock)
		}
		if err != nil {
			return dst, err
		}
		defer clear(g.key[:])
		from, errFrom := s.from.Export()
		to, errTo := s.to.Export()
		if errFrom != nil || errTo != nil || len(from) > 1<<16-1 || len(to) > 1<<16-1 {
			return dst, fail("Seal", s.mech, gss.BadName, nil)
		}
		b := cryptobyte.NewBuilder(dst)
		b.AddUint8(grantVersion)
		if via != nil {
			b.AddUint8(modeDerived)
		} else {
			b.AddUint8(modeCarried)
		}
		b.AddUint24(g.epoch)
		b.AddUint64(uint64(g.notAfter))
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
			if via == nil {
				b.AddBytes(g.key[:])
			}
		})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(from) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(to) })
		b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sealed) })
		out, err := b.Bytes()
		if err != nil {
			return dst, fail("Seal", s.mech, gss.Failure, err)
		}
		return out, nil
	}
}

// relayEpoch returns the epoch of now, or notBefore if that is later, and what
// derives relay keys of that epoch.
func (s *Sender) relayEpoch(notBefore uint32) (uint32, *expander, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var h header
	e, err := s.openEpoch(&h, relaySecret{epoch: notBefore})
	if err != nil {
		return 0, nil, err
	}
	leaf, ok := s.tree.leaf(e)
	if !ok {
		return 0, nil, fail("Seal", s.mech, gss.ContextExpired, nil)
	}
	defer clear(leaf[:])
	return e, &expander{mac: newHMAC(&leaf)}, nil
}

// A grant, parsed.
type grant struct {
	mode     uint8
	epoch    uint32
	notAfter int64
	key      [32]byte
	from, to gss.Name
	sealed   []byte // aliases what was parsed
}

// parse reads a grant and nothing else. It cannot say whether it is genuine: the
// context on which it came does.
func (g *grant) parse(b []byte) bool {
	s := cryptobyte.String(b)
	var version uint8
	var notAfter uint64
	var key, from, to, sealed cryptobyte.String
	if !s.ReadUint8(&version) || version != grantVersion ||
		!s.ReadUint8(&g.mode) || g.mode > modeCarried ||
		!s.ReadUint24(&g.epoch) || !s.ReadUint64(&notAfter) ||
		!s.ReadUint8LengthPrefixed(&key) || !s.ReadUint16LengthPrefixed(&from) ||
		!s.ReadUint16LengthPrefixed(&to) || !readUint32LengthPrefixed(&s, &sealed) || !s.Empty() {
		return false
	}
	if g.mode == modeCarried && !key.CopyBytes(g.key[:]) || !key.Empty() {
		return false
	}
	// It was sealed in its epoch and lives until then.
	start := uint64(epochStart(g.epoch))
	if notAfter <= start || notAfter-start > uint64(lifetimeMS+epochMS) {
		return false
	}
	l := uint64(len(sealed)) - overhead
	if len(sealed) < overhead+minPadded || l > maxPadded || padme(l) != l {
		return false
	}
	var errFrom, errTo error
	g.from, errFrom = gss.ParseName(from)
	g.to, errTo = gss.ParseName(to)
	g.notAfter, g.sealed = int64(notAfter), sealed
	return errFrom == nil && errTo == nil
}

// readUint32LengthPrefixed reads vec32.
func readUint32LengthPrefixed(s, out *cryptobyte.String) bool {
	var n uint32
	return s.ReadUint32(&n) && uint64(n) <= uint64(len(*s)) && s.ReadBytes((*[]byte)(out), int(n))
}

// A Relay takes the grants of the peer of one context. It is safe for concurrent use.
type Relay struct {
	now    func() time.Time
	eraser *eraser

	mu     sync.Mutex
	closed bool
	keys   *link
}

// NewRelay makes a Relay from sc, this relay's context with the originator. It uses
// the PRF of sc once, and keeps no reference to it. Once an hour it erases keys,
// until it is closed. Errors: those of NewSender.
func NewRelay(sc Secret) (*Relay, error) { return newRelay(sc, time.Now) }

func newRelay(sc Secret, now func() time.Time) (*Relay, error) {
	k, err := newLink("Accept_grant", sc, false, now())
	if err != nil {
		return nil, err
	}
	return openRelay(k, now), nil
}

// openRelay makes k, which is then the Relay's, a Relay.
func openRelay(k *link, now func() time.Time) *Relay {
	clear(k.tag[:])
	clear(k.hdr[:])
	r := &Relay{now: now, keys: k}
	r.eraser = newEraser(r.eraseOld)
	return r
}

// eraseOld erases the keys of hours whose messages are dead.
func (r *Relay) eraseOld() (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.raise()
	return r.keys.tree.low <= r.keys.tree.high
}

func (r *Relay) raise() {
	r.keys.tree.raise(epochOf(r.now().UnixMilli() - lifetimeMS - skewMS))
}

// Close erases the keys. What was accepted stays. It can be called twice.
func (r *Relay) Close() error {
	r.eraser.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.keys.erase()
	return nil
}

// Accept takes a grant that came on the Relay's context. A grant that was tampered
// with is not always noticed here: the key is wrong then, and the recipient refuses.
// It copies what it keeps.
//
// Errors: DefectiveToken; OldToken with cause ErrExpired, ErrErased; NoContext after
// Close.
func (r *Relay) Accept(granted []byte) (*Held, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refuse := func(m gss.Major, cause error) (*Held, error) {
		return nil, fail("Accept_grant", r.keys.mech, m, cause)
	}
	var g grant
	defer clear(g.key[:])
	now := r.now()
	switch {
	case r.closed:
		return refuse(gss.NoContext, nil)
	case !g.parse(granted):
		return refuse(gss.DefectiveToken, errGrant)
	case now.UnixMilli() > g.notAfter+skewMS:
		return refuse(gss.OldToken, ErrExpired)
	}
	if g.mode == modeDerived {
		r.raise()
		hFrom, errFrom := hashName(g.from)
		hTo, errTo := hashName(g.to)
		if errFrom != nil || errTo != nil {
			return refuse(gss.DefectiveToken, errGrant)
		}
		leaf, ok := r.keys.tree.leaf(g.epoch)
		if !ok {
			return refuse(gss.OldToken, ErrErased)
		}
		x := expander{mac: newHMAC(&leaf)}
		clear(leaf[:])
		g.key = x.relayKey(g.sealed, &hFrom, &hTo, g.notAfter)
	}
	h := &Held{now: r.now, from: g.from, to: g.to, notAfter: g.notAfter, key: g.key, sealed: append([]byte(nil), g.sealed...)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(time.UnixMilli(g.notAfter+skewMS+1).Sub(now), func() { h.Close() }) // after its last millisecond
	return h, nil
}

// Held is a message in the hands of its relay, who cannot read it. It is safe for
// concurrent use. It erases its key when the message is dead, or when it is closed.
type Held struct {
	now      func() time.Time
	from, to gss.Name
	notAfter int64
	sealed   []byte
	timer    *time.Timer

	mu     sync.Mutex
	key    [32]byte
	erased bool
}

// Originator and Recipient are the names that the grant gives, and nothing in it proves:
// who made it is the peer of the Relay's context. The recipient's names are those of its own
// context with the originator.
func (h *Held) Originator() gss.Name { return h.from }
func (h *Held) Recipient() gss.Name  { return h.to }

// NotAfter is when the message dies.
func (h *Held) NotAfter() time.Time { return time.UnixMilli(h.notAfter) }

// A Channel is where a relay hands a message over. Exactly one of its fields is set.
type Channel struct {
	Context  Secret // the relay's established context with the recipient
	Bindings []byte // else RFC 5056 channel bindings, with their prefix, of a channel to it
	Unbound  bool   // else nothing: whoever sees the presentation first can use it
}

// Present appends to dst the message and a new proof that this relay hands it over
// on ch, to which payload is bound, secret to the recipient: what Recipient.Unseal
// takes. The recipient admits a proof once, and for Skew; a message that may be
// opened more than once is presented anew each time.
//
// payload must not overlap the octets behind len(dst). On an error dst comes back
// as it was. Errors: OldToken with cause ErrExpired after the message's time or
// Close; Failure; those of the PRF of ch.Context.
func (h *Held) Present(dst, payload []byte, ch Channel) ([]byte, error) {
	var b binding
	switch {
	case ch.Context != nil && len(ch.Bindings) == 0 && !ch.Unbound:
		var err error
		if b, err = contextBinding("Present", ch.Context); err != nil {
			return dst, err
		}
	case ch.Context == nil && len(ch.Bindings) > 0 && !ch.Unbound:
		b = channelBinding(ch.Bindings)
	case ch.Context == nil && len(ch.Bindings) == 0 && ch.Unbound:
		b = binding{boundNone}
	default:
		return dst, fail("Present", "", gss.Failure, errBinding)
	}
	now := h.now()
	h.mu.Lock()
	key, erased := h.key, h.erased
	h.mu.Unlock()
	defer clear(key[:])
	if erased || now.UnixMilli() > h.notAfter+skewMS {
		return dst, fail("Present", "", gss.OldToken, ErrExpired)
	}
	out, err := appendProof(append(dst, h.sealed...), &key, h.sealed, payload, &b, now)
	if err != nil {
		return dst, fail("Present", "", gss.Failure, err)
	}
	return out, nil
}

// Close erases the relay key. It can be called twice.
func (h *Held) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.erased = true
	clear(h.key[:])
	h.timer.Stop()
	return nil
}

// appendUint64 appends a time in Unix ms.
func appendUint64(dst []byte, ms int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(ms)) }
