package record

import (
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"

	"github.com/gsseal/gss"
)

// fullKey returns the FULL key, Expand(MS, "prf", 32). c.mu is held.
func (c *Context) fullKey() ([]byte, error) { return hkdf.Expand(c.hash, c.ms[:], "prf", keyLen) }

// PRF is gss.Context's: prf+(key, in) = HMAC(key, u32 0 ‖ in) ‖ HMAC(key, u32 1 ‖ in) ‖ …,
// cut to n octets; the construction of RFC 7802 §2 over HMAC.
func (c *Context) PRF(which gss.PRFKey, in []byte, n int) ([]byte, error) {
	const op = "Pseudo_random"
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(op); err != nil {
		return nil, err
	}
	var key []byte
	switch which {
	case gss.PRFFull:
		var err error
		if key, err = c.fullKey(); err != nil {
			return nil, c.fail(op, gss.Unavailable, err)
		}
		defer clear(key)
	case gss.PRFPartial:
		key = c.partial
	}
	if len(key) == 0 {
		return nil, c.fail(op, gss.Unavailable, nil)
	}
	if len(in) > gss.MaxPRF || n < 0 || n > gss.MaxPRF {
		return nil, c.fail(op, gss.Failure, errLength)
	}
	m := hmac.New(c.hash, key)
	out := make([]byte, 0, n+m.Size())
	var counter [4]byte
	for i := uint32(0); len(out) < n; i++ {
		binary.BigEndian.PutUint32(counter[:], i)
		m.Reset()
		m.Write(counter[:])
		m.Write(in)
		out = m.Sum(out)
	}
	clear(out[n:])
	return out[:n:n], nil
}
