package reauth

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

func TestRingLife(t *testing.T) {
	r := NewRing()
	now := time.Now()
	seal := func() []byte {
		b := r.seal(&ticket{inner: toy.KrbOID, initiator: gss.Name{Mech: toy.KrbOID, Text: "x"}, psk: make([]byte, 32), acceptor: make([]byte, 32),
			authTime: now, issued: now, end: now.Add(time.Hour)}, now, defaultLife)
		if len(b) != ticketLen {
			t.Fatal("no ticket")
		}
		return b
	}
	opens := func(b []byte) bool { _, ok := r.open(b, now, defaultLife); return ok }
	first := seal()
	now = now.Add(rotation - time.Minute)
	second := seal() // the same key, nearly at its end
	if string(first[:idLen]) != string(second[:idLen]) {
		t.Error("rotated too early")
	}
	now = now.Add(2 * time.Minute)
	if third := seal(); string(first[:idLen]) == string(third[:idLen]) {
		t.Error("not rotated")
	}
	now = now.Add(defaultLife - 2*time.Minute) // a ticket's life after second
	if !opens(second) {
		t.Error("erased while tickets live")
	}
	now = now.Add(2 * time.Minute)
	if opens(first) || opens(second) {
		t.Error("opens with a key that should be erased")
	}
	seal()
	for range 100 {
		now = now.Add(rotation)
		seal()
	}
	if n := len(r.keys); n > 4 {
		t.Errorf("%d keys are kept", n)
	}
	kept := seal()
	if err := r.Rotate(now); err != nil || !opens(kept) {
		t.Error("Rotate lost a key", err)
	}
	domain := r.Domain()
	if err := r.Forget(); err != nil || opens(kept) || r.Domain() == domain {
		t.Error("Forget kept something", err)
	}
	// A clock that was ahead by a year.
	now = now.Add(365 * 24 * time.Hour)
	seal()
	now = now.Add(-365 * 24 * time.Hour)
	a := seal()
	now = now.Add(rotation + time.Minute)
	if b := seal(); string(a[:idLen]) == string(b[:idLen]) {
		t.Error("a key of the future stops the rotation")
	}
	for range 2 * maxKeys {
		r.Rotate(now)
	}
	if len(r.keys) > maxKeys {
		t.Errorf("%d keys", len(r.keys))
	}
}

// A key goes when no ticket can need it, and not with the next new one.
func TestRingErases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	for _, kind := range []string{"memory", "file"} {
		r := NewRing()
		if kind == "file" {
			var err error
			if r, err = OpenRing(path); errors.Is(err, errors.ErrUnsupported) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
		}
		const life = time.Hour
		start := time.Now()
		seal := func(at time.Duration) []byte {
			now := start.Add(at)
			r.mu.Lock()
			r.asked = r.asked.Add(-refreshEvery) // a minute passes
			r.mu.Unlock()
			return r.seal(&ticket{inner: toy.KrbOID, initiator: gss.Name{Mech: toy.KrbOID, Text: "x"}, psk: make([]byte, 32), acceptor: make([]byte, 32),
				authTime: now, issued: now, end: now.Add(life)}, now, life)
		}
		first := seal(0)[:idLen]
		second := seal(rotation + time.Minute)[:idLen]
		for _, c := range []struct {
			at   time.Duration
			want int
		}{{rotation + life - time.Minute, 2}, {rotation + life + time.Minute, 1}} {
			if id := seal(c.at)[:idLen]; !bytes.Equal(id, second) || bytes.Equal(id, first) {
				t.Fatalf("%s, after %v: another key", kind, c.at)
			}
			kept := r.keys
			if kind == "file" {
				var s ringKeys
				b, err := os.ReadFile(path)
				if err != nil || !s.parse(b) {
					t.Fatal("the file", err)
				}
				if len(s.keys) != len(kept) {
					t.Errorf("%d keys in the file, %d in memory", len(s.keys), len(kept))
				}
			}
			if len(kept) != c.want || !bytes.Equal(kept[len(kept)-1].id[:], second) {
				t.Errorf("%s, after %v: %d keys", kind, c.at, len(kept))
			}
		}
	}
}

// TestRotationUnderLoad resumes while the ring rotates; none is refused.
func TestRotationUnderLoad(t *testing.T) {
	server := New(&toy.Krb{Party: toy.NewParty("files")}, Options{})
	stop := make(chan struct{})
	var wg, rotor sync.WaitGroup
	rotor.Go(func() {
		for n := 0; n < maxKeys/2; n++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				server.o.Ring.Rotate(time.Now())
			}
		}
	})
	for g := range 4 {
		wg.Go(func() {
			w := &world{t: t, client: New(&toy.Krb{Party: toy.NewParty(fmt.Sprint(g))}, Options{}), server: server}
			for n := range 50 {
				tr := w.shake(nil)
				if tr.Err() != nil {
					t.Error(tr.Err())
				} else if _, ok := tr.Acceptor.(*Context); ok != (n > 0) {
					t.Errorf("%d: resumed: %v", n, ok)
				}
				tr.Close()
			}
		})
	}
	wg.Wait()
	close(stop)
	rotor.Wait()
}

func TestCacheBounds(t *testing.T) {
	now := time.Now()
	c := NewCache(CacheOptions{Entries: 10})
	add := func(key byte, n int) *entry {
		e := &entry{key: [32]byte{key}, end: now.Add(time.Hour), ticket: []byte(fmt.Sprint(key, n)), psk: make([]byte, 32),
			local: gss.Name{Mech: toy.KrbOID, Text: "l"}, peer: gss.Name{Mech: toy.KrbOID, Text: "p"}}
		c.put(e, nil)
		return e
	}
	any := func(*entry) bool { return true }
	for n := range 3 * perKey {
		add(1, n)
	}
	if c.Len() != perKey {
		t.Errorf("%d tickets for one key", c.Len())
	}
	// Unused ones first, each once, then again.
	seen := map[string]int{}
	for range 2 * perKey {
		seen[string(c.take([32]byte{1}, now, any).ticket)]++
	}
	if len(seen) != perKey {
		t.Errorf("%v", seen)
	}
	for n := range 50 {
		add(byte(n), 0)
	}
	if c.Len() != 10 || len(c.entries) > 10 {
		t.Errorf("%d tickets", c.Len())
	}
	e := add(200, 0)
	c.refuse(e.key, e.ticket)
	if c.take(e.key, now, any) == nil {
		t.Error("forgotten at the first refusal")
	}
	c.refuse(e.key, e.ticket)
	if c.take(e.key, now, any) != nil {
		t.Error("not forgotten at the second refusal")
	}
	e = add(201, 0)
	if c.take(e.key, now.Add(2*time.Hour), any) != nil || c.take(e.key, now, any) != nil {
		t.Error("an expired ticket is kept")
	}
	big := add(202, 0).clone()
	big.ticket, big.peer.Text = []byte("big"), string(make([]byte, 500))
	before := c.Len()
	c.put(big, nil)
	if c.Len() != before {
		t.Error("kept a ticket of more than 1 KiB")
	}
	c.Clear()
	if c.Len() != 0 || len(c.entries) != 0 {
		t.Error("not cleared")
	}
	none := NewCache(CacheOptions{Entries: -1})
	none.put(e, nil)
	if none.Len() != 0 {
		t.Error("kept something")
	}
}
