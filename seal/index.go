package seal

import (
	"crypto/rand"
	"encoding/binary"
)

// An index finds contexts by the first 8 octets of the tags that they expect. It
// is a flat table with linear probing, 12 octets an entry; at most three of four
// are in use. Tags are uniform to all but those who have their key; the random
// multiplier keeps those from choosing where theirs come to lie.
type index struct {
	entries []entry // a power of two
	used    int
	shift   uint8 // of a hash, to get a place
	mul     uint64
}

// An entry is a tag, in halves so that there is no padding, and whose it is. It is
// empty if its id is zero.
type entry struct{ hi, lo, id uint32 }

func newEntry(tag uint64, id uint32) entry { return entry{uint32(tag >> 32), uint32(tag), id} }

func (e entry) tag() uint64 { return uint64(e.hi)<<32 | uint64(e.lo) }

const minIndex = 64 // entries; 64 - 6 = 58

func newIndex() *index {
	var seed [8]byte
	rand.Read(seed[:])
	return &index{entries: make([]entry, minIndex), shift: 58, mul: binary.BigEndian.Uint64(seed[:]) | 1}
}

func (x *index) place(tag uint64) int { return int(tag * x.mul >> x.shift) }
func (x *index) next(i int) int       { return (i + 1) & (len(x.entries) - 1) }

// add enters tag for id; more than one id may have a tag.
func (x *index) add(tag uint64, id uint32) {
	if (x.used+1)*4 > len(x.entries)*3 {
		x.resize(len(x.entries)*2, x.shift-1)
	}
	i := x.place(tag)
	for x.entries[i].id != 0 {
		i = x.next(i)
	}
	x.entries[i] = newEntry(tag, id)
	x.used++
}

// remove takes out tag for id, if it is there.
func (x *index) remove(tag uint64, id uint32) {
	i := x.place(tag)
	for e := newEntry(tag, id); x.entries[i] != e; {
		if x.entries[i].id == 0 {
			return
		}
		i = x.next(i)
	}
	// Close the gap with what could not lie where it wanted because of it.
	for j := x.next(i); x.entries[j].id != 0; j = x.next(j) {
		home := x.place(x.entries[j].tag())
		if (j-home)&(len(x.entries)-1) >= (j-i)&(len(x.entries)-1) {
			x.entries[i] = x.entries[j]
			i = j
		}
	}
	x.entries[i] = entry{}
	x.used--
	if len(x.entries) > minIndex && x.used*8 < len(x.entries) {
		x.resize(len(x.entries)/2, x.shift+1)
	}
}

// find appends to ids those that expect tag.
func (x *index) find(ids []uint32, tag uint64) []uint32 {
	for i := x.place(tag); x.entries[i].id != 0; i = x.next(i) {
		if x.entries[i].tag() == tag {
			ids = append(ids, x.entries[i].id)
		}
	}
	return ids
}

func (x *index) resize(n int, shift uint8) {
	old := x.entries
	x.entries, x.shift, x.used = make([]entry, n), shift, 0
	for _, e := range old {
		if e.id != 0 {
			x.add(e.tag(), e.id)
		}
	}
}

// A recents remembers which context the latest messages came in, so that those
// which come again are found at once. It forgets the oldest: between max/2 and max
// of them are kept.
type recents struct {
	young, old map[uint64]uint32
	max        int
}

func newRecents(max int) *recents { return &recents{young: map[uint64]uint32{}, max: max} }

func (r *recents) get(tag uint64) (id uint32, ok bool) {
	if id, ok = r.young[tag]; !ok {
		id, ok = r.old[tag]
	}
	return id, ok
}

func (r *recents) put(tag uint64, id uint32) {
	if len(r.young) >= max(r.max/2, 1) {
		r.young, r.old = map[uint64]uint32{}, r.young
	}
	r.young[tag] = id
}
