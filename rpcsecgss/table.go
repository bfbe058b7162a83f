package rpcsecgss

import (
	"container/list"
	"crypto/rand"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// A handle names a context. It is random, so that it says nothing and cannot be
// guessed, and it opens nothing: each call has a MIC of the context that it names.
type handle [16]byte

func newHandle() (h handle) {
	rand.Read(h[:])
	return h
}

// An entry is a context of the server's, or, while hs is there, what becomes one.
type entry struct {
	handle  handle
	version uint32
	peer    string // whose quota it takes from
	hs      gss.Handshake
	sc      gss.Context
	child   *child // nil: a context of its own
	era     int    // of the table's when its handshake began

	mu      sync.Mutex
	win     window.Window
	high    uint32 // the highest number in win
	refused int    // BIND_CHANNELs that were answered though nobody authenticated them
	channel uint64 // the connection that it is bound to; 0: none

	used  time.Time // the table's, as what follows
	ends  time.Time // zero: never
	at    *list.Element
	below map[*entry]bool // its children, which end with it
}

// fresh is whether number seq is new, as far as the window can say.
func (e *entry) fresh(seq uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.win.Check(uint64(seq)) == nil
}

// commit records seq, and reports whether it was new.
func (e *entry) commit(seq uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.high = max(e.high, seq)
	return e.win.Commit(uint64(seq)) == nil
}

// bind binds e to a connection.
func (e *entry) bind(channel uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.channel = channel
}

// boundTo is whether e is bound to the connection.
func (e *entry) boundTo(channel uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return channel != 0 && e.channel == channel
}

func (e *entry) close() {
	if e.hs != nil {
		e.hs.Close()
	}
	if e.sc != nil && e.child == nil {
		e.sc.Close()
	}
}

func closeAll(es []*entry) {
	for _, e := range es {
		e.close()
	}
}

// A table holds at most most entries, and perPeer of one peer: a new one pushes out
// the one of its peer's, or of all, that was not used for longest. What was not used
// for idle is gone too.
type table struct {
	most, perPeer int
	idle          time.Duration

	mu    sync.Mutex
	m     map[handle]*entry
	order list.List // the one used last in front
	count map[string]int
	era   int // how often it was cleared
}

func newTable(most, perPeer int, idle time.Duration) *table {
	return &table{most: most, perPeer: perPeer, idle: idle, m: make(map[handle]*entry), count: make(map[string]int)}
}

// now is the era for an entry whose handshake begins.
func (t *table) now() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.era
}

// put adds e. It is false, and nothing happened, for the child of what is gone, and for a
// context that began before the table was cleared: what it was judged by may be gone, too.
func (t *table) put(e *entry) bool {
	now := time.Now()
	var out []*entry
	t.mu.Lock()
	if e.child != nil && !e.child.alive(t) || e.child == nil && e.sc != nil && e.era != t.era {
		t.mu.Unlock()
		return false
	}
	e.used = now
	e.at = t.order.PushFront(e)
	t.m[e.handle] = e
	t.count[e.peer]++
	if e.child != nil {
		e.child.adopt(e)
		t.recent(e)
	}
	for last := t.order.Back(); last != nil && t.over(last.Value.(*entry), now); last = t.order.Back() {
		out = t.remove(out, last.Value.(*entry))
	}
	if t.count[e.peer] > t.perPeer {
		for x := t.order.Back(); x != nil; x = x.Prev() {
			if x.Value.(*entry).peer == e.peer {
				out = t.remove(out, x.Value.(*entry))
				break
			}
		}
	}
	if len(t.m) > t.most {
		out = t.remove(out, t.order.Back().Value.(*entry))
	}
	t.mu.Unlock()
	closeAll(out)
	return true
}

func (t *table) over(e *entry, now time.Time) bool {
	return now.Sub(e.used) > t.idle || !e.ends.IsZero() && now.After(e.ends)
}

// remove is called with the lock held. It appends to out what is removed: e and its
// children.
func (t *table) remove(out []*entry, e *entry) []*entry {
	delete(t.m, e.handle)
	t.order.Remove(e.at)
	if t.count[e.peer]--; t.count[e.peer] == 0 {
		delete(t.count, e.peer)
	}
	if e.child != nil {
		e.child.disown(e)
	}
	out = append(out, e)
	for c := range e.below {
		out = t.remove(out, c)
	}
	return out
}

// get returns the entry of a handle, nil if there is none. ended says that there
// was one until now. It is not a use: anybody may name a handle.
func (t *table) get(name []byte) (e *entry, ended bool) {
	if len(name) != len(handle{}) {
		return nil, false
	}
	var out []*entry
	t.mu.Lock()
	e = t.m[handle(name)]
	if e != nil && t.over(e, time.Now()) {
		out = t.remove(out, e)
	}
	t.mu.Unlock()
	if out != nil {
		closeAll(out)
		return nil, true
	}
	return e, false
}

// take is get, and removes the entry, which is the caller's then.
func (t *table) take(name []byte) *entry {
	e, _ := t.get(name)
	if e == nil || t.drop(e) == nil {
		return nil
	}
	return e
}

// touch is a use.
func (t *table) touch(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[e.handle] == e {
		t.recent(e)
	}
}

// recent is called with the lock held. A child is used with what it is a child of.
func (t *table) recent(e *entry) {
	e.used = time.Now()
	t.order.MoveToFront(e.at)
	if e.child != nil {
		for _, o := range e.child.of() {
			o.used = e.used
			t.order.MoveToFront(o.at)
		}
	}
}

// drop removes an entry, if it is there still, and returns it and its children, which
// the caller closes.
func (t *table) drop(e *entry) []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[e.handle] != e {
		return nil
	}
	return t.remove(nil, e)
}

// halve leaves an entry half of the time that it has, and less than a second is none.
func (t *table) halve(e *entry) {
	var out []*entry
	t.mu.Lock()
	if now := time.Now(); t.m[e.handle] == e {
		left := e.ends.Sub(now) / 2
		if e.ends = now.Add(left); left < time.Second {
			out = t.remove(out, e)
		}
	}
	t.mu.Unlock()
	closeAll(out)
}

// clear closes and removes all entries, and returns how many they were.
func (t *table) clear() int {
	t.mu.Lock()
	all := t.m
	t.m, t.count = make(map[handle]*entry), make(map[string]int)
	t.order.Init()
	t.era++
	t.mu.Unlock()
	for _, e := range all {
		e.close()
	}
	return len(all)
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}
