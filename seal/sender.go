package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gsseal/gss"
)

// Options tune Sender.Seal. The zero value, as nil, makes a message that lives an
// hour, opens as often as it comes, and may be handed over by anyone.
type Options struct {
	Lifetime time.Duration // in milliseconds, up to MaxLifetime; 0: an hour
	OneTime  bool          // opens once

	// Relay, if not zero, is who must hand it over: an MN, as the recipient's own
	// context with the relay has it. Their mechanism may be another than ours.
	Relay gss.Name

	// Data is authenticated and not sent: the recipient has to give the same.
	Data []byte
}

// A Sender seals to the peer of one context. It is safe for concurrent use. It
// keeps no reference to the context, which may be closed; whoever gets hold of
// the context while it lives, though, can derive the Sender's keys, erased ones
// included.
type Sender struct {
	*link
	tagC, hdrC cipher.Block
	pid        uint32
	now        func() time.Time
	fixedSalt  *[saltSize]byte // for known answers
	eraser     *eraser

	mu     sync.Mutex
	closed bool
	lane   uint32
	count  uint64 // of this lane; above MaxUint32 it is used up
	epoch  uint32 // x's
	x      expander

	// Scratch, so that nothing is allocated per message.
	block   [16]byte
	salt    [32]byte // the first saltSize octets are used
	saltMAC hash.Hash
	saltIn  [32 + 8 + 4 + headerSize + 32]byte

	relayName gss.Name // the last Options.Relay
	relayHash [32]byte

	buffers chunkPool // of streams
}

const saltSize = 9

// NewSender makes a Sender from sc, whose ends must both have names. It uses the
// PRF of sc once. It erases keys once an hour until it is closed, or until the
// context's time is over.
//
// Errors: NameNotMN, Unauthorized (an end is anonymous), ContextExpired, and those
// of the PRF.
func NewSender(sc Secret) (*Sender, error) { return newSender(sc, time.Now) }

func newSender(sc Secret, now func() time.Time) (*Sender, error) {
	k, err := newLink("Seal", sc, true, now())
	if err != nil {
		return nil, err
	}
	s, err := openSender(k, now)
	if err != nil {
		return nil, err
	}
	if claim(sc, labelSeal) {
		s.lane = 0
	}
	return s, nil
}

// openSender makes k, which is then the Sender's, a Sender in a lane of its own.
func openSender(k *link, now func() time.Time) (*Sender, error) {
	s := &Sender{link: k, now: now, pid: uint32(os.Getpid()), lane: randomLane()}
	var err error
	if s.tagC, err = aes.NewCipher(s.tag[:]); err == nil {
		s.hdrC, err = aes.NewCipher(s.hdr[:])
	}
	if err != nil {
		s.erase()
		return nil, fail("Seal", s.mech, gss.Failure, err)
	}
	var secret [32]byte
	rand.Read(secret[:])
	s.saltMAC = newHMAC(&secret)
	clear(secret[:])
	s.eraser = newEraser(s.eraseOld)
	return s, nil
}

// randomLane returns one that nobody else has, up to chance: 1..MaxUint32.
func randomLane() uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		if l := binary.BigEndian.Uint32(b[:]); l != 0 {
			return l
		}
	}
}

// Seal appends the sealed body to dst: Size(len(body)) octets, which nobody but
// the peer can tell from random ones. It allocates nothing but the cipher of the
// message if they fit; body must not overlap the octets behind len(dst). On an
// error dst comes back as it was.
//
// Errors: NoContext after Close; ContextExpired; NameNotMN or BadName for o.Relay;
// Failure with cause ErrTooLong, ErrLifetime, ErrClock.
func (s *Sender) Seal(dst, body []byte, o *Options) ([]byte, error) {
	if o == nil {
		o = new(Options)
	}
	out, _, err := s.seal(dst, body, o, 0, relaySecret{})
	return out, err
}

// Originator and Recipient are the ends of the context, Originator being this one.
func (s *Sender) Originator() gss.Name { return s.from }
func (s *Sender) Recipient() gss.Name  { return s.to }

// Close erases the keys. It can be called twice.
func (s *Sender) Close() error {
	s.eraser.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.erase()
	s.x.mac, s.tagC, s.hdrC, s.saltMAC = nil, nil, nil, nil
	return nil
}

// eraseOld erases the keys of past hours.
func (s *Sender) eraseOld() (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	e := epochOf(s.now().UnixMilli())
	s.tree.raise(e)
	if s.epoch < s.tree.low {
		s.x.mac = nil
	}
	return e <= s.tree.high
}

// A relaySecret is where a relay key comes from, if there is one.
type relaySecret struct {
	by    relayBy
	epoch uint32    // byDerived: x's
	x     *expander // of the originator's context with the relay
}

type relayBy uint8

const (
	byNobody  relayBy = iota // no relay key
	byDerived                // by both, from the originator's context with the relay
	byCarried                // random, in the grant
)

// granted is what a grant says besides names.
type granted struct {
	epoch    uint32
	notAfter int64
	key      [32]byte
}

// errEpoch: the hour is not that of the relaySecret. Grant tries again.
var errEpoch = errors.New("seal: the hour changed")

// seal is Seal and Grant. extra claims are added to those of o.
func (s *Sender) seal(dst, body []byte, o *Options, extra Claims, rs relaySecret) (_ []byte, g granted, err error) {
	life := o.Lifetime.Milliseconds()
	if o.Lifetime == 0 {
		life = time.Hour.Milliseconds()
	}
	size := Size(len(body))
	switch {
	case life <= 0 || life > lifetimeMS:
		return dst, g, fail("Seal", s.mech, gss.Failure, ErrLifetime)
	case size == 0:
		return dst, g, fail("Seal", s.mech, gss.Failure, ErrTooLong)
	}
	h := header{claims: extra, body: uint32(len(body)), from: s.hFrom, to: s.hTo}
	if o.OneTime {
		h.claims |= OneTime
	}
	digest := sha256.Sum256(body[:min(len(body), 4096)])

	out := slices.Grow(dst, size)
	m := out[len(dst) : len(dst)+size]
	p := m[offCipher : size-gcmTag]
	copy(p[headerSize:], body)
	clear(p[headerSize+len(body):])
	var key [32]byte
	defer clear(key[:])
	if g, err = s.sealHeader(m, &h, &key, life, o.Relay, rs, &digest); err != nil {
		clear(m)
		return dst, g, err
	}
	a, err := newGCM(key[:])
	if err != nil {
		clear(m)
		return dst, g, fail("Seal", s.mech, gss.Failure, err)
	}
	a.Seal(p[:0], zeroNonce[:], p, o.Data)
	return out[:len(dst)+size], g, nil
}

// sealHeader writes T, U and C to m and the header to the plaintext in it, and
// sets key to K.
func (s *Sender) sealHeader(m []byte, h *header, key *[32]byte, life int64, relay gss.Name, rs relaySecret, digest *[32]byte) (g granted, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !relay.IsZero() {
		if relay != s.relayName {
			hash, err := hashName(relay)
			if err != nil {
				return g, fail("Seal", s.mech, gss.MajorOf(err), err)
			}
			s.relayName, s.relayHash = relay, hash
		}
		h.relay, h.claims = s.relayHash, h.claims|RelayByName
	}
	e, err := s.openEpoch(h, rs)
	if err != nil {
		return g, err
	}
	h.notAfter = h.sealedAt + life
	if s.count > math.MaxUint32 {
		s.lane, s.count = randomLane(), 0
	}
	h.n = uint64(s.lane)<<32 | s.count
	s.count++
	if rs.by != byNobody {
		h.claims |= RelayByKey
	}

	p := m[offCipher : len(m)-gcmTag]
	h.put(p)
	s.makeSalt(h, digest)
	binary.BigEndian.PutUint64(s.block[:], h.n)
	clear(s.block[8:])
	s.tagC.Encrypt(m[:16], s.block[:])
	binary.BigEndian.PutUint32(s.block[:], e<<8)
	binary.BigEndian.PutUint32(s.block[3:], uint32(len(p)))
	copy(s.block[7:], s.salt[:saltSize])
	s.hdrC.Encrypt(m[16:32], s.block[:])

	switch rs.by {
	case byDerived:
		g.key = rs.x.relayKey(m[:32], &s.hFrom, &s.hTo, h.notAfter)
	case byCarried:
		rand.Read(g.key[:])
	}
	copy(p[offRelayKey:], g.key[:])
	g.epoch, g.notAfter = e, h.notAfter

	kc := s.x.message(m[:32])
	copy(key[:], kc[:32])
	copy(m[offCommit:], kc[32:])
	clear(kc[:])
	return g, nil
}

// openEpoch sets h.sealedAt to now, or to the start of what is not erased if the
// clock stepped back, and makes s.x its epoch's.
func (s *Sender) openEpoch(h *header, rs relaySecret) (uint32, error) {
	if s.closed {
		return 0, fail("Seal", s.mech, gss.NoContext, nil)
	}
	now := s.now().UnixMilli()
	h.sealedAt = max(now, epochStart(s.tree.low), epochStart(rs.epoch))
	e := epochOf(h.sealedAt)
	switch {
	case h.sealedAt > s.end:
		return 0, fail("Seal", s.mech, gss.ContextExpired, nil)
	case h.sealedAt-now > skewMS:
		return 0, fail("Seal", s.mech, gss.Failure, ErrClock)
	}
	s.tree.raise(e)
	if rs.by == byDerived && e != rs.epoch {
		return 0, errEpoch
	}
	if s.x.mac == nil || s.epoch != e {
		leaf, ok := s.tree.leaf(e)
		if !ok {
			return 0, fail("Seal", s.mech, gss.ContextExpired, nil)
		}
		s.x.mac, s.epoch = newHMAC(&leaf), e
		clear(leaf[:])
	}
	return e, nil
}

// lowest returns the earliest epoch whose key s has.
func (s *Sender) lowest() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.low
}

// makeSalt makes salts that differ even if this process was cloned, random
// generator and all:
//
//	HMAC(random 32, random 32 | u64 ns clock | u32 pid | header without relay key
//	     (n and the body's length are in it) | SHA-256(first 4096 octets of the body))
func (s *Sender) makeSalt(h *header, digest *[32]byte) {
	if s.fixedSalt != nil {
		copy(s.salt[:], s.fixedSalt[:])
		return
	}
	b := s.saltIn[:]
	rand.Read(b[:32])
	binary.BigEndian.PutUint64(b[32:], uint64(s.now().UnixNano()))
	binary.BigEndian.PutUint32(b[40:], s.pid)
	h.put(b[44:])
	copy(b[44+headerSize:], digest[:])
	s.saltMAC.Reset()
	s.saltMAC.Write(b)
	s.saltMAC.Sum(s.salt[:0])
	clear(b)
}
