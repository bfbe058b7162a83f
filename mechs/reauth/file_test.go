//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package reauth

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/strike"
)

func mustRing(t testing.TB, path string) *Ring {
	t.Helper()
	r, err := OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustCache(t testing.TB, path string) *Cache {
	t.Helper()
	c, err := OpenCache(path, CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A server and a client that both start anew resume.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	ring, tickets := filepath.Join(dir, "ring"), filepath.Join(dir, "tickets")
	start := func() *world {
		return krbWorld(t, Options{Cache: mustCache(t, tickets)}, Options{Ring: mustRing(t, ring)})
	}
	w := start()
	w.must(w.shake(nil), false)
	for range 3 {
		w = start()
		w.must(w.shake(nil), true)
	}
	for _, f := range []string{ring, tickets, ring + ".lock", tickets + ".lock"} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Whatever becomes of the files, the answer is full authentication.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ring, tickets := filepath.Join(dir, "ring"), filepath.Join(dir, "tickets")
	w := krbWorld(t, Options{Cache: mustCache(t, tickets)}, Options{Ring: mustRing(t, ring)})
	w.must(w.shake(nil), false)
	for _, path := range []string{ring, tickets} {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, b := range map[string][]byte{
			"empty": {}, "cut": good[:len(good)/2], "one octet short": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
			"flipped": flipped(good, 30), "zeros": make([]byte, len(good)), "another version": flipped(good, 16), "huge": make([]byte, maxFile+1),
		} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			x := krbWorld(t, Options{Cache: mustCache(t, tickets)}, Options{Ring: mustRing(t, ring)})
			tr := x.shake(nil)
			if _, resumed := tr.Acceptor.(*Context); tr.Err() != nil || resumed {
				t.Errorf("%s: resumed: %v, %v", what, resumed, tr.Err())
			}
			x.must(x.shake(nil), true)
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// A process that runs on while its file goes.
		x := krbWorld(t, Options{Cache: mustCache(t, tickets)}, Options{Ring: mustRing(t, ring)})
		x.shake(nil)
		x.must(x.shake(nil), true)
		os.Remove(path)
		if tr := x.shake(nil); tr.Err() != nil {
			t.Error(tr.Err())
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A folder that went: no tickets, but contexts.
	gone := filepath.Join(dir, "gone")
	os.Mkdir(gone, 0o700)
	x := krbWorld(t, Options{Cache: mustCache(t, filepath.Join(gone, "tickets"))}, Options{Ring: mustRing(t, filepath.Join(gone, "ring"))})
	os.RemoveAll(gone)
	x.must(x.shake(nil), false)
	x.must(x.shake(nil), false)
	if n := x.client.o.Cache.Len(); n != 0 {
		t.Errorf("%d tickets in no file", n)
	}
}

// Files of secrets are nobody else's, and no links or pipes.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(string) error{
		"readable": func(p string) error { os.WriteFile(p, nil, 0o600); return os.Chmod(p, 0o644) },
		"writable": func(p string) error { os.WriteFile(p, nil, 0o600); return os.Chmod(p, 0o620) },
		"link":     func(p string) error { os.WriteFile(p+".to", nil, 0o600); return os.Symlink(p+".to", p) },
		"pipe":     func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"folder":   func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRing(path); err == nil {
			t.Errorf("ring: %s", name)
		}
		if _, err := OpenCache(path, CacheOptions{}); err == nil {
			t.Errorf("cache: %s", name)
		} else if name != "link" && name != "folder" && !errors.Is(err, errMode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two processes that rotate at once agree on one key.
func TestRotateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	now := time.Now()
	rings := make([]*Ring, 8)
	for i := range rings {
		rings[i] = mustRing(t, path)
	}
	for range 3 {
		ids := make([][idLen]byte, len(rings))
		var wg sync.WaitGroup
		for i, r := range rings {
			wg.Go(func() {
				if r.issuingKey(ids[i][:], make([]byte, saltLen), now, defaultLife) == nil {
					t.Error("no key")
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("%x and %x", id, ids[0])
			}
		}
		now = now.Add(rotation)
	}
	if n := len(rings[0].keys); n != 3 {
		t.Errorf("%d keys", n)
	}
	if rings[0].Domain() != rings[7].Domain() || rings[0].Domain() == [16]byte{} {
		t.Error("domains differ")
	}
}

// A store is used with a ring in a file only if it is that ring's.
func TestStoreDomain(t *testing.T) {
	r := mustRing(t, filepath.Join(t.TempDir(), "ring"))
	store := strike.NewMemory(strike.MemoryOptions{})
	time.Sleep(2 * time.Millisecond) // see TestFirstAndResumed
	for domain, want := range map[[16]byte]int{{}: 3, {1}: 3, r.Domain(): 2} {
		w := krbWorld(t, Options{}, Options{Ring: r, Store: store, StoreDomain: domain})
		w.must(w.shake(nil), false)
		tr := w.shake(nil)
		w.must(tr, true)
		if len(tr.Tokens) != want {
			t.Errorf("%x: %d tokens, want %d", domain, len(tr.Tokens), want)
		}
	}
	if store.Len() != 1 {
		t.Errorf("%d strikes", store.Len())
	}
}

// Many processes use one file of tickets; nothing is lost but what makes way.
func TestCacheShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tickets")
	server := New(&toy.Krb{Party: toy.NewParty("files")}, Options{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			w := &world{t: t, client: New(&toy.Krb{Party: toy.NewParty(fmt.Sprint("user", g))}, Options{Cache: mustCache(t, path)}), server: server}
			for n := range 5 {
				tr := w.shake(nil)
				if err := tr.Err(); err != nil {
					t.Error(err)
				} else if got := tr.Acceptor.Info().Peer.Text; got != fmt.Sprint("user:user", g) {
					t.Errorf("%d arrived as %s", g, got)
				} else if _, resumed := tr.Acceptor.(*Context); resumed != (n > 0) {
					t.Errorf("%d, %d: resumed: %v", g, n, resumed)
				}
			}
		})
	}
	wg.Wait()
	c := mustCache(t, path)
	if c.Len() != 4 {
		t.Errorf("%d tickets", c.Len())
	}
	if err := c.Clear(); err != nil || mustCache(t, path).Len() != 0 {
		t.Error("not cleared", err)
	}
}

// A file has so many tickets and no more, the newest, each of 1 KiB at most.
func TestCacheFileBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tickets")
	c, err := OpenCache(path, CacheOptions{Entries: 5})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 8 {
		c.put(testEntry(byte(n)), nil)
	}
	big := testEntry(100)
	big.peer.Text = string(bytes.Repeat([]byte("x"), 500))
	c.put(big, nil)
	again := mustCache(t, path)
	if again.Len() != 5 {
		t.Errorf("%d tickets", again.Len())
	}
	for n := range 8 {
		if e := again.take(testEntry(byte(n)).key, time.Now(), func(*entry) bool { return true }); (e != nil) != (n >= 3) {
			t.Errorf("%d: %v", n, e)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 5*(maxEntry+keyOctets+2)+100 {
		t.Errorf("%d octets, %v", info.Size(), err)
	}
}
