//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package reauth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
)

const childEnv = "REAUTHTEST_CHILD"

// A process is this test binary again, running the test that started it alone, with
// an argument in childEnv.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startProcess(t *testing.T, arg string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")}
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childEnv+"="+arg)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	if got := p.line(); got != "ready" {
		t.Fatalf("a process did not start: %q", got)
	}
	return p
}

func (p *process) line() string {
	p.out.Scan()
	return p.out.Text()
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// TestRingProcesses lets eight processes meet a ring whose key is due at the same moment.
func TestRingProcesses(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		r, err := OpenRing(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			var at, now int64
			fmt.Sscan(s.Text(), &at, &now)
			time.Sleep(time.Until(time.Unix(0, at)))
			fmt.Printf("%s %x\n", r.newestID(time.UnixMilli(now)), r.Domain())
		}
		os.Exit(0)
	}
	path := filepath.Join(t.TempDir(), "ring") // which all make at once
	procs := make([]*process, 8)
	for i := range procs {
		procs[i] = startProcess(t, path)
	}
	now, seen := time.Now(), make(map[string]bool)
	for n := range 20 {
		at := time.Now().Add(2 * time.Millisecond)
		for _, p := range procs {
			fmt.Fprintln(p.in, at.UnixNano(), now.UnixMilli())
		}
		first := procs[0].line()
		for _, p := range procs[1:] {
			if got := p.line(); got != first {
				t.Fatalf("round %d: %s and %s", n, first, got)
			}
		}
		if seen[first] || len(first) != 2*idLen+1+32 {
			t.Fatalf("round %d: %q", n, first)
		}
		seen[first] = true
		now = now.Add(rotation)
	}
}

// TestKilled ends a process that writes both files all the time, at any moment. What is in them
// is whole, and the next process goes on.
func TestKilled(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(childEnv); dir != "" {
		r, err := OpenRing(filepath.Join(dir, "ring"))
		c, err2 := OpenCache(filepath.Join(dir, "tickets"), CacheOptions{})
		if err := errors.Join(err, err2); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		for n := 0; ; n++ {
			err := r.Rotate(time.Now())
			c.put(testEntry(byte(n)), nil)
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
	dir := t.TempDir()
	ring, tickets := filepath.Join(dir, "ring"), filepath.Join(dir, "tickets")
	domain := mustRing(t, ring).Domain()
	n, last := 25, 0
	for range n {
		p := startProcess(t, dir)
		time.Sleep(time.Duration(rand.IntN(int(20 * time.Millisecond))))
		p.kill()
		b, err := readFile(ring)
		var keys ringKeys
		if err != nil || !keys.parse(b) || keys.domain != domain {
			t.Fatalf("the ring is bad: %v", err)
		}
		if len(keys.keys) < last {
			t.Fatalf("%d keys, and there were %d", len(keys.keys), last)
		}
		last = len(keys.keys)
		if b, err = readFile(tickets); err != nil {
			t.Fatal(err)
		}
		c := NewCache(CacheOptions{Entries: 128})
		if c.parse(b); b != nil && c.order.Len() == 0 {
			t.Fatal("the tickets are bad")
		}
	}
	if last == 0 {
		t.Error("nothing was written")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 2 {
		t.Errorf("left behind: %v", left)
	}
	if err := mustRing(t, ring).Rotate(time.Now()); err != nil {
		t.Error(err)
	}
	if c := mustCache(t, tickets); c.Clear() != nil {
		t.Error("not cleared")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func testEntry(key byte) *entry {
	return &entry{key: [32]byte{key}, end: time.Now().Add(time.Hour), ticket: bytes.Repeat([]byte{key}, ticketLen), psk: make([]byte, keyLen),
		local: gss.Name{Mech: toy.KrbOID, Text: "user:alice"}, peer: gss.Name{Mech: toy.KrbOID, Text: "user:files"}}
}

// A process that was stopped with a lock in its hand stops nobody else.
func TestHeldLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ring, tickets := filepath.Join(dir, "ring"), filepath.Join(dir, "tickets")
	w := krbWorld(t, Options{Cache: mustCache(t, tickets)}, Options{Ring: mustRing(t, ring)})
	w.must(w.shake(nil), false)
	w.must(w.shake(nil), true)
	hold := func(path string) *os.File {
		f, err := os.OpenFile(path+".lock", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	f := hold(ring)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ShareRing(ctx, ringFile(ring)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	w.must(w.shake(nil), true) // with the keys that it has
	f.Close()
	if _, err := OpenRing(ring); err != nil {
		t.Error(err)
	}
	start := time.Now()
	hold(tickets)
	w.must(w.shake(nil), false) // without the tickets
	if d := time.Since(start); d > 3*fileTime {
		t.Errorf("it took %v", d)
	}
}

// TestCacheProcesses lets six processes put tickets into one file at once; none is lost.
func TestCacheProcesses(t *testing.T) {
	t.Parallel()
	const each = 15
	if arg := os.Getenv(childEnv); arg != "" {
		var who int
		var path string
		fmt.Sscan(arg, &who, &path)
		c, err := OpenCache(path, CacheOptions{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		bufio.NewScanner(os.Stdin).Scan()
		for n := range each {
			e := testEntry(byte(who*each + n))
			c.put(e, nil)
			if got := c.take(e.key, time.Now(), func(*entry) bool { return true }); got == nil || !bytes.Equal(got.ticket, e.ticket) {
				fmt.Println("lost its own")
				os.Exit(1)
			}
		}
		fmt.Println("done")
		os.Exit(0)
	}
	path := filepath.Join(t.TempDir(), "tickets")
	procs := make([]*process, 6)
	for i := range procs {
		procs[i] = startProcess(t, fmt.Sprint(i, " ", path))
	}
	for _, p := range procs {
		fmt.Fprintln(p.in)
	}
	for _, p := range procs {
		if got := p.line(); got != "done" {
			t.Errorf("a process: %q", got)
		}
	}
	c := mustCache(t, path)
	if n := c.Len(); n != len(procs)*each {
		t.Errorf("%d tickets, want %d", n, len(procs)*each)
	}
	for n := range len(procs) * each {
		e := c.take(testEntry(byte(n)).key, time.Now(), func(*entry) bool { return true })
		if e == nil || e.uses != 2 || !bytes.Equal(e.ticket, testEntry(byte(n)).ticket) {
			t.Errorf("%d: %+v", n, e)
		}
	}
}
