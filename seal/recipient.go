package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/strike"
)

// RecipientOptions tune NewRecipient. The zero value, as nil, is useful.
type RecipientOptions struct {
	// Store strikes one-time messages and proofs. Nil: one in memory, which does
	// not outlive the Recipient.
	Store strike.Store

	// MaxLifetime is how long after it was sealed a message may open at most; up
	// to seal.MaxLifetime, which is 0's meaning. It bounds which keys are kept.
	MaxLifetime time.Duration

	// Quota is the most live strikes of one originator's context, and of proofs by
	// the relays of its messages; 0: 65536.
	Quota int

	// ScanRate is how many contexts per second may be searched for messages that
	// are not expected, which takes up to a microsecond each; 0: 1,000,000. Each
	// relay may use a sixteenth of it. Besides, as much is for all who are not
	// authenticated together.
	ScanRate int

	// Recent is how many of the latest messages are remembered, so that they are
	// found at once when they come again; 0: 65536.
	Recent int
}

// A Recipient unseals what the peers of its contexts sealed. It is safe for
// concurrent use, and contexts may come and go meanwhile.
type Recipient struct {
	o       RecipientOptions
	maxLife int64 // ms
	now     func() time.Time
	budget  *budget
	eraser  *eraser
	buffers chunkPool // of streams

	mu      sync.RWMutex
	closed  bool
	sources []*Source // by id; 0 and the free ones are nil
	names   []uint32  // by id, nameHash of the originator
	free    []uint32
	live    int
	index   *index
	recent  *recents
}

// A Source is one context whose peer may seal to a Recipient.
type Source struct {
	r       *Recipient
	id      uint32
	removed atomic.Bool
	lanes   []lane // guarded by r.mu

	mu     sync.Mutex // after r.mu
	keys   *link
	hot    *hot
	struck *quotas // nil: nothing
	first  bool    // nothing can have been struck before the keys were made; see Add
}

// hot is what a Source keeps only while messages come: about 2 KiB.
type hot struct {
	expecting
	hdrC  cipher.Block
	used  bool        // since the last hour began
	epoch [2]uint32   // x's
	x     [2]expander // the most recently made first

	carrier     gss.Name // the last relay, and its hash
	carrierHash [32]byte
}

// NewRecipient returns a Recipient without contexts. Once an hour it erases keys,
// until it is closed.
func NewRecipient(o *RecipientOptions) *Recipient { return newRecipient(o, time.Now) }

func newRecipient(o *RecipientOptions, now func() time.Time) *Recipient {
	r := &Recipient{now: now, sources: make([]*Source, 1), names: make([]uint32, 1), index: newIndex()}
	if o != nil {
		r.o = *o
	}
	if r.o.Store == nil {
		r.o.Store = strike.NewMemory(strike.MemoryOptions{})
	}
	if r.o.MaxLifetime <= 0 || r.o.MaxLifetime > MaxLifetime {
		r.o.MaxLifetime = MaxLifetime
	}
	r.maxLife = r.o.MaxLifetime.Milliseconds()
	if r.o.Quota <= 0 {
		r.o.Quota = 1 << 16
	}
	if r.o.ScanRate <= 0 {
		r.o.ScanRate = 1e6
	}
	if r.o.Recent <= 0 {
		r.o.Recent = 1 << 16
	}
	r.recent = newRecents(r.o.Recent)
	r.budget = newBudget(min(int64(r.o.ScanRate), 1e12), now().UnixMilli())
	r.eraser = newEraser(r.eraseOld)
	return r
}

// Add lets the peer of sc seal to r, from now on: what was sealed in an earlier hour,
// but for clocks that differ, does not open. Both ends of sc must have names. It uses the
// PRF of sc once and keeps no reference to it.
//
// One-time messages are struck in the store only if it is complete since they may
// first have been. If sc is a gss.Claimer that completed its handshake here and is
// added for the first time, that is since now. Otherwise sc may have been used
// before, by another process with another store, and what was sealed up to Skew
// after the store was made is refused (Unavailable, cause strike.ErrUnsure).
//
// Errors: NameNotMN, Unauthorized (an end is anonymous), ContextExpired, NoContext
// after Close, and those of the PRF.
func (r *Recipient) Add(sc Secret) (*Source, error) {
	k, err := newLink("Unseal", sc, false, r.now())
	if err != nil {
		return nil, err
	}
	return r.add(k, claim(sc, labelRecipient), []lane{{w: wUnused}})
}

// add makes k, which is then r's, a Source that expects what is next in lanes. first
// is Source.first.
func (r *Recipient) add(k *link, first bool, lanes []lane) (*Source, error) {
	tagC, err := aes.NewCipher(k.tag[:])
	if err != nil {
		k.erase()
		return nil, fail("Unseal", k.mech, gss.Failure, err)
	}
	s := &Source{r: r, keys: k, first: first, lanes: lanes}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		s.keys.erase()
		return nil, fail("Unseal", k.mech, gss.NoContext, nil)
	}
	if n := len(r.free); n > 0 {
		s.id, r.free = r.free[n-1], r.free[:n-1]
	} else {
		s.id = uint32(len(r.sources))
		r.sources, r.names = append(r.sources, nil), append(r.names, 0)
	}
	r.sources[s.id], r.names[s.id] = s, nameHash(&k.hFrom)
	r.live++
	x := expecting{index: r.index, id: s.id, tagC: tagC}
	for i := range s.lanes {
		x.open(&s.lanes[i])
	}
	return s, nil
}

// Originator is the peer of the context, and Recipient this end of it.
func (s *Source) Originator() gss.Name { return s.keys.from }
func (s *Source) Recipient() gss.Name  { return s.keys.to }

// Remove erases the keys: nothing from this context opens any more, and what is
// being unsealed now may be refused with NoContext. It can be called twice.
func (s *Source) Remove() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.remove()
}

// remove is Remove, with r.mu held.
func (s *Source) remove() {
	if s.removed.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, err := s.expecting(); err == nil {
		for i := range s.lanes {
			x.drop(&s.lanes[i])
		}
	}
	s.keys.erase()
	s.hot, s.lanes = nil, nil
	s.r.sources[s.id] = nil
	s.r.free = append(s.r.free, s.id)
	s.r.live--
}

// Len returns how many contexts r has.
func (r *Recipient) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.live
}

// Close removes all contexts. It can be called twice.
func (r *Recipient) Close() error {
	r.eraser.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, s := range r.sources {
		if s != nil {
			s.remove()
		}
	}
	return nil
}

// eraseOld erases the keys of hours whose messages no longer open, removes
// contexts that have none left, and rests what was idle. It takes the lock for a
// few contexts at a time.
func (r *Recipient) eraseOld() (more bool) {
	const some = 256
	for first := 0; ; first += some {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return false
		}
		if first >= len(r.sources) {
			r.mu.Unlock()
			return true
		}
		now := r.now().UnixMilli()
		for _, s := range r.sources[first:min(first+some, len(r.sources))] {
			if s != nil && s.age(now) {
				s.remove()
			}
		}
		r.mu.Unlock()
	}
}

// age erases what is too old, and reports whether nothing is left. r.mu is held.
func (s *Source) age(now int64) (over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raise(now)
	if s.hot != nil && !s.hot.used {
		s.hot = nil
	} else if s.hot != nil {
		s.hot.used = false
	}
	for i := range s.lanes {
		if l := &s.lanes[i]; l.w > wIdle && now-l.used >= laneBusy {
			if x, err := s.expecting(); err == nil {
				x.rest(s.lanes, now)
			}
			break
		}
	}
	return s.keys.tree.low > s.keys.tree.high
}

// raise erases the keys of epochs whose messages no longer open. s.mu is held.
func (s *Source) raise(now int64) {
	low := s.keys.oldest(now, s.r.maxLife)
	if low <= s.keys.tree.low {
		return
	}
	s.keys.tree.raise(low)
	if h := s.hot; h != nil {
		for i := range h.x {
			if h.epoch[i] < low {
				h.x[i].mac = nil
			}
		}
	}
}

// expecting returns what moves s's windows. r.mu is held, and s.mu.
func (s *Source) expecting() (*expecting, error) {
	if s.hot != nil {
		return &s.hot.expecting, nil
	}
	tagC, err := aes.NewCipher(s.keys.tag[:])
	return &expecting{index: s.r.index, id: s.id, tagC: tagC}, err
}
