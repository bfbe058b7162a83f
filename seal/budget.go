package seal

import (
	"sync"

	"github.com/gsseal/gss"
)

// A budget bounds the scans: how many inversions of a tag all relays, one relay, and
// all who are not authenticated may cause per second. What the last cause does not
// count among the relays', so that their garbage keeps nobody else from a scan. A scan
// is admitted whole as long as its buckets are not in debt, so that one larger than a
// bucket is possible, and paid for afterwards.
type budget struct {
	rate int64 // of all relays, per second
	each int64 // of everybody

	mu     sync.Mutex
	all    bucket
	nobody bucket
	relays map[gss.Name]*bucket
}

const (
	share     = 16
	maxRelays = 4096 // with a bucket of their own; more share that of nobody
)

// A bucket holds up to a second's rate, in thousandths of an inversion.
type bucket struct {
	tokens int64
	at     int64 // Unix ms of the last filling
}

func newBudget(rate, now int64) *budget {
	each := max(rate/share, 1)
	return &budget{rate: rate, each: each, all: bucket{rate * 1000, now}, nobody: bucket{each * 1000, now}, relays: map[gss.Name]*bucket{}}
}

// fill adds what rate gave since the last time.
func (b *bucket) fill(rate, now int64) {
	if ms := now - b.at; ms > 0 && b.tokens < rate*1000 {
		ms = min(ms, (rate*1000-b.tokens)/max(rate, 1)+1) // no more than it takes, lest it overflow
		b.tokens = min(rate*1000, b.tokens+ms*rate)
	}
	b.at = now
}

// take pays for n inversions on behalf of relay, zero if it is not authenticated,
// and reports whether it could.
func (b *budget) take(relay gss.Name, n, now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.of(relay, now)
	b.all.fill(b.rate, now)
	own.fill(b.each, now)
	if own.tokens <= 0 || own != &b.nobody && b.all.tokens <= 0 {
		return false
	}
	if own.tokens -= n * 1000; own != &b.nobody {
		b.all.tokens -= n * 1000
	}
	return true
}

// pay pays for n more inversions of a scan that was admitted, or, if n is negative,
// gives back what it did not use.
func (b *budget) pay(relay gss.Name, n, now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.of(relay, now)
	if own.tokens -= n * 1000; own != &b.nobody {
		b.all.tokens -= n * 1000
	}
}

func (b *budget) of(relay gss.Name, now int64) *bucket {
	if relay.IsZero() {
		return &b.nobody
	}
	if own, ok := b.relays[relay]; ok {
		return own
	}
	if len(b.relays) >= maxRelays {
		for name, own := range b.relays {
			if own.fill(b.each, now); own.tokens >= b.each*1000 {
				delete(b.relays, name) // as good as new
			}
		}
		if len(b.relays) >= maxRelays {
			return &b.nobody
		}
	}
	own := &bucket{b.each * 1000, now}
	b.relays[relay] = own
	return own
}

// quotas count what a context's originator has struck. Proofs are counted apart: a
// relay makes as many as it likes, and shall not use up what its originator may send
// by others.
type quotas struct{ messages, proofs quota }

// A quota counts live strikes per hour of their until, rounded up.
type quota struct {
	hours []hour
	live  int
}

type hour struct {
	epoch uint32
	n     int32
}

// take counts one more strike that lives until then (Unix ms), and reports whether
// that is not more than max.
func (q *quota) take(until, now int64, max int) bool {
	kept := q.hours[:0]
	at := -1
	for _, h := range q.hours {
		if h.epoch < epochOf(now) {
			q.live -= int(h.n)
			continue
		}
		if h.epoch == epochOf(until) {
			at = len(kept)
		}
		kept = append(kept, h)
	}
	q.hours = kept
	if q.live >= max {
		return false
	}
	if at < 0 {
		at = len(q.hours)
		q.hours = append(q.hours, hour{epoch: epochOf(until)})
	}
	q.hours[at].n++
	q.live++
	return true
}

// giveBack undoes a take.
func (q *quota) giveBack(until int64) {
	for i := range q.hours {
		if h := &q.hours[i]; h.epoch == epochOf(until) && h.n > 0 {
			h.n--
			q.live--
			return
		}
	}
}
