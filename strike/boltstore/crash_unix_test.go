//go:build unix

package boltstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/strike"
)

// The children of the tests below are this test binary again, with these variables.
const (
	pathEnv = "BOLTSTORE_PATH" // a file to strike in
	modeEnv = "BOLTSTORE_MODE"

	// The race detector waits a second at the end.
	quickExit = "GORACE=atexit_sleep_ms=0"
)

// childKeys is how many keys a child strikes at most, four at a time.
const childKeys = 2000

func TestMain(m *testing.M) {
	if path := os.Getenv(pathEnv); path != "" {
		os.Exit(strikeForever(path))
	}
	os.Exit(m.Run())
}

// strikeForever strikes keys 0, 1, … and prints each whose strike returned nil, and
// each error, until it is killed or has struck the last.
func strikeForever(path string) int {
	mode := os.Getenv(modeEnv)
	if limit, ok := strings.CutPrefix(mode, "limit "); ok {
		signal.Ignore(syscall.SIGXFSZ)
		n, _ := strconv.ParseUint(limit, 10, 64)
		var l syscall.Rlimit
		setTo(&l.Cur, n)
		setTo(&l.Max, n)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			fmt.Println("setrlimit", err)
			return 1
		}
	}
	s, err := Open(path, Options{Shared: mode == "shared"})
	if err != nil {
		fmt.Println("open", classify(err), err)
		return 0
	}
	from := time.Now()
	fmt.Println("from", from.UnixNano())
	keys := childKeys
	if mode == "few" {
		keys = 24
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := g; n < keys; n += 4 {
				err := s.Strike(context.Background(), key(n), from, from.Add(time.Hour))
				mu.Lock()
				if err == nil {
					os.Stdout.WriteString("first " + strconv.Itoa(n) + "\n")
				} else {
					fmt.Println("error", classify(err), err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	s.Close()
	return 0
}

// setTo sets a field whose type differs between systems.
func setTo[T int64 | uint64](field *T, n uint64) { *field = T(n) }

func classify(err error) string {
	for _, e := range []error{ErrCorrupt, ErrLocked, strike.ErrBroken, strike.ErrFull, strike.ErrUnsure, strike.ErrSeen} {
		if errors.Is(err, e) {
			return strings.ReplaceAll(e.Error(), " ", "_")
		}
	}
	return "untyped"
}

// A transcript is what a child printed.
type transcript struct {
	from   time.Time
	won    []int
	errors []string
}

func read(t *testing.T, out []byte) (tr transcript) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "from":
			ns, err := strconv.ParseInt(rest, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			tr.from = time.Unix(0, ns)
		case "first":
			n, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			tr.won = append(tr.won, n)
		case "error", "open":
			tr.errors = append(tr.errors, rest)
		case "PASS":
		default:
			t.Errorf("a child says: %s", lines.Text())
		}
	}
	return tr
}

// again opens what a child left behind and strikes what it won.
func (tr transcript) again(t *testing.T, what, path string) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	defer s.Close()
	var wg sync.WaitGroup
	for _, n := range tr.won {
		wg.Go(func() {
			if err := s.Strike(context.Background(), key(n), tr.from, tr.from.Add(time.Hour)); !errors.Is(err, strike.ErrSeen) {
				t.Errorf("%s: key %d: %v, want ErrSeen", what, n, err)
			}
		})
	}
	wg.Wait()
	// And the store is in order: nobody is first twice among the rest, either.
	now := time.Now()
	for range 2 {
		err = s.Strike(context.Background(), key(-1), now, now.Add(time.Hour))
	}
	if !errors.Is(err, strike.ErrSeen) {
		t.Errorf("%s: a new key, twice: %v", what, err)
	}
}

// TestKill kills processes that strike, at any time, and starts others in the same
// file: what was won stays won.
func TestKill(t *testing.T) {
	kills := 15
	if *soak {
		kills = 1000
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	won := 0
	for n := range kills {
		path := testPath(t)
		mode := []string{"", "shared"}[n%2]
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), quickExit, pathEnv+"="+path, modeEnv+"="+mode)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(100 * time.Millisecond))))
		cmd.Process.Kill()
		cmd.Wait()
		tr := read(t, whole(out.Bytes()))
		for _, e := range tr.errors {
			t.Errorf("kill %d: %s", n, e)
		}
		won += len(tr.won)
		tr.again(t, fmt.Sprintf("kill %d", n), path)
	}
	t.Logf("%d kills, %d keys", kills, won)
	if won == 0 {
		t.Error("the run shows nothing")
	}
}

// whole drops a last line that is not whole.
func whole(out []byte) []byte { return out[:bytes.LastIndexByte(out, '\n')+1] }

// TestFaults makes the system calls of a child fail, one after the other, or kills
// it instead. Whatever fails, what the child won stays won, its error is typed, and
// the file is good afterwards.
func TestFaults(t *testing.T) {
	peers.Need(t, "strace")
	type fault struct {
		call, inject string
		want         string // in the error
	}
	faults := []fault{
		{"fdatasync", "error=EIO", "input/output error"},
		{"pwrite64", "error=EIO", "input/output error"},
		{"pwrite64", "error=ENOSPC", "no space left on device"},
		{"pwrite64", "signal=KILL", ""},
		{"fdatasync", "signal=KILL", ""},
		{"ftruncate", "error=ENOSPC", "no space left on device"},
		{"fsync", "error=EIO", "input/output error"},
		{"openat", "error=EROFS", "read-only file system"},
		{"openat", "error=EACCES", "permission denied"},
		{"linkat", "signal=KILL", ""},
		{"flock", "error=ENOLCK", "no locks available"},
		{"mmap", "error=ENOMEM", "cannot allocate memory"},
	}
	deepest := 8
	if *soak {
		deepest = 80
	}
	failed, killed, won := 0, 0, 0
	for _, f := range faults {
		for when := 1; when <= deepest; when += 1 + when/3 {
			what := fmt.Sprintf("%s %d %s", f.call, when, f.inject)
			path := testPath(t)
			// The file is the only one that the calls are counted and traced for, whichever
			// its name is while it is made.
			dir := filepath.Dir(path)
			tracked := []string{"-P", path}
			if f.call == "linkat" || f.call == "fsync" || f.call == "mmap" {
				tracked = []string{"-P", path, "-P", dir}
			}
			args := append([]string{"-f", "-qq", "-o", filepath.Join(t.TempDir(), "trace")}, tracked...)
			args = append(args, "-e", "trace="+f.call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", f.call, f.inject, when), os.Args[0])
			cmd := exec.Command("strace", args...)
			cmd.Env = append(os.Environ(), quickExit, pathEnv+"="+path, modeEnv+"=few")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			tr := read(t, whole(out.Bytes()))
			won += len(tr.won)
			switch {
			case f.want == "" && err != nil:
				killed++
			case f.want != "" && len(tr.errors) > 0:
				failed++
			}
			for _, e := range tr.errors {
				if !strings.HasPrefix(e, "strike:_store_is_broken ") || !strings.Contains(e, f.want) || f.want == "" {
					t.Errorf("%s: %s", what, e)
				}
			}
			tr.again(t, what, path)
			if err == nil && len(tr.errors) == 0 && when > 1 {
				break // there are fewer such calls than that
			}
		}
	}
	t.Logf("%d runs failed, %d were killed, %d keys won", failed, killed, won)
	if failed < 12 || killed < 6 || won < 50 {
		t.Error("the run shows little")
	}
}

// A file may not grow beyond a limit: the write that would is short.
func TestShortWrite(t *testing.T) {
	for _, limit := range []int{1000, 16384, 20000, 30001, 70000, 1 << 17} {
		path := testPath(t)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), quickExit, pathEnv+"="+path, modeEnv+"=limit "+strconv.Itoa(limit))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("limit %d: %v\n%s", limit, err, out)
			continue
		}
		tr := read(t, out)
		if len(tr.errors) == 0 {
			t.Errorf("limit %d: no error", limit)
		}
		for _, e := range tr.errors {
			if !strings.HasPrefix(e, "strike:_store_is_broken ") || !strings.Contains(e, "file too large") {
				t.Errorf("limit %d: %s", limit, e)
			}
		}
		tr.again(t, fmt.Sprintf("limit %d", limit), path)
	}
}

func TestPipe(t *testing.T) {
	path := testPath(t)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{LockTimeout: time.Second}); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("a pipe: %v", err)
	}
}
