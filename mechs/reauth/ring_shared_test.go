package reauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

// A shelf is a Keeper in memory.
type shelf struct {
	mu    sync.Mutex
	b     []byte
	err   error  // of what is asked next
	race  func() // called once between the first call of change and the second
	asked int
}

func (s *shelf) Update(ctx context.Context, change func(old []byte) []byte) error {
	if _, ok := ctx.Deadline(); !ok {
		panic("no deadline")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked++; s.err != nil {
		return s.err
	}
	if race := s.race; race != nil {
		s.race = nil
		clear(change(bytes.Clone(s.b)))
		s.mu.Unlock()
		race()
		s.mu.Lock()
	}
	if b := change(bytes.Clone(s.b)); b != nil {
		s.b = b
	}
	return nil
}

func (s *shelf) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked
	s.asked = 0
	return n
}

func (s *shelf) set(b []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b, s.err = b, err
}

func mustShare(t testing.TB, k Keeper) *Ring {
	t.Helper()
	r, err := ShareRing(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// later lets a ring forget when it asked, as if that were long ago.
func (r *Ring) later() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.failed, r.vainAt = time.Time{}, time.Time{}, time.Time{}
}

func (r *Ring) newestID(now time.Time) string {
	var id [idLen]byte
	if r.issuingKey(id[:], make([]byte, saltLen), now, defaultLife) == nil {
		return ""
	}
	return fmt.Sprintf("%x", id)
}

// Whoever shares a ring knows the keys that others made, and forgets what they forget.
func TestSharedRing(t *testing.T) {
	k := new(shelf)
	a, b := mustShare(t, k), mustShare(t, k)
	now := time.Now()
	if a.Domain() != b.Domain() || a.Domain() == [16]byte{} {
		t.Error("domains differ")
	}
	id := a.newestID(now)
	if id == "" || b.newestID(now) != id {
		t.Error("two keys")
	}
	if err := a.Rotate(now); err != nil {
		t.Fatal(err)
	}
	server := func(r *Ring) *Mech { return New(&toy.Krb{Party: toy.NewParty("files")}, Options{Ring: r}) }
	w := krbWorld(t, Options{}, Options{})
	w.server = server(a)
	w.must(w.shake(nil), false)
	w.server = server(b)
	w.must(w.shake(nil), true) // under a key that b meets for the first time
	if next := a.newestID(now); next == id || b.newestID(now) != next {
		t.Error("two keys after a rotation")
	}
	// Somebody else is faster between a's reading and writing.
	now = now.Add(rotation)
	k.race = func() { id = b.newestID(now) }
	if got := a.newestID(now); got != id {
		t.Errorf("%s and %s", got, id)
	}
	domain := a.Domain()
	w.must(w.shake(nil), true)
	if err := a.Forget(); err != nil || a.Domain() == domain {
		t.Error("Forget", err)
	}
	b.later()
	w.must(w.shake(nil), false)
	if a.Domain() != b.Domain() {
		t.Error("domains differ after Forget")
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// Whatever becomes of what is kept, the answer is full authentication.
func TestKeptDamage(t *testing.T) {
	k := new(shelf)
	w := krbWorld(t, Options{}, Options{Ring: mustShare(t, k)})
	w.must(w.shake(nil), false)
	w.must(w.shake(nil), true)
	good := bytes.Clone(k.b)
	for what, bad := range map[string][]byte{"lost": nil, "empty": {}, "cut": good[:40], "flipped": flipped(good, 30), "longer": append(bytes.Clone(good), 0)} {
		k.set(bytes.Clone(bad), nil)
		w.server = New(&toy.Krb{Party: toy.NewParty("files")}, Options{Ring: mustShare(t, k)})
		tr := w.shake(nil)
		if _, resumed := tr.Acceptor.(*Context); tr.Err() != nil || resumed {
			t.Errorf("%s: resumed: %v, %v", what, resumed, tr.Err())
		}
		w.must(w.shake(nil), true)
	}
	k.set(nil, nil)
	w.server.o.Ring.later()
	w.must(w.shake(nil), false) // a server that runs on
	w.must(w.shake(nil), true)
}

// A ring that cannot be reached is asked now and then; its users go on with what they have.
func TestKeeperFails(t *testing.T) {
	k, down := new(shelf), errors.New("down")
	k.err = down
	if _, err := ShareRing(t.Context(), k); !errors.Is(err, down) {
		t.Error(err)
	}
	k.err = nil
	c := newClock()
	r := mustShare(t, k)
	w := krbWorld(t, Options{Time: c.now}, Options{Ring: r, Time: c.now})
	w.must(w.shake(nil), false)
	k.set(k.b, down)
	r.later()
	k.questions()
	for range 100 {
		w.must(w.shake(nil), true)
	}
	if n := k.questions(); n > 2 {
		t.Errorf("asked %d times", n)
	}
	c.add(rotation) // a new key is due, and cannot be had
	r.later()
	w.must(w.shake(nil), true)
	for range 100 {
		w.shake(nil).Close()
	}
	if n := k.questions(); n > 3 {
		t.Errorf("asked %d times", n)
	}
	if r.newestID(c.now()) != "" {
		t.Error("a key that the others do not have")
	}
	if r.Rotate(c.now()) == nil || r.newestID(c.now()) != "" {
		t.Error("rotated while it could not be kept")
	}
	if err := r.Forget(); !errors.Is(err, down) || len(r.keys) != 0 {
		t.Error("Forget kept a key", err)
	}
	k.set(k.b, nil)
	r.later()
	tr := w.shake(nil)
	tr.Close()
	if tr.Err() != nil || r.newestID(c.now()) == "" {
		t.Error("no key when it was there again", tr.Err())
	}
}

// Tickets that are none do not make us ask without end.
func TestGarbageIDs(t *testing.T) {
	k := new(shelf)
	r := mustShare(t, k)
	now := time.Now()
	id := r.newestID(now)
	k.questions()
	for n := range 1000 {
		if r.key([]byte(fmt.Sprintf("%08d", n)), make([]byte, saltLen), now, defaultLife) != nil {
			t.Fatal("a key for garbage")
		}
	}
	if n := k.questions(); n != maxVain {
		t.Errorf("asked %d times, want %d", n, maxVain)
	}
	if r.newestID(now) != id {
		t.Error("lost a key")
	}
	r.later()
	if r.key(make([]byte, idLen), make([]byte, saltLen), now, defaultLife); k.questions() == 0 {
		t.Error("not asked later")
	}
}

type idle struct{}

func (idle) Update(context.Context, func([]byte) []byte) error { return nil }

func TestIdleKeeper(t *testing.T) {
	if r, err := ShareRing(t.Context(), idle{}); err == nil {
		t.Errorf("a ring that is not kept: %v", r.Domain())
	}
}

// TestSharedRotation lets two servers with one ring rotate it 100 times while clients
// resume at one and at the other; none is refused.
func TestSharedRotation(t *testing.T) {
	t.Parallel()
	k := new(shelf)
	var servers [2]*Mech
	for i := range servers {
		servers[i] = New(&toy.Krb{Party: toy.NewParty("files")}, Options{Ring: mustShare(t, k)})
	}
	var wg sync.WaitGroup
	rotated := make(chan struct{})
	wg.Go(func() {
		defer close(rotated)
		for n := range 100 {
			if err := servers[n%2].o.Ring.Rotate(time.Now()); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	for g := range 4 {
		wg.Go(func() {
			w := &world{t: t, client: New(&toy.Krb{Party: toy.NewParty(fmt.Sprint(g))}, Options{}), accept: gss.AcceptOptions{}}
			for n := 0; ; n++ {
				w.server = servers[(n+g)%2]
				tr := w.shake(nil)
				_, resumed := tr.Acceptor.(*Context)
				if tr.Err() != nil || resumed != (n > 0) {
					t.Errorf("%d: resumed: %v, %v", n, resumed, tr.Err())
				}
				tr.Close()
				select {
				case <-rotated:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
}
