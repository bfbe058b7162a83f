package rpcsecgss

import (
	"encoding/binary"
	"errors"
)

// ErrXDR is the error of octets that are not the XDR that was expected.
var ErrXDR = errors.New("rpcsecgss: malformed XDR")

// An Encoder appends XDR (RFC 4506) to what it holds. The zero value is empty.
type Encoder struct{ b []byte }

// Bytes returns what was written. It is the Encoder's until that is dropped.
func (e *Encoder) Bytes() []byte { return e.b }

// Uint32 writes an unsigned integer, an enumeration or a length, §4.2.
func (e *Encoder) Uint32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }

// Int32 writes an integer, §4.1.
func (e *Encoder) Int32(v int32) { e.Uint32(uint32(v)) }

// Uint64 writes an unsigned hyper integer, §4.5.
func (e *Encoder) Uint64(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }

// Bool writes a boolean, §4.4.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Uint32(1)
	} else {
		e.Uint32(0)
	}
}

// Fixed writes opaque data whose length both sides know, §4.9.
func (e *Encoder) Fixed(v []byte) {
	e.b = append(e.b, v...)
	e.b = append(e.b, make([]byte, pad(len(v)))...)
}

// Opaque writes opaque data with its length, §4.10. It must be shorter than 4 GiB.
func (e *Encoder) Opaque(v []byte) {
	e.Uint32(uint32(len(v)))
	e.Fixed(v)
}

// String writes a string, §4.11.
func (e *Encoder) String(v string) { e.Opaque([]byte(v)) }

// pad is how many octets are missing to a multiple of four.
func pad(n int) int { return -n & 3 }

// A Decoder reads XDR (RFC 4506). It is sticky: after the first error all reads
// return zero values, so that only the end has to be checked. It never allocates,
// but for strings: what it returns aliases its input. A length is checked against
// what is there before it is believed.
type Decoder struct {
	s   []byte
	bad bool
}

// NewDecoder returns a Decoder of b.
func NewDecoder(b []byte) *Decoder { return &Decoder{s: b} }

// Err is ErrXDR if a read has failed.
func (d *Decoder) Err() error {
	if d.bad {
		return ErrXDR
	}
	return nil
}

// Done is ErrXDR if a read has failed or octets are left.
func (d *Decoder) Done() error {
	if d.bad || len(d.s) > 0 {
		return ErrXDR
	}
	return nil
}

// Rest returns all octets that were not read yet, and reads them.
func (d *Decoder) Rest() []byte {
	if d.bad {
		return nil
	}
	return d.take(len(d.s))
}

func (d *Decoder) take(n int) []byte {
	if d.bad || n > len(d.s) {
		d.s, d.bad = nil, true
		return nil
	}
	v := d.s[:n:n]
	d.s = d.s[n:]
	return v
}

// Uint32 reads what Encoder.Uint32 writes, and so on for the others.
func (d *Decoder) Uint32() uint32 {
	if v := d.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// Int32 reads an integer.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Uint64 reads an unsigned hyper integer.
func (d *Decoder) Uint64() uint64 {
	if v := d.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Bool reads a boolean: 0 or 1, and nothing else.
func (d *Decoder) Bool() bool {
	v := d.Uint32()
	if v > 1 {
		d.take(len(d.s) + 1)
	}
	return v == 1
}

// Fixed reads n octets, and that the padding behind them is zero.
func (d *Decoder) Fixed(n int) []byte {
	if n < 0 || n > len(d.s) {
		return d.take(len(d.s) + 1)
	}
	v := d.take(n)
	for _, o := range d.take(pad(n)) {
		if o != 0 {
			return d.take(len(d.s) + 1)
		}
	}
	if d.bad {
		return nil
	}
	return v
}

// Opaque reads opaque data of at most most octets.
func (d *Decoder) Opaque(most int) []byte {
	n := d.Uint32()
	if uint64(n) > uint64(max(most, 0)) || uint64(n) > uint64(len(d.s)) {
		return d.take(len(d.s) + 1)
	}
	return d.Fixed(int(n))
}

// String reads a string of at most most octets. It need not be UTF-8.
func (d *Decoder) String(most int) string { return string(d.Opaque(most)) }

// Len reads the number of elements of an array, each of which takes at least size
// octets (4 or more), and checks that so many can be there, so that the caller may
// allocate for them.
func (d *Decoder) Len(size int) int {
	n := d.Uint32()
	if uint64(n)*uint64(max(size, 4)) > uint64(len(d.s)) {
		d.take(len(d.s) + 1)
		return 0
	}
	return int(n)
}
