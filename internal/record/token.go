package record

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"github.com/gsseal/gss"
)

// Types of tokens.
const (
	typeConfidential  = 1
	typeIntegrityOnly = 2
	typeMIC           = 4
)

func headerLen(na int) int { return 1 + na + 8 }

// scratch holds what would otherwise escape to the heap at each call. It holds
// nothing secret: nonces, headers, associated data, messages that go in clear.
type scratch struct {
	nonce [nonceLen]byte
	buf   []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// number writes the nonce of seq.
func (s *scratch) number(iv *[nonceLen]byte, seq uint64) {
	s.nonce = *iv
	tail := s.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^seq)
}

// begin writes aad into buf.
func (s *scratch) begin(h *half, header, ad []byte) {
	s.buf = append(s.buf[:0], h.dir)
	s.buf = append(s.buf, header...)
	s.buf = binary.BigEndian.AppendUint64(s.buf, uint64(len(ad)))
	s.buf = append(s.buf, ad...)
}

func (s *scratch) end() {
	clear(s.nonce[:]) // together with seq it would give iv away
	scratches.Put(s)
}

// number takes the next sequence number to send.
func (c *Context) number(op string) (uint64, error) {
	for {
		n := c.seq.Load()
		if n >= maxSeq {
			return 0, c.fail(op, gss.ContextExpired, errNumbers)
		}
		if c.seq.CompareAndSwap(n, n+1) {
			return n, nil
		}
	}
}

func appendHeader(dst []byte, h *half, typ byte, seq uint64) []byte {
	dst = append(dst, typ)
	dst = append(dst, h.na...)
	return binary.BigEndian.AppendUint64(dst, seq)
}

// Wrap is gss.Context's. A level that the context's flags lack is Unavailable.
func (c *Context) Wrap(dst, msg []byte, l gss.Level) ([]byte, error) {
	return c.wrap("Wrap", dst, msg, nil, l)
}

// WrapAEAD is gss.AEADContext's. With an empty ad it is Wrap.
func (c *Context) WrapAEAD(dst, msg, ad []byte, l gss.Level) ([]byte, error) {
	return c.wrap("Wrap_aead", dst, msg, ad, l)
}

func (c *Context) wrap(op string, dst, msg, ad []byte, l gss.Level) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(op); err != nil {
		return dst, err
	}
	var typ byte
	var need gss.Flags
	switch l {
	case gss.Confidential:
		typ, need = typeConfidential, gss.Conf
	case gss.IntegrityOnly:
		typ, need = typeIntegrityOnly, gss.Integ
	default:
		return dst, c.fail(op, gss.BadQOP, nil)
	}
	if !c.info.Flags.Has(need) {
		return dst, c.fail(op, gss.Unavailable, nil)
	}
	if uint64(len(msg))+uint64(len(ad)) > maxMessage {
		return dst, c.fail(op, gss.Failure, errLength)
	}
	k, err := c.sealerOf(c.out)
	if err != nil {
		return dst, c.fail(op, gss.Unavailable, err)
	}
	seq, err := c.number(op)
	if err != nil {
		return dst, err
	}

	s := scratches.Get().(*scratch)
	defer s.end()
	tok := appendHeader(slices.Grow(dst, c.info.Overhead+len(msg)), c.out, typ, seq)
	s.begin(c.out, tok[len(dst):], ad)
	s.number(&k.iv, seq)
	if typ == typeConfidential {
		return k.aead.Seal(tok, s.nonce[:], msg, s.buf), nil
	}
	s.buf = append(s.buf, msg...)
	return k.aead.Seal(append(tok, msg...), s.nonce[:], nil, s.buf), nil
}

// MIC is gss.Context's. On a context without Integ it is Unavailable.
func (c *Context) MIC(dst, msg []byte) ([]byte, error) {
	const op = "GetMIC"
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(op); err != nil {
		return dst, err
	}
	if !c.info.Flags.Has(gss.Integ) {
		return dst, c.fail(op, gss.Unavailable, nil)
	}
	m, ms, err := c.macOf(c.out)
	if err != nil {
		return dst, c.fail(op, gss.Unavailable, err)
	}
	defer ms.put(m)
	seq, err := c.number(op)
	if err != nil {
		return dst, err
	}
	s := scratches.Get().(*scratch)
	defer s.end()
	tok := appendHeader(slices.Grow(dst, headerLen(len(c.out.na))+m.Size()), c.out, typeMIC, seq)
	s.begin(c.out, tok[len(dst):], nil)
	return appendMAC(tok, m, s.buf, msg), nil
}

// appendMAC appends HMAC(MIC key, aad ‖ msg); dst may be aad[:0].
func appendMAC(dst []byte, m hash.Hash, aad, msg []byte) []byte {
	m.Write(aad)
	m.Write(msg)
	return m.Sum(dst)
}

// Unwrap is gss.Context's.
func (c *Context) Unwrap(dst, tok []byte) ([]byte, gss.Level, error) {
	return c.unwrap("Unwrap", dst, tok, nil)
}

// UnwrapAEAD is gss.AEADContext's. An ad other than the sender's is a BadMIC.
func (c *Context) UnwrapAEAD(dst, tok, ad []byte) ([]byte, gss.Level, error) {
	return c.unwrap("Unwrap_aead", dst, tok, ad)
}

func (c *Context) unwrap(op string, dst, tok, ad []byte) ([]byte, gss.Level, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(op); err != nil {
		return dst, 0, err
	}
	t, ok := c.parse(tok)
	if !ok || t.typ != typeConfidential && t.typ != typeIntegrityOnly || len(t.body) < tagLen ||
		uint64(len(tok))+uint64(len(ad)) > maxMessage {
		return dst, 0, c.fail(op, gss.DefectiveToken, nil)
	}
	h, err := c.incoming(op, t.na)
	if err != nil {
		return dst, 0, err
	}
	k, err := c.sealerOf(h)
	if err != nil {
		return dst, 0, c.fail(op, gss.Unavailable, err)
	}

	s := scratches.Get().(*scratch)
	defer s.end()
	s.begin(h, t.header, ad)
	s.number(&k.iv, t.seq)
	out, level := dst, gss.Confidential
	if t.typ == typeConfidential {
		out, err = k.aead.Open(dst, s.nonce[:], t.body, s.buf)
	} else {
		level = gss.IntegrityOnly
		msg, tag := t.body[:len(t.body)-tagLen], t.body[len(t.body)-tagLen:]
		s.buf = append(s.buf, msg...)
		if _, err = k.aead.Open(nil, s.nonce[:], tag, s.buf); err == nil {
			out = append(dst, msg...)
		}
	}
	if err != nil {
		// The ciphers of the standard library and x/crypto have overwritten what
		// they decrypted already.
		return dst, 0, c.fail(op, gss.BadMIC, nil)
	}
	if err := c.commit(op, h, t.seq); err != nil {
		clear(out[len(dst):])
		return dst, 0, err
	}
	return out, level, nil
}

// VerifyMIC is gss.Context's.
func (c *Context) VerifyMIC(msg, mic []byte) error {
	const op = "VerifyMIC"
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(op); err != nil {
		return err
	}
	t, ok := c.parse(mic)
	if !ok || t.typ != typeMIC {
		return c.fail(op, gss.DefectiveToken, nil)
	}
	h, err := c.incoming(op, t.na)
	if err != nil {
		return err
	}
	m, ms, err := c.macOf(h)
	if err != nil {
		return c.fail(op, gss.Unavailable, err)
	}
	defer ms.put(m)
	if len(t.body) != m.Size() {
		return c.fail(op, gss.DefectiveToken, nil)
	}
	s := scratches.Get().(*scratch)
	defer s.end()
	s.begin(h, t.header, nil)
	s.buf = appendMAC(s.buf[:0], m, s.buf, msg)
	equal := subtle.ConstantTimeCompare(s.buf, t.body) == 1
	clear(s.buf) // it may be the MIC of a forgery
	if !equal {
		return c.fail(op, gss.BadMIC, nil)
	}
	return c.commit(op, h, t.seq)
}

// A token is the parts of an incoming one; they alias it.
type token struct {
	typ              byte
	header, na, body []byte
	seq              uint64
}

func (c *Context) parse(tok []byte) (t token, ok bool) {
	n := headerLen(c.naIn)
	if len(tok) < n {
		return t, false
	}
	t = token{typ: tok[0], header: tok[:n], na: tok[1 : 1+c.naIn], body: tok[n:]}
	t.seq = binary.BigEndian.Uint64(tok[n-8 : n])
	return t, t.seq < maxSeq
}

// incoming returns the direction that na belongs to.
func (c *Context) incoming(op string, na []byte) (*half, error) {
	c.recv.Lock()
	h := c.in
	c.recv.Unlock()
	if h == nil {
		h = new(half)
		h.init(false, string(na))
		return h, nil
	}
	if h.na != string(na) {
		return nil, c.fail(op, gss.BadMIC, nil)
	}
	return h, nil
}

// commit records that seq arrived in an authentic token of h, and says whether it
// may be used. The first token of a one-way acceptor fixes its nonce.
func (c *Context) commit(op string, h *half, seq uint64) error {
	c.recv.Lock()
	defer c.recv.Unlock()
	if c.in == nil {
		c.in = h
	}
	if c.in.na != h.na {
		return c.fail(op, gss.BadMIC, nil)
	}
	if err := c.window.Commit(seq); err != nil {
		return c.fail(op, gss.MajorOf(err), nil)
	}
	return nil
}
