package krb5

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"sync"
)

// A Key is a protocol key of RFC 3961 together with the keys that were derived
// from it so far, one set per usage number. It is safe for concurrent use, and
// must not be copied.
//
// Methods that take dst append to it and return the result; the octets behind
// len(dst) must not overlap the other arguments. They do not allocate if dst has
// room, but for the first call with a usage.
type Key struct {
	p *profile

	mu      sync.RWMutex // held for reading while a key is in use, so that Erase waits
	value   []byte       // nil: erased
	derived []*derived
}

// A derived is what one usage needs. Both fields can be used by many goroutines.
type derived struct {
	usage uint32
	use   use
	block cipher.Block
	mac   macKey
}

type use uint8

const (
	useEncrypt use = iota
	useChecksum
	usePRF // has no usage number
)

// NewKey returns a key of e with a copy of value. Errors: ErrEType, also if e is Legacy;
// ErrKeyLength.
func NewKey(e EType, value []byte) (*Key, error) {
	if !e.Supported() {
		return nil, ErrEType
	}
	return NewAnyKey(e, value)
}

// NewAnyKey is NewKey, but e may be Legacy: it is for whoever was asked to allow that.
func NewAnyKey(e EType, value []byte) (*Key, error) {
	if !e.Supported() && !e.Legacy() {
		return nil, ErrEType
	}
	p := e.profile()
	if len(value) != p.keyLen {
		return nil, ErrKeyLength
	}
	return &Key{p: p, value: slices.Clone(value)}, nil
}

// RandomKey returns a new key of e. Error: ErrEType, also if e is Legacy.
func RandomKey(e EType) (*Key, error) {
	if !e.Supported() {
		return nil, ErrEType
	}
	return e.profile().random(), nil
}

// Another returns a new key of k's type: who has such a key may have one more, also if it
// is Legacy.
func (k *Key) Another() *Key { return k.p.random() }

func (p *profile) random() *Key {
	k := &Key{p: p, value: make([]byte, p.keyLen)}
	rand.Read(k.value) // never fails
	if p.etype == DES3SHA1 {
		copy(k.value, des3RandomToKey(k.value[:21]))
	}
	return k
}

// EType returns k's encryption type, also after Erase.
func (k *Key) EType() EType { return k.p.etype }

// Overhead returns by how many octets Encrypt lengthens a message; at most, with a type
// that pads.
func (k *Key) Overhead() int { return k.p.confounder + k.p.macLen + k.p.pad - 1 }

// Bytes returns a copy of the key, which the caller erases; nil after Erase.
func (k *Key) Bytes() []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.value)
}

// String names the type of the key, not the key.
func (k *Key) String() string { return k.p.name + " key" }

// GoString is String: %#v does not print the key either.
func (k *Key) GoString() string { return k.String() }

// Erase overwrites the key and what was derived from it, after calls in progress.
// After that nothing works: Encrypt and its kin return ErrErased, and Checksum,
// PRF and PRFPlus, which have no error to return, panic. It can be called twice.
// Expanded AES keys cannot be overwritten in Go; they are left to the garbage
// collector.
func (k *Key) Erase() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.value)
	for _, d := range k.derived {
		d.mac.erase()
	}
	k.value, k.derived = nil, nil
}

// acquire returns the keys of one usage and leaves k.mu locked for reading,
// unless it returns an error.
func (k *Key) acquire(u use, usage uint32) (*derived, error) {
	for {
		k.mu.RLock()
		for _, d := range k.derived {
			if d.usage == usage && d.use == u {
				return d, nil
			}
		}
		k.mu.RUnlock()
		if err := k.derive(u, usage); err != nil {
			return nil, err
		}
	}
}

func (k *Key) derive(u use, usage uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.value == nil {
		return ErrErased
	}
	for _, d := range k.derived {
		if d.usage == usage && d.use == u {
			return nil
		}
	}
	var d *derived
	var err error
	switch u {
	case useEncrypt:
		d, err = k.p.suite.deriveEncrypt(k.p, k.value, usage)
	case useChecksum:
		d, err = k.p.suite.deriveSum(k.p, k.value, usage)
	default:
		d, err = k.p.suite.derivePRF(k.p, k.value)
	}
	if err != nil {
		return err
	}
	d.usage, d.use = usage, u
	k.derived = append(k.derived, d)
	return nil
}

// Encrypt appends the encryption of plaintext (RFC 3961 §3) to dst:
// len(plaintext)+Overhead() octets. Error: ErrErased.
func (k *Key) Encrypt(dst, plaintext []byte, usage uint32) ([]byte, error) {
	return k.EncryptParts(dst, usage, plaintext)
}

// EncryptParts is Encrypt of the concatenation of parts.
func (k *Key) EncryptParts(dst []byte, usage uint32, parts ...[]byte) ([]byte, error) {
	return k.EncryptAD(dst, usage, nil, parts...)
}

// EncryptAD is EncryptParts whose MAC is of ad too, which goes between the confounder
// and the message: a SignOnly Piece of SealPieces.
func (k *Key) EncryptAD(dst []byte, usage uint32, ad []byte, parts ...[]byte) ([]byte, error) {
	n := k.p.confounder
	for _, p := range parts {
		n += len(p)
	}
	n += -n & (k.p.pad - 1)
	d, err := k.acquire(useEncrypt, usage)
	if err != nil {
		return dst, err
	}
	defer k.mu.RUnlock()
	out := slices.Grow(dst, n+k.p.macLen)[:len(dst)+n+k.p.macLen]
	msg, tag := k.p.cut(out[len(dst):])
	rand.Read(msg[:k.p.confounder]) // never fails
	at := k.p.confounder
	for _, p := range parts {
		at += copy(msg[at:], p)
	}
	clear(msg[at:])
	s := k.p.suite.scratch()
	k.p.suite.seal(d, s, msg, tag, s.withAD(ad, msg[k.p.confounder:]))
	k.p.suite.release(s)
	return out, nil
}

// Decrypt checks ciphertext and appends its plaintext to dst. It returns
// ErrIntegrity for whatever is wrong with ciphertext, and then there is nothing of
// the plaintext behind dst; or ErrErased.
func (k *Key) Decrypt(dst, ciphertext []byte, usage uint32) ([]byte, error) {
	return k.DecryptParts(dst, usage, ciphertext)
}

// DecryptParts is Decrypt of the concatenation of parts. If there is more than one
// that is not empty, they are put together behind dst, so that it allocates unless
// dst has room for all of them.
func (k *Key) DecryptParts(dst []byte, usage uint32, parts ...[]byte) ([]byte, error) {
	return k.DecryptAD(dst, usage, nil, parts...)
}

// DecryptAD is DecryptParts of what EncryptAD made with the same ad.
func (k *Key) DecryptAD(dst []byte, usage uint32, ad []byte, parts ...[]byte) ([]byte, error) {
	var ct []byte
	total, several := 0, false
	for _, p := range parts {
		several = several || total > 0 && len(p) > 0
		if total += len(p); len(p) > 0 {
			ct = p
		}
	}
	n := total - k.p.macLen // of the ciphertext without its MAC
	if n < k.p.confounder {
		return dst, ErrIntegrity
	}
	d, err := k.acquire(useEncrypt, usage)
	if err != nil {
		return dst, err
	}
	defer k.mu.RUnlock()
	out := dst
	if several {
		out = slices.Grow(dst, total)
		ct = out[len(dst) : len(dst)+total]
		at := 0
		for _, p := range parts {
			at += copy(ct[at:], p)
		}
	} else {
		out = slices.Grow(dst, n-k.p.confounder)
	}
	out = out[:len(dst)+n-k.p.confounder]
	s := k.p.suite.scratch()
	ct, tag := k.p.cut(ct)
	ok := k.p.suite.open(d, s, out[len(dst):], ct, tag, s.withAD(ad, ct[k.p.confounder:]))
	k.p.suite.release(s)
	if !ok {
		return dst, ErrIntegrity
	}
	return out[:len(dst)+len(unpadded(out[len(dst):], k.p.pad))], nil
}

// cut splits what Encrypt makes.
func (p *profile) cut(b []byte) (ct, tag []byte) {
	if p.tagFirst {
		return b[p.macLen:], b[:p.macLen]
	}
	return b[:len(b)-p.macLen], b[len(b)-p.macLen:]
}

// Checksum appends the required checksum (RFC 3961 §3) of msg to dst. It panics
// after Erase.
func (k *Key) Checksum(dst, msg []byte, usage uint32) []byte {
	out, err := k.ChecksumParts(dst, usage, msg)
	if err != nil {
		panic(err)
	}
	return out
}

// ChecksumParts appends the checksum of the concatenation of parts to dst. A part
// may lie within dst. Error: ErrErased.
func (k *Key) ChecksumParts(dst []byte, usage uint32, parts ...[]byte) ([]byte, error) {
	d, err := k.acquire(useChecksum, usage)
	if err != nil {
		return dst, err
	}
	defer k.mu.RUnlock()
	s := k.p.suite.scratch()
	s.list = append(s.list[:0], parts...)
	dst = append(dst, k.p.suite.checksum(d, s)[:k.p.macLen]...)
	k.p.suite.release(s)
	return dst, nil
}

// VerifyChecksum reports whether sum is the required checksum of msg. It is false
// after Erase.
func (k *Key) VerifyChecksum(msg, sum []byte, usage uint32) bool {
	return k.VerifyParts(sum, usage, msg) == nil
}

// VerifyParts checks that sum is the checksum of the concatenation of parts.
// Errors: ErrIntegrity, ErrErased.
func (k *Key) VerifyParts(sum []byte, usage uint32, parts ...[]byte) error {
	d, err := k.acquire(useChecksum, usage)
	if err != nil {
		return err
	}
	defer k.mu.RUnlock()
	s := k.p.suite.scratch()
	s.list = append(s.list[:0], parts...)
	ok := subtle.ConstantTimeCompare(k.p.suite.checksum(d, s)[:k.p.macLen], sum)
	k.p.suite.release(s)
	if ok != 1 {
		return ErrIntegrity
	}
	return nil
}

// PRF appends one block of pseudo-random (RFC 3961 §3) of in to dst: 16 octets
// with RFC 3962, 32 or 48 with RFC 8009. It panics after Erase.
func (k *Key) PRF(dst, in []byte) []byte {
	d, err := k.acquire(usePRF, 0)
	if err != nil {
		panic(err)
	}
	defer k.mu.RUnlock()
	s := k.p.suite.scratch()
	dst = append(dst, k.p.suite.prf(d, s, nil, in)...)
	k.p.suite.release(s)
	return dst
}

// PRFPlus appends n octets of PRF+ of in (RFC 7802 §2, whose counter starts from
// 0) to dst. It panics after Erase.
func (k *Key) PRFPlus(dst, in []byte, n int) []byte {
	out, err := k.AppendPRFPlus(dst, in, n)
	if err != nil {
		panic(err)
	}
	return out
}

// AppendPRFPlus is PRFPlus with an error after Erase, ErrErased.
func (k *Key) AppendPRFPlus(dst, in []byte, n int) ([]byte, error) {
	d, err := k.acquire(usePRF, 0)
	if err != nil {
		return dst, err
	}
	defer k.mu.RUnlock()
	dst = slices.Grow(dst, n)
	s := k.p.suite.scratch()
	for i := uint32(0); n > 0; i++ {
		binary.BigEndian.PutUint32(s.counter[:], i)
		t := k.p.suite.prf(d, s, s.counter[:], in)
		t = t[:min(n, len(t))]
		dst = append(dst, t...)
		n -= len(t)
	}
	k.p.suite.release(s)
	return dst, nil
}
