package krb5

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/window"
)

// contextParams are what a handshake agreed on.
type contextParams struct {
	info           gss.Info // newContext fills in Initiator and Overhead
	initiator      bool
	key            *ikrb5.Key // protects messages: the acceptor's subkey, else the initiator's, else the session key. It is the context's from now on
	partial        *ikrb5.Key // of gss.PRFPartial: the initiator's subkey, else the session key. May be key; else it is the context's too
	acceptorSubkey bool       // key is the acceptor's subkey, and tokens say so
	sendSeq        uint64     // first sequence numbers
	recvSeq        uint64
}

// A Context is what every context of this mechanism is.
type Context interface {
	gss.Claimer
	gss.AEADContext
	gss.IOVContext
	gss.Exporter

	// SessionKey returns the key that protects messages, which the caller erases, and
	// its encryption type (RFC 3961 §8; 17 to 20, with Options.AllowWeak also an old one's):
	// the acceptor's subkey, else the initiator's. It is what GSS_C_INQ_SSPI_SESSION_KEY of MIT krb5 and
	// SECPKG_ATTR_SESSION_KEY of Windows are, for protocols that need it on the wire,
	// such as SMB.
	//
	// It is dangerous: whoever gets it reads and forges everything on this context,
	// and such protocols use one key for two purposes. What a protocol of today needs
	// is PRF. Errors: NoContext, ContextExpired.
	SessionKey() (etype int32, key []byte, err error)

	// WrapSizeLimit returns the length of the longest message whose token of Wrap has
	// at most limit octets (GSS_Wrap_size_limit, RFC 2743 §2.2.7); 0 if there is none.
	// Errors: Unavailable, BadQOP, NoContext, ContextExpired.
	WrapSizeLimit(l gss.Level, limit int) (int, error)
}

var _ Context = (*secContext)(nil)

// A secContext protects messages, RFC 4121 §4.2. It holds no lock while it
// encrypts or decrypts: its keys are safe for concurrent use, and erasing them
// waits for those who use them.
//
// Unwrap does not allocate if dst has room for as many octets as the token has;
// Wrap, if it has room for Info().Overhead octets more than the message.
type secContext struct {
	info                 gss.Info
	key, partial         *ikrb5.Key
	sendFlags, recvFlags byte // without flagSealed
	imported             bool
	old                  bool // tokens of RFC 1964
	sendSeal, sendSign   uint32
	recvSeal, recvSign   uint32
	closed               atomic.Bool
	sumLen               int
	sendSeq              atomic.Uint64
	made                 time.Time
	fresh                atomic.Int64 // nanoseconds after made: until then it has not expired

	mu      sync.Mutex // guards what follows
	recv    window.Window
	claimed map[string]bool
}

func newContext(p contextParams) *secContext {
	if old := p.key.EType().Old(); old && p.acceptorSubkey { // its tokens know none
		p.key.Erase()
		p.key, p.acceptorSubkey = p.partial, false
	}
	c := &secContext{
		info: p.info, key: p.key, partial: p.partial, old: p.key.EType().Old(), sumLen: p.key.EType().ChecksumLen(),
		sendFlags: flagSentByAcceptor,
		sendSeal:  usageAcceptorSeal, sendSign: usageAcceptorSign,
		recvSeal: usageInitiatorSeal, recvSign: usageInitiatorSign,
		recv: window.New(p.recvSeq, p.info.Flags.Has(gss.Replay), p.info.Flags.Has(gss.Sequence)),
	}
	if p.initiator {
		c.sendFlags, c.recvFlags = c.recvFlags, c.sendFlags
		c.sendSeal, c.recvSeal = c.recvSeal, c.sendSeal
		c.sendSign, c.recvSign = c.recvSign, c.sendSign
	}
	if p.acceptorSubkey {
		c.sendFlags |= flagAcceptorSubkey
		c.recvFlags |= flagAcceptorSubkey
	}
	c.info.Initiator = p.initiator
	c.info.Expiry = c.info.Expiry.Round(0).UTC() // so that it is the same after an import
	c.info.Overhead = 2*headerLen + p.key.Overhead() + c.filler()
	if c.old {
		c.info.Overhead = oldOverhead(c.oldAlgs())
	}
	c.sendSeq.Store(p.sendSeq)
	c.made = time.Now()
	return c
}

func (c *secContext) Info() gss.Info { return c.info }

func (c *secContext) fail(op string, m gss.Major) error {
	return &gss.Error{Op: op, Mech: c.info.Mech, Major: m}
}

// keyError is for errors of a Key other than ErrIntegrity: it was erased.
func (c *secContext) keyError(op string) error { return c.fail(op, gss.NoContext) }

// usable is what every call but Info and Close begins with.
func (c *secContext) usable(op string) error {
	switch {
	case c.closed.Load():
		return c.fail(op, gss.NoContext)
	case !c.info.Expiry.IsZero() && c.expired():
		return c.fail(op, gss.ContextExpired)
	}
	return nil
}

// expired looks at the clock that can be set once a second only: the monotonic one
// takes half the time, which counts with short messages.
func (c *secContext) expired() bool {
	age := time.Since(c.made)
	if int64(age) < c.fresh.Load() {
		return false
	}
	left := time.Until(c.info.Expiry)
	if left < 0 {
		return true
	}
	c.fresh.Store(int64(age + min(left, time.Second)))
	return false
}

// received checks the flags of a token: one that this side sent itself, or that
// another key protects, is refused.
func (c *secContext) received(flags byte) bool {
	return flags&(flagSentByAcceptor|flagAcceptorSubkey) == c.recvFlags
}

// commit judges and records the sequence number of a token that is authentic.
func (c *secContext) commit(op string, seq uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() { // it may have been exported, and seq with it as not seen
		return c.fail(op, gss.NoContext)
	}
	if err := c.recv.Commit(seq); err != nil {
		return c.fail(op, gss.MajorOf(err))
	}
	return nil
}

// Wrap sends EC and RRC 0 in sealed tokens, as MIT krb5 does.
func (c *secContext) Wrap(dst, msg []byte, l gss.Level) ([]byte, error) {
	return c.wrap("Wrap", dst, msg, nil, l, 0)
}

// Unwrap takes sealed tokens also on a context without Conf: whoever can make one
// may.
func (c *secContext) Unwrap(dst, tok []byte) ([]byte, gss.Level, error) {
	return c.unwrap("Unwrap", dst, tok, nil)
}

// WrapAEAD makes a token of Wrap whose MAC is of ad, too, in front of msg: what
// gss_wrap_aead of MIT krb5 and of Windows does. Without ad it is Wrap's, but for DCE
// style contexts.
func (c *secContext) WrapAEAD(dst, msg, ad []byte, l gss.Level) ([]byte, error) {
	return c.wrap("Wrap_AEAD", dst, msg, ad, l, c.filler())
}

// UnwrapAEAD checks a token of WrapAEAD. An ad other than the sender's is a BadMIC.
func (c *secContext) UnwrapAEAD(dst, tok, ad []byte) ([]byte, gss.Level, error) {
	return c.unwrap("Unwrap_AEAD", dst, tok, ad)
}

// wrap makes a token with filler octets behind a sealed message.
func (c *secContext) wrap(op string, dst, msg, ad []byte, l gss.Level, filler int) ([]byte, error) {
	if err := c.usable(op); err != nil {
		return dst, err
	}
	if c.old {
		if len(ad) > 0 {
			return dst, c.fail(op, gss.Unavailable)
		}
		return c.oldWrap(op, dst, msg, l)
	}
	switch l {
	case gss.Confidential:
		if !c.info.Flags.Has(gss.Conf) {
			return dst, c.fail(op, gss.Unavailable)
		}
		out := slices.Grow(dst, len(msg)+c.info.Overhead)
		out = appendWrapHeader(out, c.sendFlags|flagSealed, c.sendSeq.Add(1)-1)
		binary.BigEndian.PutUint16(out[len(dst)+atEC:], uint16(filler))
		out, err := c.key.EncryptAD(out, c.sendSeal, ad, msg, fillers[:filler], out[len(dst):])
		if err != nil {
			return dst, c.keyError(op)
		}
		return out, nil
	case gss.IntegrityOnly:
		out := slices.Grow(dst, headerLen+len(msg)+c.sumLen)
		out = appendWrapHeader(out, c.sendFlags, c.sendSeq.Add(1)-1)
		out = append(out, msg...)
		header := out[len(dst):][:headerLen]
		out, err := c.key.ChecksumParts(out, c.sendSeal, ad, msg, header)
		if err != nil {
			return dst, c.keyError(op)
		}
		binary.BigEndian.PutUint16(out[len(dst)+atEC:], uint16(c.sumLen))
		return out, nil
	}
	return dst, c.fail(op, gss.BadQOP)
}

// filler returns the EC of what is sealed by WrapAEAD and WrapIOV: a block in DCE style,
// where Windows wants one.
func (c *secContext) filler() int {
	if c.info.Flags.Has(gss.DCEStyle) {
		return len(fillers)
	}
	return 0
}

var fillers = bytes.Repeat([]byte{0xff}, 16)

func (c *secContext) unwrap(op string, dst, tok, ad []byte) ([]byte, gss.Level, error) {
	if err := c.usable(op); err != nil {
		return dst, 0, err
	}
	if c.old {
		if len(ad) > 0 {
			return dst, 0, c.fail(op, gss.Unavailable)
		}
		return c.oldUnwrap(op, dst, tok)
	}
	w, ok := parseWrap(tok, c.info.Flags.Has(gss.DCEStyle))
	if !ok {
		return dst, 0, c.fail(op, gss.DefectiveToken)
	}
	if !c.received(w.flags) {
		return dst, 0, c.fail(op, gss.BadMIC)
	}
	var out []byte
	var err error
	level := gss.IntegrityOnly
	if w.flags&flagSealed != 0 {
		level = gss.Confidential
		out, err = c.openSealed(op, dst, tok[:headerLen], ad, &w)
	} else {
		out, err = c.openClear(op, dst, tok[:headerLen], ad, &w)
	}
	if err != nil {
		return dst, 0, err
	}
	if err := c.commit(op, w.seq); err != nil {
		clear(out[len(dst):])
		return dst, 0, err
	}
	return out, level, nil
}

// openSealed appends the message of a sealed token to dst. The header within the
// encryption has to be the one in clear, EC included, but for its RRC of 0.
func (c *secContext) openSealed(op string, dst, header, ad []byte, w *wrapToken) ([]byte, error) {
	if len(w.head)+len(w.tail) < c.key.Overhead()+headerLen {
		return dst, c.fail(op, gss.DefectiveToken)
	}
	out, err := c.key.DecryptAD(dst, c.recvSeal, ad, w.head, w.tail)
	switch {
	case err == ikrb5.ErrIntegrity:
		return dst, c.fail(op, gss.BadMIC)
	case err != nil:
		return dst, c.keyError(op)
	}
	end := len(out) - headerLen
	inner := out[end:]
	n := end - w.ec
	switch {
	case !sameHeader(inner, header):
		err = c.fail(op, gss.BadMIC)
	case n < len(dst):
		err = c.fail(op, gss.DefectiveToken)
	default:
		return out[:n], nil
	}
	clear(out[len(dst):])
	return dst, err
}

// sameHeader compares the header within the encryption with the one in clear.
func sameHeader(inner, header []byte) bool {
	return subtle.ConstantTimeCompare(inner[:atRRC], header[:atRRC])&subtle.ConstantTimeCompare(inner[8:headerLen], header[8:headerLen]) == 1 &&
		inner[atRRC]|inner[atRRC+1] == 0
}

// openClear appends the message of a token that is not sealed to dst. Behind it
// the checksum and the header that the checksum covers are put together.
func (c *secContext) openClear(op string, dst, header, ad []byte, w *wrapToken) ([]byte, error) {
	n := len(w.head) + len(w.tail) - c.sumLen
	if n < 0 || w.ec != c.sumLen {
		return dst, c.fail(op, gss.DefectiveToken)
	}
	out := slices.Grow(dst, headerLen+n+c.sumLen)
	out = append(append(append(out, w.head...), w.tail...), header...)
	msg, sum, header := out[len(dst):][:n], out[len(dst)+n:][:c.sumLen], out[len(out)-headerLen:]
	clear(header[atEC:8])
	err := c.key.VerifyParts(sum, c.recvSeal, ad, msg, header)
	switch {
	case err == ikrb5.ErrIntegrity:
		err = c.fail(op, gss.BadMIC)
	case err != nil:
		err = c.keyError(op)
	default:
		return out[:len(dst)+n], nil
	}
	clear(out[len(dst):])
	return dst, err
}

func (c *secContext) MIC(dst, msg []byte) ([]byte, error) {
	const op = "GetMIC"
	if err := c.usable(op); err != nil {
		return dst, err
	}
	if c.old {
		return c.oldMIC(op, dst, msg)
	}
	out := slices.Grow(dst, headerLen+c.sumLen)
	out = appendMICHeader(out, c.sendFlags, c.sendSeq.Add(1)-1)
	out, err := c.key.ChecksumParts(out, c.sendSign, msg, out[len(dst):])
	if err != nil {
		return dst, c.keyError(op)
	}
	return out, nil
}

func (c *secContext) VerifyMIC(msg, mic []byte) error {
	const op = "VerifyMIC"
	if err := c.usable(op); err != nil {
		return err
	}
	if c.old {
		return c.oldVerifyMIC(op, msg, mic)
	}
	flags, seq, sum, ok := parseMIC(mic)
	if !ok || len(sum) != c.sumLen {
		return c.fail(op, gss.DefectiveToken)
	}
	// RFC 4121 §4.2.2: never sealed.
	if !c.received(flags) || flags&flagSealed != 0 {
		return c.fail(op, gss.BadMIC)
	}
	err := c.key.VerifyParts(sum, c.recvSign, msg, mic[:headerLen])
	switch {
	case err == ikrb5.ErrIntegrity:
		return c.fail(op, gss.BadMIC)
	case err != nil:
		return c.keyError(op)
	}
	return c.commit(op, seq)
}

// PRF is RFC 7802.
func (c *secContext) PRF(key gss.PRFKey, in []byte, n int) ([]byte, error) {
	const op = "Pseudo_random"
	if err := c.usable(op); err != nil {
		return nil, err
	}
	var k *ikrb5.Key
	switch key {
	case gss.PRFFull:
		k = c.key
	case gss.PRFPartial:
		k = c.partial
	default:
		return nil, c.fail(op, gss.Unavailable)
	}
	if len(in) > gss.MaxPRF || n < 0 || n > gss.MaxPRF {
		return nil, c.fail(op, gss.Failure)
	}
	out, err := k.AppendPRFPlus(make([]byte, 0, n), in, n)
	if err != nil {
		return nil, c.keyError(op)
	}
	return out, nil
}

// Claim is false after Close: there is nothing left to number. It is false on an
// imported context.
func (c *secContext) Claim(label string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.imported || c.closed.Load() || c.claimed[label] {
		return false
	}
	if c.claimed == nil {
		c.claimed = make(map[string]bool)
	}
	c.claimed[label] = true
	return true
}

func (c *secContext) Close() error {
	c.closed.Store(true)
	c.key.Erase()
	c.partial.Erase()
	return nil
}
