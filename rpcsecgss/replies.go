package rpcsecgss

import (
	"container/list"
	"sync"
	"time"
)

// replyAge is how long an answer is kept for a call that is repeated; a client has
// long given up then, and may come to the same xid by chance.
const replyAge = 2 * time.Minute

// replyCost is what an answer costs beside its octets.
const replyCost = 256

// A replyKey is what one call and its repetitions have in common, and no two
// others: sequence number and context are new each time.
type replyKey struct {
	who                   string // principal and host
	as                    string // what else is known of it
	xid, prog, vers, proc uint32
	args                  [32]byte // SHA-256
}

// A remembered answer, or a call in progress until done is closed.
type remembered struct {
	key    replyKey
	done   chan struct{}
	answer answer
	when   time.Time
	at     *list.Element // nil: in progress
	mine   *list.Element // in its principal's list
}

func (x *remembered) cost() int { return replyCost + len(x.key.as) + len(x.answer.results) }

// What a principal has of the answers.
type share struct {
	order list.List // the oldest in front
	size  int
}

// replies remembers the last answers: at most so many of at most so many octets
// together. A principal who has more than an equal share pushes out his own. Calls in
// progress are beyond that, and bounded by their callers.
type replies struct {
	most, octets int

	mu    sync.Mutex
	m     map[replyKey]*remembered
	of    map[string]*share // by replyKey.who
	order list.List         // the oldest in front
	size  int
}

func newReplies(most, octets int) *replies {
	return &replies{most: most, octets: octets, m: make(map[replyKey]*remembered), of: make(map[string]*share)}
}

// begin returns what is remembered of a call. If first is true that is nothing: the
// caller executes it and calls end.
func (r *replies) begin(k replyKey) (x *remembered, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := r.order.Front(); f != nil && time.Since(f.Value.(*remembered).when) > replyAge; f = r.order.Front() {
		r.forget(f.Value.(*remembered))
	}
	if x = r.m[k]; x != nil {
		return x, false
	}
	x = &remembered{key: k, done: make(chan struct{})}
	r.m[k] = x
	return x, true
}

func (r *replies) end(x *remembered, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.answer, x.when = a, time.Now()
	close(x.done)
	if x.cost() > r.octets { // it would push out all others, and itself
		delete(r.m, x.key)
		return
	}
	own := r.of[x.key.who]
	if own == nil {
		own = new(share)
		r.of[x.key.who] = own
	}
	x.at, x.mine = r.order.PushBack(x), own.order.PushBack(x)
	r.size += x.cost()
	own.size += x.cost()
	for r.order.Len() > r.most || r.size > r.octets {
		out := r.order.Front()
		if n := len(r.of); own.order.Len() > r.most/n || own.size > r.octets/n {
			out = own.order.Front()
		}
		r.forget(out.Value.(*remembered))
	}
}

// forget is called with the lock held.
func (r *replies) forget(x *remembered) {
	own := r.of[x.key.who]
	delete(r.m, x.key)
	r.order.Remove(x.at)
	own.order.Remove(x.mine)
	r.size -= x.cost()
	if own.size -= x.cost(); own.order.Len() == 0 {
		delete(r.of, x.key.who)
	}
}
