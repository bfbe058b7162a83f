package seal

import (
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// ErrState: octets that are no State, or a damaged one, or of a later version.
var ErrState = errors.New("seal: malformed state")

// A State is all that sealing needs of one context, without the context: it
// outlives the context, and, as octets, the process. Of it come Senders, Relays
// and the Sources of Recipients, any number of each, here or on another host. It
// is safe for concurrent use.
//
// Its octets are secret: who has them can be either end of the context to the
// other, until its end. They can be restored, copied and loaded twice without
// harm to messages: each Sender of a State draws a lane of its own. But one-time
// messages open once per store: Recipients with the same State have to share one.
//
// Keys of the past are erased from a State by Erase, which nothing else does for it
// and which does not reach octets that were made before. Media may keep those, too.
type State struct {
	now func() time.Time

	mu      sync.Mutex
	closed  bool
	first   bool // no Recipient had the context before the State
	out, in *link
	lanes   []laneMark // in order of id
}

// A laneMark is the highest count that came in a lane. It is no more than a hint
// where to go on.
type laneMark struct{ id, count uint32 }

// labelRecipient is claimed by whoever first may strike messages of a context.
const labelRecipient = "gss seal 1 recipient"

// NewState makes a State of sc. It uses the PRF of sc twice and keeps no reference
// to it: but while sc lives, its PRF gives everything again. Errors: those of
// NewSender.
func NewState(sc Secret) (*State, error) { return newState(sc, time.Now) }

func newState(sc Secret, now func() time.Time) (*State, error) {
	at := now()
	out, err := newLink("Export_state", sc, true, at)
	if err != nil {
		return nil, err
	}
	in, err := newLink("Export_state", sc, false, at)
	if err != nil {
		out.erase()
		return nil, err
	}
	return &State{now: now, first: claim(sc, labelRecipient), out: out, in: in}, nil
}

// Local is this end of the context, and Peer the other.
func (s *State) Local() gss.Name { return s.out.from }
func (s *State) Peer() gss.Name  { return s.out.to }

// Mech is the mechanism of the context.
func (s *State) Mech() oid.OID { return s.out.mech }

// Established is when the State was made of the context, by the clock of that host.
func (s *State) Established() time.Time { return s.out.established }

// End is the last instant at which anything can be sealed.
func (s *State) End() time.Time { return time.UnixMilli(s.out.end) }

// Erase erases the keys of the past: for sealing, those of the hours before this
// one; for opening, those of hours in which nothing was sealed that still opens if
// messages live no longer than maxLifetime (0: seal.MaxLifetime). It reports
// whether there were any: then octets made of the State before should be replaced.
// It takes at most 48 HMACs for each direction, whatever the clock did meanwhile. A
// clock that stepped back changes nothing: what is erased stays erased, and Seal
// refuses if its hour is.
func (s *State) Erase(maxLifetime time.Duration) (changed bool) {
	if maxLifetime <= 0 || maxLifetime > MaxLifetime {
		maxLifetime = MaxLifetime
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UnixMilli()
	for _, x := range []struct {
		keys *link
		low  uint32
	}{{s.out, epochOf(now)}, {s.in, s.in.oldest(now, maxLifetime.Milliseconds())}} {
		if x.low > x.keys.tree.low && len(x.keys.tree.nodes) > 0 {
			x.keys.tree.raise(x.low)
			changed = true
		}
	}
	if len(s.in.tree.nodes) == 0 {
		s.lanes = nil
	}
	return changed
}

// Over reports whether all keys are erased: nothing can be sealed or opened any more.
func (s *State) Over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out.tree.nodes) == 0 && len(s.in.tree.nodes) == 0
}

// Close erases all keys. It can be called twice.
func (s *State) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.out.erase()
	s.in.erase()
	return nil
}

// keys returns a copy of k with what is left of it. Errors: NoContext after Close,
// ContextExpired.
func (s *State) keys(op string, k *link) (*link, error) {
	switch {
	case s.closed:
		return nil, fail(op, k.mech, gss.NoContext, nil)
	case len(k.tree.nodes) == 0:
		return nil, fail(op, k.mech, gss.ContextExpired, nil)
	}
	c := *k
	c.tree.nodes = slices.Clone(k.tree.nodes)
	return &c, nil
}

// NewSender makes a Sender to the peer. Each has its own lane, drawn at random, so
// that none of them ever uses a message key of another. Errors: NoContext after
// Close; ContextExpired.
func (s *State) NewSender() (*Sender, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.keys("Seal", s.out)
	if err != nil {
		return nil, err
	}
	now := s.now().UnixMilli()
	k.tree.raise(epochOf(now))
	if now > k.end || len(k.tree.nodes) == 0 {
		k.erase()
		return nil, fail("Seal", k.mech, gss.ContextExpired, nil)
	}
	return openSender(k, s.now)
}

// NewRelay makes a Relay that takes grants of the peer. What was erased for
// Recipients with a short MaxLifetime, its grants need, too. Errors: those of
// NewSender.
func (s *State) NewRelay() (*Relay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.keys("Accept_grant", s.in)
	if err != nil {
		return nil, err
	}
	return openRelay(k, s.now), nil
}

// AddState is Add of a context that was turned into a State. If the context was
// added nowhere before it was, and was a gss.Claimer, one-time messages are struck
// in a store that is complete since then. Errors: NoContext after s or r was
// closed; ContextExpired.
func (r *Recipient) AddState(s *State) (*Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.keys("Unseal", s.in)
	if err != nil {
		return nil, err
	}
	now := r.now().UnixMilli()
	k.tree.raise(k.oldest(now, r.maxLife))
	if len(k.tree.nodes) == 0 {
		k.erase()
		return nil, fail("Unseal", k.mech, gss.ContextExpired, nil)
	}
	var lanes []lane
	for _, m := range s.lanes {
		lanes = append(lanes, lane{id: m.id, w: wIdle, next: uint64(m.count) + 1, used: now})
	}
	if len(lanes) < maxLanes && !slices.ContainsFunc(lanes, func(l lane) bool { return l.id == 0 }) {
		lanes = append(lanes, lane{w: wUnused})
	}
	// If the clock stepped back meanwhile, what was before the keys is not known.
	return r.add(k, s.first && now >= k.established.UnixMilli(), lanes)
}

// Follow notes which numbers src, a Source of this State, expects, so that another
// one that is made of the State later finds them without a search; and that a clock
// which stepped back made src less sure of what was struck. It reports whether
// there is news.
func (s *State) Follow(src *Source) (changed bool) {
	var marks []laneMark
	src.r.mu.RLock()
	for _, l := range src.lanes {
		if l.next > 0 {
			marks = append(marks, laneMark{l.id, uint32(l.next - 1)})
		}
	}
	src.r.mu.RUnlock()
	slices.SortFunc(marks, func(a, b laneMark) int { return int(int64(a.id) - int64(b.id)) })

	src.mu.Lock()
	tag, first := src.keys.tag, src.first
	src.mu.Unlock()
	defer clear(tag[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || subtle.ConstantTimeCompare(tag[:], s.in.tag[:]) != 1 {
		return false
	}
	changed = s.first && !first || !slices.Equal(marks, s.lanes)
	s.first, s.lanes = s.first && first, marks
	return changed
}
