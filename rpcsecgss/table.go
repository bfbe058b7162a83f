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
	handle handle
	peer   string // whose quota it takes from
	hs     gss.Handshake
	sc     gss.Context
	ends   time.Time // zero: never

	mu  sync.Mutex
	win window.Window

	used time.Time // the table's, as what follows
	at   *list.Element
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
	return e.win.Commit(uint64(seq)) == nil
}

func (e *entry) close() {
	if e.hs != nil {
		e.hs.Close()
	}
	if e.sc != nil {
		e.sc.Close()
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
}

func newTable(most, perPeer int, idle time.Duration) *table {
	return &table{most: most, perPeer: perPeer, idle: idle, m: make(map[handle]*entry), count: make(map[string]int)}
}

func (t *table) put(e *entry) {
	now := time.Now()
	var out []*entry
	t.mu.Lock()
	e.used = now
	e.at = t.order.PushFront(e)
	t.m[e.handle] = e
	t.count[e.peer]++
	for last := t.order.Back(); last != nil && t.over(last.Value.(*entry), now); last = t.order.Back() {
		out = append(out, t.remove(last.Value.(*entry)))
	}
	if t.count[e.peer] > t.perPeer {
		for x := t.order.Back(); x != nil; x = x.Prev() {
			if x.Value.(*entry).peer == e.peer {
				out = append(out, t.remove(x.Value.(*entry)))
				break
			}
		}
	}
	if len(t.m) > t.most {
		out = append(out, t.remove(t.order.Back().Value.(*entry)))
	}
	t.mu.Unlock()
	for _, e := range out {
		e.close()
	}
}

func (t *table) over(e *entry, now time.Time) bool {
	return now.Sub(e.used) > t.idle || !e.ends.IsZero() && now.After(e.ends)
}

// remove is called with the lock held.
func (t *table) remove(e *entry) *entry {
	delete(t.m, e.handle)
	t.order.Remove(e.at)
	if t.count[e.peer]--; t.count[e.peer] == 0 {
		delete(t.count, e.peer)
	}
	return e
}

// get returns the entry of a handle, nil if there is none. ended says that there
// was one until now. It is not a use: anybody may name a handle.
func (t *table) get(name []byte) (e *entry, ended bool) {
	if len(name) != len(handle{}) {
		return nil, false
	}
	t.mu.Lock()
	e = t.m[handle(name)]
	if e != nil && t.over(e, time.Now()) {
		t.remove(e)
		ended = true
	}
	t.mu.Unlock()
	if ended {
		e.close()
		return nil, true
	}
	return e, false
}

// take is get, and removes the entry, which is the caller's then.
func (t *table) take(name []byte) *entry {
	e, _ := t.get(name)
	if e == nil || !t.drop(e) {
		return nil
	}
	return e
}

// touch is a use.
func (t *table) touch(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[e.handle] == e {
		e.used = time.Now()
		t.order.MoveToFront(e.at)
	}
}

// drop removes an entry and reports whether it was there still.
func (t *table) drop(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[e.handle] != e {
		return false
	}
	t.remove(e)
	return true
}

// clear closes and removes all entries, and returns how many they were.
func (t *table) clear() int {
	t.mu.Lock()
	all := t.m
	t.m, t.count = make(map[handle]*entry), make(map[string]int)
	t.order.Init()
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
