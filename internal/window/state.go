package window

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// StateLen is how many octets a Window's state has.
const StateLen = 1 + 8 + 8 + 8*words

// AppendState appends the state of w to dst:
//
//	u8 1 replay, 2 sequence | u64 first | u64 next | the bitmap
func (w *Window) AppendState(dst []byte) []byte {
	var flags byte
	if w.replay {
		flags |= 1
	}
	if w.sequence {
		flags |= 2
	}
	dst = binary.BigEndian.AppendUint64(append(dst, flags), w.first)
	dst = binary.BigEndian.AppendUint64(dst, w.next)
	for _, x := range w.seen {
		dst = binary.BigEndian.AppendUint64(dst, x)
	}
	return dst
}

// ReadState reads what AppendState wrote.
func (w *Window) ReadState(s *cryptobyte.String) bool {
	var flags uint8
	if !s.ReadUint8(&flags) || flags > 3 || !s.ReadUint64(&w.first) || !s.ReadUint64(&w.next) {
		return false
	}
	for i := range w.seen {
		if !s.ReadUint64(&w.seen[i]) {
			return false
		}
	}
	w.replay, w.sequence = flags&1 != 0, flags&2 != 0
	return true
}
