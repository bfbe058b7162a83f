package boltstate_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
)

var kills = flag.Int("kills", 100, "how often TestCrash kills each of two kinds of recipient")

// callers is how many goroutines of a recipient unseal, one message at a time.
const callers = 4

const crashEnv = "BOLTSTATE_CRASH"

// TestCrash kills recipients with SIGKILL, again and again, at any instant, while
// messages flow. What a recipient said before it died is in a pipe, and counts.
//
//   - No one-time message is ever released twice.
//   - A recipient that strikes, and then reports, loses what was struck and not yet
//     reported: at most one message per caller and kill.
//   - A recipient whose effect is in the transaction of the strike loses none.
//   - A context that was added is there for ever after.
//
// scripts/crash runs it for longer, and shows the numbers.
func TestCrash(t *testing.T) {
	if kind := os.Getenv(crashEnv); kind != "" {
		crashChild(kind) // does not return
	}
	n := *kills
	if testing.Short() {
		n = min(n, 10)
	}
	for _, kind := range []string{"report", "effect"} {
		t.Run(kind, func(t *testing.T) { crash(t, kind, n) })
	}
}

// A crashRun is the parent's side: it seals, kills and keeps the accounts.
type crashRun struct {
	t    *testing.T
	kind string
	path string

	alice *seal.Sender
	added []string // of contexts that the recipient said it has

	mu       sync.Mutex
	sealed   map[int][]byte // by number, until it is known what came of it
	all      [][]byte       // every message, to be replayed
	released map[int]int    // how often
	seen     map[int]bool   // refused as seen before
	begun    map[int]int    // in this life, and not reported; a replay counts
	cut      map[int]bool   // begun and not reported when a recipient was killed
	idle     int            // kills that found no message begun
}

func crash(t *testing.T, kind string, kills int) {
	start := time.Now()
	c := &crashRun{
		t: t, kind: kind, path: filepath.Join(t.TempDir(), "seal.db"),
		sealed: map[int][]byte{}, released: map[int]int{}, seen: map[int]bool{}, cut: map[int]bool{},
	}
	// The contexts are made and added here, and then handed to those who will die.
	aliceBob, bobAlice := establish("alice", "bob")
	f, err := boltstate.Open(c.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add(t.Context(), bobAlice); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if c.alice, err = seal.NewSender(aliceBob); err != nil {
		t.Fatal(err)
	}
	defer c.alice.Close()
	c.added = []string{"mail:alice@example.org"}

	for n := range kills {
		c.life(n, false)
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
	}
	c.life(kills, true)

	lost := 0
	for id := range c.all {
		switch {
		case c.released[id] > 1:
			t.Errorf("message %d was released %d times", id, c.released[id])
		case c.released[id] == 1:
		case !c.seen[id]:
			t.Errorf("message %d has no fate", id)
		case !c.cut[id]:
			t.Errorf("message %d was struck and not released, though nobody died over it", id)
		default:
			lost++
		}
	}
	if c.idle > kills*3/4 || lost > callers*kills {
		t.Errorf("%d kills found no message on its way, %d lost", c.idle, lost)
	}
	if kind == "effect" {
		for id, n := range c.effects() {
			if n != 1 {
				t.Errorf("message %d took effect %d times", id, n)
			}
		}
		if t.Failed() {
			return
		}
		t.Logf("effect in the strike's transaction: %d kills, %d messages, 0 lost, 0 done twice (%d done, and unreported at a kill); %d contexts, %v",
			kills, len(c.all), lost, len(c.added), time.Since(start).Round(time.Millisecond))
		return
	}
	if t.Failed() {
		return
	}
	t.Logf("strike, then report: %d kills, %d messages, 0 released twice, %d lost (struck, and unreported at a kill; at most %d per kill); %d contexts, %v",
		kills, len(c.all), lost, callers, len(c.added), time.Since(start).Round(time.Millisecond))
}

// life starts a recipient, feeds it, and kills it at a random instant; the last one
// gets all that is left, and ends by itself.
func (c *crashRun) life(n int, last bool) {
	t := c.t
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), crashEnv+"="+c.kind, crashEnv+"_PATH="+c.path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	hang := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer hang.Stop()

	if !last && n%8 == 0 { // while it opens the file, perhaps
		time.AfterFunc(rand.N(20*time.Millisecond), func() { cmd.Process.Kill() })
	}
	c.begun = map[int]int{}
	var fed sync.WaitGroup
	fed.Go(func() { c.feed(in, n, last) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if word == "ready" {
			for _, peer := range c.added {
				if !slices.Contains(strings.Fields(rest), peer) {
					t.Errorf("life %d: the context with %s is gone; there are %s", n, peer, rest)
				}
			}
			if !last && n%8 != 0 {
				time.AfterFunc(rand.N(25*time.Millisecond), func() { cmd.Process.Kill() })
			}
			continue
		}
		c.report(word, rest)
	}
	fed.Wait()
	err = cmd.Wait()
	if last && err != nil {
		t.Errorf("the last recipient: %v", err)
	}
	if !last && (err == nil || cmd.ProcessState.ExitCode() != -1) {
		t.Errorf("life %d ended by itself: %v", n, err)
	}
	busy := 0
	for id, n := range c.begun {
		if busy += n; n > 0 {
			c.cut[id] = true
		}
	}
	if busy > callers {
		t.Errorf("life %d: %d messages begun at once", n, busy)
	}
	if busy == 0 {
		c.idle++
	}
}

// feed sends what has no fate yet, and then new messages, and old ones again, until
// nobody reads them.
func (c *crashRun) feed(in io.WriteCloser, n int, last bool) {
	defer in.Close()
	send := func(id int, m []byte) bool {
		_, err := fmt.Fprintf(in, "message %d %x\n", id, m)
		return err == nil
	}
	if !last {
		peer := fmt.Sprintf("peer%d", n)
		_, bob := establish(peer, "bob")
		s, err := seal.NewState(bob)
		if err != nil {
			c.t.Error(err)
			return
		}
		defer s.Close()
		if _, err := fmt.Fprintf(in, "context %x\n", s.Append(nil)); err != nil {
			return
		}
	}
	c.mu.Lock()
	var left []int
	for id := range c.sealed {
		left = append(left, id)
	}
	c.mu.Unlock()
	slices.Sort(left)
	for _, id := range left {
		c.mu.Lock()
		m := c.sealed[id]
		c.mu.Unlock()
		if !send(id, m) {
			return
		}
	}
	for n := 0; last && n < min(200, len(c.all)); n++ {
		if id := rand.IntN(len(c.all)); !send(id, c.all[id]) {
			return
		}
	}
	for !last {
		id := len(c.all)
		var body [8]byte
		binary.BigEndian.PutUint64(body[:], uint64(id))
		m, err := c.alice.Seal(nil, body[:], &seal.Options{OneTime: true})
		if err != nil {
			c.t.Error(err)
			return
		}
		c.all = append(c.all, m)
		c.mu.Lock()
		c.sealed[id] = m
		c.mu.Unlock()
		replay := rand.IntN(len(c.all))
		if !send(id, m) || id%4 == 0 && !send(replay, c.all[replay]) {
			return
		}
		time.Sleep(200 * time.Microsecond) // so that not all of it is left for the next
	}
}

func (c *crashRun) report(word, rest string) {
	if word == "added" {
		c.added = append(c.added, rest)
		return
	}
	number, why, _ := strings.Cut(rest, " ")
	id, err := strconv.Atoi(number)
	if err != nil {
		c.t.Errorf("the recipient says %s %s", word, rest)
		return
	}
	if word == "begun" {
		c.begun[id]++
		return
	}
	c.begun[id]--
	switch word {
	case "released":
		c.released[id]++
	case "seen":
		c.seen[id] = true
	default:
		c.t.Errorf("message %d: %s %s", id, word, why)
	}
	c.mu.Lock()
	delete(c.sealed, id)
	c.mu.Unlock()
}

// effects returns how often each message took effect.
func (c *crashRun) effects() []uint64 {
	f, err := boltstate.Open(c.path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		c.t.Fatal(err)
	}
	db, err := bolt.Open(c.path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	counts := make([]uint64, len(c.all))
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("effects")).ForEach(func(k, v []byte) error {
			counts[binary.BigEndian.Uint64(k)] = binary.BigEndian.Uint64(v)
			return nil
		})
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return counts
}

// crashChild is the recipient. Whatever it says it says with one write.
func crashChild(kind string) {
	say := func(format string, args ...any) { os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...)) }
	die := func(err error) {
		fmt.Fprintln(os.Stderr, "recipient:", err)
		os.Exit(1)
	}
	ctx := context.Background()
	f, err := boltstate.Open(os.Getenv(crashEnv+"_PATH"), nil)
	if err != nil {
		die(err)
	}
	contexts, err := f.Contexts(ctx)
	if err != nil {
		die(err)
	}
	var peers []string
	for _, c := range contexts {
		peers = append(peers, c.Peer.Text)
	}
	say("ready %s", strings.Join(peers, " "))

	unseal := func(id string, m []byte) error {
		_, err := f.Recipient().Unseal(ctx, nil, m, &seal.UnsealOptions{Require: seal.OneTime})
		return err
	}
	if kind == "effect" {
		unseal = func(id string, m []byte) error {
			return f.Once(ctx, m, nil, func(tx *bolt.Tx, got seal.Message) error {
				b, err := tx.CreateBucketIfNotExists([]byte("effects"))
				if err != nil {
					return err
				}
				n := uint64(0)
				if v := b.Get(got.Body); v != nil {
					n = binary.BigEndian.Uint64(v)
				}
				return b.Put(got.Body, binary.BigEndian.AppendUint64(nil, n+1))
			})
		}
	}
	type job struct {
		id string
		m  []byte
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for j := range jobs {
				say("begun %s", j.id)
				switch err := unseal(j.id, j.m); {
				case err == nil:
					say("released %s", j.id)
				case errors.Is(err, gss.DuplicateToken):
					say("seen %s", j.id)
				default:
					say("failed %s %v", j.id, err)
				}
			}
		})
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		b, err := hex.DecodeString(w[len(w)-1])
		if err != nil {
			die(err)
		}
		if w[0] == "message" {
			jobs <- job{w[1], b}
			continue
		}
		s, err := seal.ParseState(b)
		if err != nil {
			die(err)
		}
		wg.Go(func() {
			if _, err := f.AddState(ctx, s); err != nil {
				die(err)
			}
			say("added %s", s.Peer().Text)
		})
	}
	close(jobs)
	wg.Wait()
	if err := f.Close(); err != nil {
		die(err)
	}
	os.Exit(0)
}
