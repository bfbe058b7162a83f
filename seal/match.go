package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"github.com/gsseal/gss"
)

// A match is what T, U and C say of a message under one context's keys.
type match struct {
	n    uint64
	e    uint32
	size int  // of the sealed message, without a proof behind it
	seen bool // it was accepted before, and is remembered
	key  [32]byte
}

// How a message fits a context.
type fit uint8

const (
	notOurs  fit = iota // T is of another context, or garbage
	damaged             // T is ours, the rest is not
	isErased            // it is ours, and of an hour whose key is gone
	fits
)

// match inverts T and U under s, derives K and compares C. exact refuses octets
// behind the message.
func (s *Source) match(in []byte, exact bool, now int64, m *match) fit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed.Load() {
		return notOurs
	}
	s.raise(now)
	h := s.hot
	if h == nil {
		h = new(hot)
		var err error
		if h.tagC, err = aes.NewCipher(s.keys.tag[:]); err != nil {
			return notOurs
		}
		if h.hdrC, err = aes.NewCipher(s.keys.hdr[:]); err != nil {
			return notOurs
		}
		h.index, h.id = s.r.index, s.id
	}
	var ok bool
	if m.n, ok = invert(h.tagC, h.b[:], in); !ok {
		return notOurs
	}
	h.used = true
	s.hot = h

	h.hdrC.Decrypt(h.b[:], in[16:32])
	m.e = binary.BigEndian.Uint32(h.b[:]) >> 8
	l := uint64(binary.BigEndian.Uint32(h.b[3:]))
	clear(h.b[:])
	if l < minPadded || l > maxPadded || padme(l) != l || l+overhead > uint64(len(in)) || exact && l+overhead != uint64(len(in)) {
		return damaged
	}
	m.size = int(l) + overhead
	switch {
	case m.e < s.keys.tree.low:
		return isErased
	case m.e > s.keys.tree.high:
		return damaged
	}
	x := h.expander(&s.keys.tree, m.e)
	if x == nil {
		return damaged
	}
	kc := x.message(in[:32])
	defer clear(kc[:])
	if subtle.ConstantTimeCompare(kc[32:], in[offCommit:offCipher]) != 1 {
		return damaged
	}
	copy(m.key[:], kc[:32])
	return fits
}

// invert returns n if T is a tag under c: AES^-1(T) = n | 0^8. b is scratch.
func invert(c cipher.Block, b, t []byte) (n uint64, ok bool) {
	c.Decrypt(b[:16], t[:16])
	n = binary.BigEndian.Uint64(b)
	return n, subtle.ConstantTimeCompare(b[8:16], zeroNonce[:8]) == 1
}

// expander returns that of epoch e. Those of two epochs are kept, as around the
// full hour messages of both come.
func (h *hot) expander(t *tree, e uint32) *expander {
	for i := range h.x {
		if h.x[i].mac != nil && h.epoch[i] == e {
			return &h.x[i]
		}
	}
	leaf, ok := t.leaf(e)
	if !ok {
		return nil
	}
	h.x[1], h.epoch[1] = h.x[0], h.epoch[0]
	h.x[0], h.epoch[0] = expander{mac: newHMAC(&leaf)}, e
	clear(leaf[:])
	return &h.x[0]
}

// inverts reports whether t is a tag of s, and nothing else: it makes no state.
func (s *Source) inverts(t, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed.Load() {
		return false
	}
	var c cipher.Block
	if s.hot != nil {
		c = s.hot.tagC
	} else {
		var err error
		if c, err = aes.NewCipher(s.keys.tag[:]); err != nil {
			return false
		}
	}
	_, ok := invert(c, b, t)
	return ok
}

// find returns the context of a message: one that expects its tag, one that got
// it before, or what a scan finds if relay's budget allows it. It is nil, without
// an error, if there is none or the message is damaged. Errors: ErrErased, ErrBusy,
// ctx's.
func (r *Recipient) find(ctx context.Context, in []byte, o *UnsealOptions, relay gss.Name, now int64, m *match) (*Source, error) {
	var known [8]*Source
	ours := false
	var candidates []*Source
	candidates, m.seen = r.expected(known[:0], binary.BigEndian.Uint64(in))
	for _, s := range candidates {
		if !o.from(s) {
			continue
		}
		switch s.match(in, !o.provable(), now, m) {
		case fits:
			return s, nil
		case isErased:
			return s, ErrErased
		case damaged:
			ours = true
		}
	}
	if ours {
		return nil, nil
	}
	m.seen = false
	s, err := r.scan(ctx, in[:16], o, relay, now)
	if s == nil || err != nil {
		return nil, err
	}
	switch s.match(in, !o.provable(), now, m) {
	case fits:
		return s, nil
	case isErased:
		return s, ErrErased
	}
	return nil, nil
}

// expected appends those contexts that expect a tag, or else the one that got it
// recently.
func (r *Recipient) expected(dst []*Source, tag uint64) (_ []*Source, seen bool) {
	var room [8]uint32
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := r.index.find(room[:0], tag)
	if len(ids) == 0 {
		var id uint32
		if id, seen = r.recent.get(tag); seen {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if s := r.sources[id]; s != nil {
			dst = append(dst, s)
		}
	}
	return dst, seen
}

// scan inverts T under all contexts, or those that o wants.
func (r *Recipient) scan(ctx context.Context, t []byte, o *UnsealOptions, relay gss.Name, now int64) (*Source, error) {
	var some [256]*Source
	left := int64(r.Len())
	var from uint32
	admitted := false
	if !o.From.IsZero() {
		h, err := hashName(o.From)
		if err != nil {
			return nil, nil
		}
		if n := r.slots() / skipping; n > 0 {
			if admitted = r.budget.take(relay, n, now); !admitted {
				return nil, ErrBusy
			}
		}
		from = nameHash(&h)
		left = r.named(from)
	}
	if left == 0 {
		return nil, nil
	}
	if admitted {
		r.budget.pay(relay, left, now)
	} else if !r.budget.take(relay, left, now) {
		return nil, ErrBusy
	}
	defer func() {
		if left > 0 { // less if contexts came meanwhile
			r.budget.pay(relay, -left, now)
		}
	}()
	b := make([]byte, 16)
	for first := 0; ; first += len(some) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, more := r.some(some[:], first, o, from)
		for _, s := range some[:n] {
			left--
			if s.inverts(t, b) {
				return s, nil
			}
		}
		if !more {
			return nil, nil
		}
	}
}

// some puts into dst those contexts that o wants of the len(dst) from first on; from
// is nameHash of o.From, if there is one.
func (r *Recipient) some(dst []*Source, first int, o *UnsealOptions, from uint32) (n int, more bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	last := min(first+len(dst), len(r.sources))
	for i := min(first, last); i < last; i++ {
		if !o.From.IsZero() && r.names[i] != from {
			continue
		}
		if s := r.sources[i]; s != nil && o.from(s) {
			dst[n] = s
			n++
		}
	}
	return n, last < len(r.sources)
}

// skipping is how many contexts can be skipped by nameHash in the time of an inversion.
const skipping = 256

// slots returns how many contexts a search by name looks at, free places included.
func (r *Recipient) slots() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return int64(len(r.names))
}

// named returns how many contexts have an originator with this nameHash.
func (r *Recipient) named(from uint32) (n int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i, h := range r.names {
		if h == from && r.sources[i] != nil {
			n++
		}
	}
	return n
}

// nameHash abridges hN(name), so that a search by name looks at four octets of each
// context, side by side.
func nameHash(h *[32]byte) uint32 { return binary.BigEndian.Uint32(h[:]) }

// accept moves the window of s: the message with tag t and number n is authentic.
func (r *Recipient) accept(s *Source, t []byte, n uint64, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed.Load() {
		return
	}
	r.recent.put(binary.BigEndian.Uint64(t), s.id)
	if x, err := s.expecting(); err == nil {
		s.lanes = x.seen(s.lanes, uint32(n>>32), n&0xffffffff, now)
	}
}
