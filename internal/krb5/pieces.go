package krb5

import "crypto/rand"

// A Piece is a part of a message that is encrypted in place. All pieces are
// authenticated, in their order; those that are SignOnly are neither encrypted nor
// changed.
type Piece struct {
	Data     []byte
	SignOnly bool
}

// withAD returns the pieces of a message with associated data; nil if there are none.
func (s *scratch) withAD(ad, msg []byte) []Piece {
	if len(ad) == 0 {
		return nil
	}
	s.pieces = [2]Piece{{ad, true}, {msg, false}}
	return s.pieces[:]
}

// SealPieces encrypts pieces in place, and writes the confounder that comes before
// them, of ConfounderLen octets, and the MAC that comes behind them, of
// ChecksumLen of the type. It copies: blocks do not end where pieces do. Error:
// ErrErased; ErrKeyLength if confounder or tag has another length.
func (k *Key) SealPieces(usage uint32, confounder []byte, pieces []Piece, tag []byte) error {
	if len(confounder) != k.p.confounder || len(tag) != k.p.macLen {
		return ErrKeyLength
	}
	d, err := k.acquire(useEncrypt, usage)
	if err != nil {
		return err
	}
	defer k.mu.RUnlock()
	s := k.p.suite.scratch()
	defer k.p.suite.release(s)
	rand.Read(confounder) // never fails
	msg := s.join(confounder, pieces)
	defer clear(msg)
	k.p.suite.seal(d, s, msg, tag, pieces)
	split(msg[copy(confounder, msg):], pieces)
	return nil
}

// OpenPieces checks what SealPieces made, and decrypts pieces in place. On an error
// (ErrIntegrity, ErrErased) they are as they were.
func (k *Key) OpenPieces(usage uint32, confounder []byte, pieces []Piece, tag []byte) error {
	if len(confounder) != k.p.confounder || len(tag) != k.p.macLen {
		return ErrIntegrity
	}
	d, err := k.acquire(useEncrypt, usage)
	if err != nil {
		return err
	}
	defer k.mu.RUnlock()
	s := k.p.suite.scratch()
	defer k.p.suite.release(s)
	msg := s.join(confounder, pieces)
	out := msg[:len(msg)-k.p.confounder]
	defer clear(out)
	if !k.p.suite.open(d, s, out, msg, tag, pieces) {
		return ErrIntegrity
	}
	split(out, pieces)
	return nil
}

// ConfounderLen is how many octets of a confounder come before what is encrypted.
const ConfounderLen = blockSize

// maxJoined is the largest buffer that is kept for the next call.
const maxJoined = 64 << 10

// join puts together what is encrypted. The result is in s, or new if it is large.
func (s *scratch) join(confounder []byte, pieces []Piece) []byte {
	n := len(confounder)
	for _, p := range pieces {
		if !p.SignOnly {
			n += len(p.Data)
		}
	}
	msg := s.joined[:0]
	if n > cap(msg) {
		msg = make([]byte, 0, n)
		if n <= maxJoined {
			s.joined = msg
		}
	}
	msg = append(msg, confounder...)
	for _, p := range pieces {
		if !p.SignOnly {
			msg = append(msg, p.Data...)
		}
	}
	return msg
}

// split is the reverse.
func split(msg []byte, pieces []Piece) {
	for _, p := range pieces {
		if !p.SignOnly {
			msg = msg[copy(p.Data, msg):]
		}
	}
}
