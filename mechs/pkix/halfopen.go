package pkix

import (
	"container/list"
	"sync"
)

// halfOpen are the handshakes that were answered and not heard of again. When there
// is no room for another the oldest makes way, so that those who ask and never
// return cannot keep others out: they would have to come in masses within the one
// round trip that an honest initiator takes.
type halfOpen struct {
	max   int
	mu    sync.Mutex
	slots list.List // of *slot, the oldest first
}

// A slot is a handshake's place in halfOpen. It does not refer to the handshake,
// which whoever forgot it may leave to the garbage collector.
type slot struct {
	place   *list.Element // nil: taken back or evicted
	secrets [2][]byte     // overwritten when it is evicted
}

// busy reports whether initiators have to echo a cookie.
func (o *halfOpen) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slots.Len() >= o.max/2
}

// add returns the place of a handshake with these secrets, which nobody else may
// touch until take.
func (o *halfOpen) add(secrets ...[]byte) *slot {
	s := new(slot)
	copy(s.secrets[:], secrets)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.slots.Len() >= o.max {
		oldest := o.slots.Remove(o.slots.Front()).(*slot)
		oldest.place = nil
		for _, b := range oldest.secrets {
			clear(b)
		}
	}
	s.place = o.slots.PushBack(s)
	return s
}

// take gives a place back, and reports whether it was there still.
func (o *halfOpen) take(s *slot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.place == nil {
		return false
	}
	o.slots.Remove(s.place)
	s.place = nil
	return true
}
