package rpcsecgss

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
)

// DefaultMaxMessage is how many octets a message may have unless options say
// otherwise.
const DefaultMaxMessage = 1 << 20

// maxDatagram is what fits into a UDP datagram over IPv4.
const maxDatagram = 65507

// maxFragments bounds what empty or tiny fragments cost.
const maxFragments = 1 << 12

var errRecord = errors.New("rpcsecgss: a record that is too long or in too many fragments")

// readRecord reads a record, RFC 5531 §11: fragments, each with
//
//	u32 (last << 31 | length)
//
// It allocates in step with what arrives, never by what a length claims. The error
// is io.EOF only between records.
func readRecord(r io.Reader, most int) ([]byte, error) {
	var msg []byte
	var mark [4]byte
	for i := range maxFragments {
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			if err == io.EOF && i > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		v := binary.BigEndian.Uint32(mark[:])
		last, n := v>>31 != 0, int(v&(1<<31-1))
		if n > most-len(msg) {
			return nil, errRecord
		}
		for n > 0 {
			// Double, from 4 KiB on.
			chunk := min(n, max(len(msg), 4096))
			at := len(msg)
			msg = slices.Grow(msg, chunk)[:at+chunk]
			if _, err := io.ReadFull(r, msg[at:]); err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return nil, err
			}
			n -= chunk
		}
		if last {
			return msg, nil
		}
	}
	return nil, errRecord
}

// frame returns msg as a record of one fragment.
func frame(msg []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(msg)), 1<<31|uint32(len(msg)))
	return append(b, msg...)
}

// isDatagram reports whether a's network keeps the boundaries of messages.
func isDatagram(a net.Addr) bool {
	n := a.Network()
	return strings.HasPrefix(n, "udp") || n == "unixgram"
}

// host is the part of an address that does not change with the connection.
func host(a net.Addr) string {
	if h, _, err := net.SplitHostPort(a.String()); err == nil {
		return h
	}
	return a.Network()
}
