package boltstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

func key(n int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func mustOpen(t testing.TB, path string, o Options, env environment) *Store {
	t.Helper()
	if env.now == nil {
		env.now = time.Now
	}
	if env.settle == 0 {
		env.settle = 10 * time.Second
	}
	s, err := open(path, o, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func testPath(t testing.TB) string { return filepath.Join(t.TempDir(), "strikes") }

// want strikes key n and compares the answer.
func want(t *testing.T, s strike.Store, what string, n int, from, until time.Time, want error) {
	t.Helper()
	if err := s.Strike(t.Context(), key(n), from, until); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestSuite(t *testing.T) {
	striketest.Run(t, func(t *testing.T) strike.Store { return mustOpen(t, testPath(t), Options{}, environment{}) })
}

func TestSuiteShared(t *testing.T) {
	striketest.Run(t, func(t *testing.T) strike.Store {
		return mustOpen(t, testPath(t), Options{Shared: true}, environment{})
	})
}

func TestProcesses(t *testing.T) {
	path := ""
	if os.Getenv("STRIKETEST_CHILD") == "" {
		path = testPath(t)
	}
	striketest.Processes(t, map[bool]int{false: 100, true: 3000}[*soak], path, func(path string) (strike.Store, error) {
		return Open(path, Options{Shared: true, LockTimeout: time.Minute})
	})
}

func TestClockSteps(t *testing.T) {
	for seed := range uint64(3) {
		path := testPath(t)
		clock := striketest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		env := environment{now: clock.Now}
		life := &striketest.Life{Store: mustOpen(t, path, Options{}, env)}
		life.Restart = func() strike.Store {
			life.Store.(*Store).Close()
			return mustOpen(t, path, Options{}, env)
		}
		life.Lose = func(hw time.Time) strike.Store {
			life.Store.(*Store).Close()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			return mustOpen(t, path, Options{Since: hw}, env)
		}
		striketest.NeverTwice(t, seed, 1500, clock, life)
	}
}

func TestReopen(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	now := time.Now()
	for n := range 300 {
		want(t, s, "first", n, now, now.Add(time.Hour), nil)
		if n%100 == 99 {
			s.Close()
			s = mustOpen(t, path, Options{}, environment{})
		}
	}
	for n := range 300 {
		want(t, s, "after Close and Open", n, now, now.Add(time.Hour), strike.ErrSeen)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// Floor, since and the highest clock are kept: a key that was forgotten is not
// admitted by a later process whose clock is behind.
func TestFloorIsKept(t *testing.T) {
	path := testPath(t)
	clock := striketest.NewClock(time.Now())
	env := environment{now: clock.Now}
	s := mustOpen(t, path, Options{}, env)
	clock.Step(time.Millisecond)
	from := clock.Now()
	until := from.Add(time.Minute)
	want(t, s, "first", 0, from, until, nil)
	clock.Step(time.Hour)
	want(t, s, "second, which makes it forget", 1, from, until.Add(2*time.Hour), nil)
	clock.Step(-time.Hour)
	for range 2 {
		want(t, s, "forgotten", 0, from, until, strike.ErrUnsure)
		s.Close()
		s = mustOpen(t, path, Options{}, env)
	}
	want(t, s, "later", 2, from, until.Add(time.Microsecond), nil)
}

// counted returns the state of a file that nobody has open.
func counted(t *testing.T, path string) state {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var st state
	if err := db.View(func(tx *bolt.Tx) error {
		tb, err := openTable(tx, 0)
		if err != nil {
			return err
		}
		st = tb.st
		return tb.verify()
	}); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestPurgeAndFull(t *testing.T) {
	path := testPath(t)
	clock := striketest.NewClock(time.Now())
	s := mustOpen(t, path, Options{Entries: 200}, environment{now: clock.Now})
	clock.Step(time.Millisecond)
	from := clock.Now()
	all := func(first, n int, until time.Time) (admitted int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				err := s.Strike(t.Context(), key(first+i), from, until)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					admitted++
				} else if !errors.Is(err, strike.ErrFull) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return admitted
	}
	if n := all(0, 300, from.Add(time.Minute)); n != 200 {
		t.Errorf("%d admitted, want 200", n)
	}
	clock.Step(time.Minute)
	if n := all(1000, 10, from.Add(time.Hour)); n != 0 {
		t.Errorf("at until: %d admitted, want none", n)
	}
	clock.Step(time.Minute)
	if n := all(1000, 200, from.Add(time.Hour)); n != 200 {
		t.Errorf("after until: %d admitted, want 200", n)
	}
	want(t, s, "full, and seen", 1000, from, from.Add(time.Hour), strike.ErrSeen)
	s.Close()
	if st := counted(t, path); st.n != 200 || st.floor != ceilMicro(from.Add(time.Minute)) {
		t.Errorf("%d keys held, floor %v", st.n, time.UnixMicro(st.floor))
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	start := time.Now()
	if _, err := Open(path, Options{LockTimeout: 50 * time.Millisecond}); !errors.Is(err, ErrLocked) || !errors.Is(err, strike.ErrBroken) {
		t.Errorf("%v, want ErrLocked", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("after %v", d)
	}
	s.Close()
	mustOpen(t, path, Options{}, environment{})
}

// A shared store that waits for another process can be closed, and its callers go
// when their contexts are done.
func TestSharedWaits(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{Shared: true, LockTimeout: time.Minute}, environment{})
	holder := mustOpen(t, path, Options{}, environment{})
	now := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Strike(ctx, key(0), now, now.Add(time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a deadline", err)
	}
	holder.Close()
	want(t, s, "nobody holds it", 1, now, now.Add(time.Hour), nil)
	mustOpen(t, path, Options{}, environment{})
	done := make(chan error)
	go func() { done <- s.Strike(t.Context(), key(2), now, now.Add(time.Hour)) }()
	time.Sleep(20 * time.Millisecond)
	s.Close()
	if err := <-done; !errors.Is(err, strike.ErrClosed) {
		t.Errorf("closed while it waited: %v", err)
	}
}

// Many callers share few commits.
func TestGroupCommit(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	s.Close()
	before := transaction(t, path)
	s = mustOpen(t, path, Options{}, environment{})
	now := time.Now()
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for n := range 50 {
				want(t, s, "first", g*50+n, now.Add(-time.Microsecond), now.Add(time.Hour), nil)
			}
		})
	}
	wg.Wait()
	s.Close()
	if n := transaction(t, path) - before; n > 800/3 {
		t.Errorf("800 strikes of 16 callers took %d transactions", n)
	}
}

func transaction(t *testing.T, path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m0, ok0 := readMeta(f, 0)
	m1, ok1 := readMeta(f, m0.pageSize)
	if !ok0 || !ok1 {
		t.Fatal("a meta page is not valid after Close")
	}
	return max(m0.txn, m1.txn)
}

func TestRefusedFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
	for name, c := range map[string]struct {
		make func(path string) error
		want error
	}{
		"group may write": {func(p string) error {
			mustOpen(t, p, Options{}, environment{}).Close()
			return os.Chmod(p, 0o620)
		}, strike.ErrBroken},
		"others may read": {func(p string) error {
			mustOpen(t, p, Options{}, environment{}).Close()
			return os.Chmod(p, 0o604)
		}, strike.ErrBroken},
		"folder":       {func(p string) error { return os.Mkdir(p, 0o700) }, strike.ErrBroken},
		"empty":        {func(p string) error { return os.WriteFile(p, nil, 0o600) }, ErrCorrupt},
		"text":         {func(p string) error { return os.WriteFile(p, []byte("hello"), 0o600) }, ErrCorrupt},
		"zeros":        {func(p string) error { return os.WriteFile(p, make([]byte, 1<<16), 0o600) }, ErrCorrupt},
		"dangling":     {func(p string) error { return os.Symlink(p+"-", p) }, fs.ErrNotExist},
		"other bucket": {alien, ErrCorrupt},
	} {
		p := testPath(t)
		if err := c.make(p); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(p, Options{LockTimeout: time.Second}); !errors.Is(err, c.want) || !errors.Is(err, strike.ErrBroken) {
			t.Errorf("%s: %v, %v, want %v", name, s, err, c.want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no", "such", "folder"), Options{}); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, strike.ErrBroken) {
		t.Errorf("no folder: %v", err)
	}
}

// alien makes a database with a bucket of our name that is something else.
func alien(path string) error {
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(rootName)
		if err != nil {
			return err
		}
		return b.Put([]byte("state"), []byte("hello"))
	})
}

// TestDamage flips bits all over a file: it is refused, or all that was struck is
// still known, or not vouched for.
func TestDamage(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	now := time.Now()
	const keys = 150
	var wg sync.WaitGroup
	for n := range keys {
		wg.Go(func() { want(t, s, "first", n, now, now.Add(time.Duration(n+1)*time.Hour), nil) })
		if n%30 == 29 {
			wg.Wait() // several transactions
		}
	}
	s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := usedOctets(t, path)
	rng := rand.New(rand.NewPCG(3, 4))
	refused, known := 0, 0
	flips := 150
	if *soak {
		flips = 5000
	}
	check := func(what string, bad []byte) {
		t.Helper()
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			if !errors.Is(err, strike.ErrBroken) {
				t.Errorf("%s: %v", what, err)
			}
			refused++
			return
		}
		known++
		defer s.Close()
		for _, n := range []int{0, rng.IntN(keys), keys - 1} {
			err := s.Strike(t.Context(), key(n), now, now.Add(time.Duration(n+1)*time.Hour))
			if err == nil {
				t.Errorf("%s: key %d is admitted again", what, n)
			}
		}
	}
	for n := range flips {
		bad := append([]byte(nil), good...)
		at := rng.IntN(used)
		if n%3 == 0 { // what is at the head of pages matters most
			at = at&^4095 + rng.IntN(80)
		}
		bad[at] ^= 1 << rng.IntN(8)
		check(fmt.Sprintf("octet %d", at), bad)
	}
	for size := 0; size < used; size += used/40 + 1 {
		check(fmt.Sprintf("cut to %d", size), good[:size])
	}
	for n := range 40 {
		bad := append([]byte(nil), good...)
		at := rng.IntN(used) &^ 4095
		clear(bad[at : at+4096])
		check(fmt.Sprintf("page %d of zeros (%d)", at/4096, n), bad)
	}
	t.Logf("%d refused, %d opened without loss", refused, known)
	if refused == 0 || known == 0 {
		t.Error("the run shows little")
	}
}

// usedOctets returns how many octets of the file bbolt has ever used.
func usedOctets(t *testing.T, path string) int {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, _ := readMeta(f, 0)
	return int(int64(m.pages) * m.pageSize)
}

// A backup that is put back in place is noticed, whichever way.
func TestRestored(t *testing.T) {
	for name, restore := range map[string]func(path string, old []byte) error{
		"written over": func(path string, old []byte) error { return os.WriteFile(path, old, 0o600) },
		"renamed": func(path string, old []byte) error {
			if err := os.WriteFile(path+"2", old, 0o600); err != nil {
				return err
			}
			return os.Rename(path+"2", path)
		},
		"with its time": func(path string, old []byte) error {
			if err := os.WriteFile(path, old, 0o600); err != nil {
				return err
			}
			past := time.Now().Add(-time.Hour)
			return os.Chtimes(path, past, past)
		},
	} {
		if name == "with its time" && runtime.GOOS != "linux" {
			continue
		}
		path := testPath(t)
		env := environment{settle: 50 * time.Millisecond}
		s := mustOpen(t, path, Options{}, env)
		from := time.Now()
		want(t, s, "first", 0, from, from.Add(time.Hour), nil)
		s.Close()
		backup, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, path, Options{}, env)
		want(t, s, "after the backup", 1, from, from.Add(time.Hour), nil)
		s.Close()
		time.Sleep(100 * time.Millisecond)
		if err := restore(path, backup); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, path, Options{}, env)
		want(t, s, name+": lost", 1, from, from.Add(time.Hour), strike.ErrUnsure)
		now := time.Now()
		want(t, s, name+": new", 2, now, now.Add(time.Hour), nil)
		s.Close()
		s = mustOpen(t, path, Options{}, env)
		want(t, s, name+": lost, and opened again", 1, from, from.Add(time.Hour), strike.ErrUnsure)
		want(t, s, name+": new, and opened again", 2, now, now.Add(time.Hour), strike.ErrSeen)
	}
}

// A backup that was made while the host's clock was ahead is put back when it is not.
func TestRestoredAfterClockSetBack(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	from := time.Now()
	want(t, s, "first", 0, from, from.Add(time.Hour), nil)
	s.Close()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		tab, err := openTable(tx, 0)
		if err != nil {
			return err
		}
		tab.st.wrote += time.Minute.Microseconds()
		tab.dirty = true
		_, err = tab.save(0)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path, Options{}, environment{})
	want(t, s, "lost", 1, from, from.Add(time.Hour), strike.ErrUnsure)
}

// A backup is written over the file while the store is open.
func TestRestoredWhileOpen(t *testing.T) {
	for after := 1; after < 6; after++ {
		path := testPath(t)
		s := mustOpen(t, path, Options{}, environment{})
		from := time.Now()
		until := from.Add(time.Hour)
		for n := range 5 {
			want(t, s, "first", n, from, until, nil)
		}
		backup, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range after {
			want(t, s, "after the backup", 5+n, from, until, nil)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(backup, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		want(t, s, "written over", 5, from, until, strike.ErrBroken)
		time.Sleep(retry + 10*time.Millisecond)
		want(t, s, "lost", 5, from, until, strike.ErrUnsure)
		want(t, s, "not lost", 0, time.Now(), until, strike.ErrSeen)
		now := time.Now()
		want(t, s, "new", 99, now, until, nil)
		s.Close()
		s = mustOpen(t, path, Options{}, environment{})
		want(t, s, "lost, and opened again", 5, from, until, strike.ErrUnsure)
		want(t, s, "new, and opened again", 99, now, until, strike.ErrSeen)
	}
}

// Something was lost while the clock was ahead: since is the highest clock.
func TestLostKeepsHighWater(t *testing.T) {
	path := testPath(t)
	clock := striketest.NewClock(time.Now())
	env := environment{now: clock.Now}
	s := mustOpen(t, path, Options{}, env)
	clock.Step(time.Hour)
	high := clock.Now()
	want(t, s, "first", 0, high, high.Add(2*time.Hour), nil)
	clock.Step(time.Millisecond - time.Hour)
	want(t, s, "from a time to come", 1, high, high.Add(2*time.Hour), strike.ErrUnsure)
	want(t, s, "second", 1, clock.Now(), high.Add(2*time.Hour), nil)
	s.Close()
	tear(t, path)
	s = mustOpen(t, path, Options{}, env)
	clock.Step(time.Hour + time.Second)
	want(t, s, "at the highest clock", 2, high, high.Add(2*time.Hour), strike.ErrUnsure)
	want(t, s, "above it", 2, high.Add(2*time.Microsecond), high.Add(2*time.Hour), nil)
}

// tear damages the page that names the last transaction, as a commit does that is
// cut off. bbolt by itself goes back to the transaction before.
func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m0, _ := readMeta(f, 0)
	m1, _ := readMeta(f, m0.pageSize)
	at := int64(0)
	if m1.txn > m0.txn {
		at = m0.pageSize
	}
	if _, err := f.WriteAt(make([]byte, 20), at+pageHeader+40); err != nil {
		t.Fatal(err)
	}
}

func TestTornCommit(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	from := time.Now()
	want(t, s, "first", 0, from, from.Add(time.Hour), nil)
	want(t, s, "second", 1, from, from.Add(time.Hour), nil)
	s.Close()
	tear(t, path)
	s = mustOpen(t, path, Options{}, environment{})
	for n := range 2 {
		want(t, s, "torn", n, from, from.Add(time.Hour), strike.ErrUnsure)
	}
	now := time.Now()
	want(t, s, "new", 2, now, now.Add(time.Hour), nil)
}

// Whoever comes while another strikes finds the file locked, and not damaged.
func TestLockedWhileItChanges(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("bbolt locks it too late")
	}
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	from := time.Now()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for g := range 8 {
		wg.Go(func() {
			for n := g << 20; ; n++ {
				select {
				case <-stop:
					return
				default:
					s.Strike(t.Context(), key(n), from, from.Add(time.Hour))
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	for range 100 {
		if _, err := Open(path, Options{LockTimeout: time.Millisecond}); !errors.Is(err, ErrLocked) {
			t.Fatal(err)
		}
	}
}

// While a store is open its file goes away, is replaced, or is cut.
func TestReplacedWhileOpen(t *testing.T) {
	path := testPath(t)
	s := mustOpen(t, path, Options{}, environment{})
	from := time.Now()
	want(t, s, "first", 0, from, from.Add(time.Hour), nil)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other := mustOpen(t, path, Options{}, environment{})
	now := time.Now()
	want(t, other, "the new file's store", 1, now, now.Add(time.Hour), nil)
	want(t, other, "of before the new file", 0, from, from.Add(time.Hour), strike.ErrUnsure)
	want(t, s, "the old file's store", 1, now, now.Add(time.Hour), strike.ErrBroken)
	other.Close()
	time.Sleep(retry)
	want(t, s, "the new file in the old store", 1, now, now.Add(time.Hour), strike.ErrSeen)
	want(t, s, "and of before", 0, from, from.Add(time.Hour), strike.ErrUnsure)

	if runtime.GOOS != "linux" {
		return
	}
	if err := os.Truncate(path, 3*4096); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		want(t, s, "cut", 1, now, now.Add(time.Hour), ErrCorrupt)
	}
}
