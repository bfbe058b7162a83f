package krb5

import (
	"encoding/binary"
	"time"
)

// A fileReader takes big-endian fields off a keytab or a credential cache. The first field
// that is not there in full makes it fail for good; what it returns then is empty.
type fileReader struct {
	b   []byte
	bad bool
}

func (r *fileReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *fileReader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *fileReader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *fileReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// time reads a time as ccacheTime does.
func (r *fileReader) time() time.Time { return ccacheTime(r.u32()) }

// data16 and data32 read counted octets, which alias the file.
func (r *fileReader) data16() []byte { return r.take(int(r.u16())) }

func (r *fileReader) data32() []byte {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

// maxFileComponents bounds a principal's components before they are read.
const maxFileComponents = 16

// components reads n counted octets, by next, as the components of a principal.
func (r *fileReader) components(n uint32, next func() []byte) []string {
	if n > maxFileComponents {
		r.bad = true
		return nil
	}
	var out []string
	for range n {
		out = append(out, string(next()))
	}
	return out
}

// done reports that everything was read and nothing is left.
func (r *fileReader) done() bool { return !r.bad && len(r.b) == 0 }
