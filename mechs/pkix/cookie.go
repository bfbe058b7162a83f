package pkix

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"
	"time"

	"github.com/gsseal/gss/oid"
)

// The cookie of a retry is all that an acceptor remembers of the first M1, and the
// initiator keeps it:
//
//	u64 time ‖ H(M1) ‖ HMAC(Kcookie, "gss pkix 1 cookie" ‖ oid ‖ u64 time ‖ H(M1) ‖ u16 suite ‖ peer's address)
//
// with the suite's hash, and time in Unix milliseconds. It is good for cookieLife;
// its key changes every hour.
const (
	cookieLife = 30 * time.Second
	cookieTurn = time.Hour
)

// cookies holds the keys of this hour and the last.
type cookies struct {
	mu   sync.Mutex
	keys [2]struct {
		turn int64
		key  [32]byte
	}
}

// key returns the key for a time that is at most cookieLife before now.
func (c *cookies) key(at, now time.Time) (key [32]byte, ok bool) {
	current := now.UnixMilli() / cookieTurn.Milliseconds()
	turn := at.UnixMilli() / cookieTurn.Milliseconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[0].turn != current || c.keys[0].key == key {
		c.keys[1] = c.keys[0]
		c.keys[0].turn = current
		rand.Read(c.keys[0].key[:])
	}
	for _, k := range c.keys {
		if k.turn == turn && k.key != key {
			return k.key, true
		}
	}
	return key, false
}

func cookieMAC(s *suite, key [32]byte, stamp, sum []byte, address string) []byte {
	return s.mac(key[:], []byte("gss pkix 1 cookie"), oid.PKIX.AppendDER(nil), stamp, sum,
		binary.BigEndian.AppendUint16(nil, uint16(s.id)), []byte(address))
}

// newCookie returns the cookie for an M1 with hash sum.
func (m *Mechanism) newCookie(s *suite, sum []byte, address string) []byte {
	now := m.now()
	key, _ := m.cookies.key(now, now)
	stamp := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	c := append(stamp, sum...)
	return append(c, cookieMAC(s, key, stamp, sum, address)...)
}

// checkCookie returns H(M1) of a cookie that newCookie made.
func (m *Mechanism) checkCookie(s *suite, cookie []byte, address string) (sum []byte, ok bool) {
	h := s.hash.Size()
	if len(cookie) != 8+2*h {
		return nil, false
	}
	stamp, sum, mac := cookie[:8], cookie[8:8+h], cookie[8+h:]
	now := m.now()
	ms := binary.BigEndian.Uint64(stamp)
	present := uint64(now.UnixMilli())
	if ms > present || present-ms > uint64(cookieLife.Milliseconds()) {
		return nil, false
	}
	key, ok := m.cookies.key(time.UnixMilli(int64(ms)), now)
	if !ok || subtle.ConstantTimeCompare(cookieMAC(s, key, stamp, sum, address), mac) != 1 {
		return nil, false
	}
	return sum, true
}
