package boltstate_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

// An operation that needs the disk, and whether it had its effect.
type operation struct {
	name string
	do   func(*faulty) error
}

// faulty is a file whose disk fails, with two contexts in it.
type faulty struct {
	t     *testing.T
	path  string
	f     *boltstate.File
	alice *seal.Sender
	dave  boltstate.ID
	carol *seal.Sender // of a context that Add is tried with
	sc    gss.Context
	plain []byte // one-time messages of alice
	once  []byte
}

func newFaulty(t *testing.T, path string) *faulty {
	x := &faulty{t: t, path: path, f: mustOpen(t, path, nil)}
	i, a := establish("alice", "bob")
	mustAdd(t, x.f, a)
	x.dave = mustAdd(t, x.f, mustContext("dave"))
	x.alice = mustSender(t, i)
	i, x.sc = establish("carol", "bob")
	x.carol = mustSender(t, i)
	x.plain, x.once = oneTime(t, x.alice, "plain"), oneTime(t, x.alice, "once")
	return x
}

var operations = []operation{
	{"Add", func(x *faulty) error { _, err := x.f.Add(x.t.Context(), x.sc); return err }},
	{"Unseal", func(x *faulty) error {
		m, err := x.f.Recipient().Unseal(x.t.Context(), nil, x.plain, nil)
		if err != nil && (m.Body != nil || errors.Is(err, strike.ErrBroken) != (gss.MajorOf(err) == gss.Failure)) {
			x.t.Errorf("Unseal: %v, %v", m, err)
		}
		return err
	}},
	{"Once", func(x *faulty) error {
		return x.f.Once(x.t.Context(), x.once, nil, func(tx *bolt.Tx, m seal.Message) error {
			b, err := tx.CreateBucketIfNotExists([]byte("effects"))
			if err != nil {
				return err
			}
			return b.Put([]byte("once"), make([]byte, 30000)) // more than a page
		})
	}},
	{"Remove", func(x *faulty) error { return x.f.Remove(x.t.Context(), x.dave) }},
	{"Sender", func(x *faulty) error {
		s, err := x.f.Sender(x.t.Context(), name("alice"))
		if err == nil {
			s.Close()
		}
		return err
	}},
}

// refuses has all operations fail, first of them the first; Sender may do without the disk.
func (x *faulty) refuses(first operation) {
	x.t.Helper()
	n := x.f.Recipient().Len()
	for _, op := range append([]operation{first}, operations[:3]...) {
		err := op.do(x)
		if err == nil && op.name == "Sender" {
			continue
		}
		if !errors.Is(err, strike.ErrBroken) {
			x.t.Errorf("%s: %v, want %v", op.name, err, strike.ErrBroken)
		}
	}
	if first.name != "Remove" && x.f.Recipient().Len() != n {
		x.t.Errorf("%d contexts, %d before", x.f.Recipient().Len(), n)
	}
	_, err := x.f.Recipient().Unseal(x.t.Context(), nil, oneTime(x.t, x.carol, ""), nil)
	want(x.t, "of a context that was not added", err, gss.BadMIC, nil)
}

// whole looks at the file when all is well again: what was not admitted to be done
// may be done or not, and nothing is done twice.
func (x *faulty) whole() {
	t := x.t
	t.Helper()
	m := oneTime(t, x.alice, "later")
	opens(t, x.f, m, "later")
	released := 0
	for range 3 {
		if operations[1].do(x) == nil {
			released++
		}
	}
	if err := x.f.Close(); err != nil {
		t.Error(err)
	}
	x.f = mustOpen(t, x.path, nil)
	if operations[1].do(x) == nil {
		released++
	}
	if released > 1 {
		t.Errorf("released %d times", released)
	}
	_, err := x.f.Recipient().Unseal(t.Context(), nil, m, nil)
	want(t, "struck after the fault", err, gss.DuplicateToken, strike.ErrSeen)
	cs, err := x.f.Contexts(t.Context())
	if err != nil || !slices.ContainsFunc(cs, func(c boltstate.Context) bool { return c.Peer == name("alice") }) {
		t.Errorf("%v, %v", cs, err)
	}
	opens(t, x.f, oneTime(t, x.alice, "alice"), "alice")
	if err := operations[2].do(x); err != nil && !errors.Is(err, strike.ErrSeen) {
		t.Error(err)
	}
	mustClose(t, x.f)
}

// Something else comes to be where the file was opened: a device that is full
// (ENOSPC), and one that cannot be written at the addresses in question (EIO).
func TestFaults(t *testing.T) {
	var all []*faulty
	for _, with := range []string{"/dev/full", "/proc/self/mem"} {
		for _, first := range operations {
			x := newFaulty(t, testPath(t))
			at, err := os.OpenFile(with, os.O_RDWR, 0)
			if err != nil {
				t.Skip(err)
			}
			defer at.Close()
			if err := syscall.Dup3(int(at.Fd()), descriptor(t, x.path), syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			x.refuses(first)
			if t.Failed() {
				t.Fatalf("with %s, %s first", with, first.name)
			}
			all = append(all, x)
		}
	}
	// The store opens its file again a second after it failed.
	time.Sleep(1100 * time.Millisecond)
	for _, x := range all {
		x.whole()
	}
}

// descriptor returns the one that path is open at.
func descriptor(t *testing.T, path string) int {
	t.Helper()
	ds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, d := range ds {
		if at, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && at == path {
			var n int
			if _, err := fmt.Sscan(d.Name(), &n); err == nil {
				return n
			}
		}
	}
	t.Fatal("not open")
	return 0
}

const shortEnv = "BOLTSTATE_SHORT"

// A write comes to an end anywhere: at each page of the file, and in the middle of it.
// The limit holds for all that a process writes, so it is one of its own: the go
// command has tests write a log.
func TestShortWrites(t *testing.T) {
	if os.Getenv(shortEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestShortWrites$", "-test.v")
		cmd.Env = append(os.Environ(), shortEnv+"=1")
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil:
			t.Errorf("%v\n%s", err, out)
		case bytes.Contains(out, []byte("--- SKIP")):
			t.Skipf("%s", out)
		case !bytes.Contains(out, []byte("--- PASS: TestShortWrites")):
			t.Errorf("did not run:\n%s", out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Skip(err)
	}
	failed := 0
	limited := func(n uint64, do func()) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: was.Max}); err != nil {
			t.Skip(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
		do()
	}
	for at := uint64(0); at < 80<<10; at += 2048 {
		op := operations[int(at/2048)%len(operations)]
		x := newFaulty(t, testPath(t))
		var err error
		limited(at, func() { err = op.do(x) })
		if err != nil {
			failed++
			if !errors.Is(err, strike.ErrBroken) {
				t.Errorf("%s, file ends at %d: %v", op.name, at, err)
			}
		}
		x.f.Close()
		x.f = mustOpen(t, x.path, nil)
		cs, e := x.f.Contexts(t.Context())
		if e != nil || len(cs) < 1 || op.name == "Add" && err == nil && len(cs) != 3 || op.name == "Remove" && err == nil && len(cs) != 1 ||
			op.name == "Unseal" && len(cs) != 2 {
			t.Errorf("%s, file ended at %d: %v; then %v, %v", op.name, at, err, cs, e)
		}
		again := operations[1].do(x)
		if op.name == "Unseal" && err == nil && !errors.Is(again, strike.ErrSeen) {
			t.Errorf("file ended at %d: opens twice", at)
		}
		// The torn page of a transaction makes the store unsure of what is older.
		if again != nil && !errors.Is(again, strike.ErrSeen) && !errors.Is(again, strike.ErrUnsure) {
			t.Errorf("%s, file ended at %d: %v", op.name, at, again)
		}
		mustClose(t, x.f)
	}
	if failed < 10 {
		t.Errorf("only %d of the writes failed", failed)
	}
}

// A file system that is full, and one that is read-only.
func TestFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("boltstate", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size=512k"); err != nil {
		t.Skip("tmpfs cannot be mounted: ", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	x := newFaulty(t, filepath.Join(dir, "seal.db"))
	filler := filepath.Join(dir, "filler")
	fill := func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, n := range []int{4096, 1} {
			for {
				if _, err := f.Write(make([]byte, n)); err != nil {
					break
				}
			}
		}
	}
	fill()
	full := errors.New("")
	for range 50 { // until the pages that the file has are used
		if full = operations[2].do(x); full != nil {
			break
		}
		x.once = oneTime(t, x.alice, "once")
	}
	if !errors.Is(full, strike.ErrBroken) || !errors.Is(full, syscall.ENOSPC) {
		t.Errorf("full: %v", full)
	}
	x.refuses(operations[0])
	if _, err := boltstate.Open(filepath.Join(dir, "new"), nil); !errors.Is(err, strike.ErrBroken) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a new file on a full file system: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	x.whole()

	if err := syscall.Mount("boltstate", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"seal.db", "new"} {
		if _, err := boltstate.Open(filepath.Join(dir, file), nil); !errors.Is(err, strike.ErrBroken) || !errors.Is(err, syscall.EROFS) {
			t.Errorf("read-only, %s: %v", file, err)
		}
	}
}

// A file that was cut off, or whose pages cannot be read, while it is open, is an
// error, and does not end the process.
func TestCutWhileOpen(t *testing.T) {
	const page = 4096
	for _, pages := range []int64{2, 8, 16, 24, 32} {
		path := testPath(t)
		f := mustOpen(t, path, nil)
		i, a := establish("alice", "bob")
		first := mustAdd(t, f, a)
		m := oneTime(t, mustSender(t, i), "hello")
		for range 60 {
			mustAdd(t, f, mustContext("dave"))
		}
		if err := os.Truncate(path, pages*page); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Contexts(t.Context()); !errors.Is(err, boltstore.ErrCorrupt) {
			t.Errorf("%d pages: Contexts: %v", pages, err)
		}
		if _, err := f.State(t.Context(), first); !errors.Is(err, boltstore.ErrCorrupt) {
			t.Errorf("%d pages: State: %v", pages, err)
		}
		_, err := f.Recipient().Unseal(t.Context(), nil, m, nil)
		want(t, "Unseal", err, gss.Failure, boltstore.ErrCorrupt)
		if err := f.Close(); !errors.Is(err, boltstore.ErrCorrupt) {
			t.Errorf("%d pages: Close: %v", pages, err)
		}
	}
}
