package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"math"
	"slices"
)

// n is lane(32) | count(32). A lane is one originator's numbering. The recipient
// keeps the tags of the numbers that it expects in each lane in its index: the
// next w after the highest seen, and up to w that were skipped.
const (
	maxLanes = 4  // per context; the least recently used gives way
	wUnused  = 2  // w of lane 0 before anything was received in it
	wActive  = 16 // of a lane used in the last hour
	wIdle    = 4
	laneBusy = 3600 * 1000 // ms
)

type lane struct {
	id      uint32
	w       uint8
	next    uint64   // one past the highest count seen
	skipped []uint32 // counts below next that did not come yet, the latest wActive, in order
	used    int64    // Unix ms; 0: never
}

// expecting adds and removes tags of one context.
type expecting struct {
	*index
	id   uint32
	tagC cipher.Block
	b    [16]byte
}

// tag returns the first 8 octets of T = AES-256(Ktag, n | 0^8).
func (x *expecting) tag(lane uint32, count uint64) uint64 {
	binary.BigEndian.PutUint64(x.b[:], uint64(lane)<<32|count)
	clear(x.b[8:])
	x.tagC.Encrypt(x.b[:], x.b[:])
	return binary.BigEndian.Uint64(x.b[:])
}

func (x *expecting) expect(l *lane, count uint64) {
	if count <= math.MaxUint32 {
		x.add(x.tag(l.id, count), x.id)
	}
}

func (x *expecting) forget(l *lane, count uint64) {
	if count <= math.MaxUint32 {
		x.remove(x.tag(l.id, count), x.id)
	}
}

// open starts to expect a lane's next w numbers.
func (x *expecting) open(l *lane) {
	for c := range uint64(l.w) {
		x.expect(l, l.next+c)
	}
}

// drop expects nothing of l any more.
func (x *expecting) drop(l *lane) {
	for c := range uint64(l.w) {
		x.forget(l, l.next+c)
	}
	for _, c := range l.skipped {
		x.forget(l, uint64(c))
	}
}

// seen moves the window: count came in lane id, now.
func (x *expecting) seen(lanes []lane, id uint32, count uint64, now int64) []lane {
	i := slices.IndexFunc(lanes, func(l lane) bool { return l.id == id })
	if i < 0 {
		i = len(lanes)
		if i < maxLanes {
			lanes = append(lanes, lane{})
		} else {
			i = 0
			for j := range lanes {
				if lanes[j].used < lanes[i].used {
					i = j
				}
			}
			x.drop(&lanes[i])
		}
		lanes[i] = lane{id: id}
	}
	l := &lanes[i]
	l.used = now
	if count < l.next {
		if j := slices.Index(l.skipped, uint32(count)); j >= 0 {
			x.forget(l, count)
			l.skipped = slices.Delete(l.skipped, j, j+1)
		}
		return lanes
	}
	end := l.next + uint64(l.w) // of what is expected now
	if count < end {
		x.forget(l, count)
	}
	first := max(l.next, count-min(count, wActive)) // skipped before it: given up
	for c := l.next; c < min(first, end); c++ {
		x.forget(l, c)
	}
	for c := first; c < count; c++ {
		if c >= end {
			x.expect(l, c)
		}
		l.skipped = append(l.skipped, uint32(c))
	}
	x.keepSkipped(l, wActive)
	l.next, l.w = count+1, wActive
	for c := max(l.next, end); c < l.next+wActive; c++ {
		x.expect(l, c)
	}
	return lanes
}

// rest expects less of lanes that were not used in the last hour.
func (x *expecting) rest(lanes []lane, now int64) {
	for i := range lanes {
		l := &lanes[i]
		if l.w <= wIdle || now-l.used < laneBusy {
			continue
		}
		for c := uint64(wIdle); c < uint64(l.w); c++ {
			x.forget(l, l.next+c)
		}
		l.w = wIdle
		x.keepSkipped(l, wIdle)
	}
}

// keepSkipped gives up all but the n latest of the skipped counts.
func (x *expecting) keepSkipped(l *lane, n int) {
	if over := len(l.skipped) - n; over > 0 {
		for _, c := range l.skipped[:over] {
			x.forget(l, uint64(c))
		}
		l.skipped = slices.Delete(l.skipped, 0, over)
	}
}
