package redisring

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/strike"
)

var files = gss.Service("host", "files.example.org")

func open(t testing.TB, s *server, o Options) *reauth.Ring {
	t.Helper()
	r, err := Open(t.Context(), s.client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func host(o reauth.Options) *reauth.Mech {
	return reauth.New(&toy.Krb{Party: toy.NewParty("files")}, o)
}

func user(name string) *reauth.Mech {
	return reauth.New(&toy.Krb{Party: toy.NewParty(name)}, reauth.Options{})
}

// shake makes a context, and says whether it was resumed and how many tokens that took.
func shake(t testing.TB, client, server gss.Mechanism) (resumed bool, tokens int) {
	t.Helper()
	i, err := client.Initiate(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := server.Accept(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := conformance.Pump(context.Background(), i, a)
	defer tr.Close()
	if err := tr.Err(); err != nil {
		t.Fatal(err)
	}
	_, resumed = tr.Acceptor.(*reauth.Context)
	return resumed, len(tr.Tokens)
}

func want(t testing.TB, what string, client, server gss.Mechanism, resumed bool) {
	t.Helper()
	if got, _ := shake(t, client, server); got != resumed {
		t.Errorf("%s: resumed: %v, want %v", what, got, resumed)
	}
}

func TestTwoHosts(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	first, second := open(t, s, Options{}), open(t, s, Options{})
	if first.Domain() != second.Domain() {
		t.Error("domains differ")
	}
	a, b, alice := host(reauth.Options{Ring: first}), host(reauth.Options{Ring: second}), user("alice")
	want(t, "the first time", alice, a, false)
	for range 5 {
		want(t, "at b", alice, b, true)
		if err := first.Rotate(time.Now()); err != nil {
			t.Fatal(err)
		}
		want(t, "at a, after a rotation", alice, a, true)
	}
	want(t, "at b", alice, b, true)
	other := host(reauth.Options{Ring: open(t, s, Options{Prefix: "other:"})})
	want(t, "at another service", alice, other, false)
	alice = user("alice")
	want(t, "anew", alice, a, false)
	if err := first.Forget(); err != nil {
		t.Fatal(err)
	}
	want(t, "after Forget", alice, a, false)
	restarted := host(reauth.Options{Ring: open(t, s, Options{})})
	want(t, "at a new process", alice, restarted, true)
}

// A store is used if it is of the ring's domain.
func TestStoreDomain(t *testing.T) {
	t.Parallel()
	r := open(t, startServer(t), Options{})
	store := strike.NewMemory(strike.MemoryOptions{})
	time.Sleep(2 * time.Millisecond) // until the store vouches for times of now
	for domain, tokens := range map[[16]byte]int{{}: 3, {1}: 3, r.Domain(): 2} {
		h, alice := host(reauth.Options{Ring: r, Store: store, StoreDomain: domain}), user("alice")
		want(t, "the first time", alice, h, false)
		if resumed, n := shake(t, alice, h); !resumed || n != tokens {
			t.Errorf("%x: resumed: %v in %d tokens, want %d", domain, resumed, n, tokens)
		}
	}
}

// Whatever becomes of the value, the answer is full authentication.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	running, alice := host(reauth.Options{Ring: open(t, s, Options{})}), user("alice")
	want(t, "the first time", alice, running, false)
	good := s.do(t, "GET", "gss:ring").(string)
	if !strings.HasPrefix(good, "gss reauth ring 1") {
		t.Fatalf("%q", good)
	}
	for what, lose := range map[string]func(){
		"DEL":      func() { s.do(t, "DEL", "gss:ring") },
		"FLUSHALL": func() { s.do(t, "FLUSHALL") },
		"empty":    func() { s.do(t, "SET", "gss:ring", "") },
		"cut":      func() { s.do(t, "SET", "gss:ring", good[:len(good)-1]) },
		"longer":   func() { s.do(t, "APPEND", "gss:ring", "x") },
		"flipped":  func() { s.do(t, "SETRANGE", "gss:ring", 60, "????????") },
		"huge":     func() { s.do(t, "SETRANGE", "gss:ring", 1<<20, "x") },
		"restart":  func() { s.kill(); s.start(t) },
	} {
		lose()
		anew := host(reauth.Options{Ring: open(t, s, Options{})})
		want(t, what, alice, anew, false)
		want(t, what+": then", alice, anew, true)
		want(t, what+": at one that ran on", alice, running, true) // which asks for the unknown key
		if n := len(s.do(t, "GET", "gss:ring").(string)); n > len(good) {
			t.Errorf("%s: %d octets are kept", what, n)
		}
	}
	// Not a ring at all: somebody else's data is not overwritten.
	s.do(t, "DEL", "gss:ring")
	s.do(t, "LPUSH", "gss:ring", "x")
	if _, err := Open(t.Context(), s.client(t), Options{}); err == nil || strings.Contains(err.Error(), good[20:60]) {
		t.Error(err)
	}
	want(t, "with the keys that it has", alice, running, true)
	if n := s.do(t, "LLEN", "gss:ring"); n != int64(1) {
		t.Errorf("%v elements", n)
	}
}

func TestRefusedServers(t *testing.T) {
	t.Parallel()
	evicts := startServer(t, "--maxmemory-policy", "allkeys-lru")
	if _, err := Open(t.Context(), evicts.client(t), Options{}); !errors.Is(err, ErrEviction) {
		t.Errorf("it evicts: %v", err)
	}
	s := startServer(t)
	r := open(t, s, Options{})
	s.do(t, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
	if err := r.Rotate(time.Now()); !errors.Is(err, ErrEviction) {
		t.Errorf("changed later: %v", err)
	}
	s.do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	_, port, _ := net.SplitHostPort(s.addr)
	replica := startServer(t, "--replicaof", "127.0.0.1 "+port)
	if _, err := Open(t.Context(), replica.client(t), Options{}); !errors.Is(err, ErrReplica) {
		t.Errorf("a replica: %v", err)
	}
	s.do(t, "CONFIG", "SET", "requirepass", "x")
	if _, err := Open(t.Context(), s.client(t), Options{}); !redis.HasErrorPrefix(err, "NOAUTH") {
		t.Errorf("a server with a password: %v", err)
	}
}

// Hosts whose Redis has gone honour tickets, and issue them under the keys that they
// have.
func TestServerGone(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	now := time.Now()
	ring := open(t, s, Options{})
	h := host(reauth.Options{Ring: ring, Time: func() time.Time { return now }})
	alice := reauth.New(&toy.Krb{Party: toy.NewParty("alice")}, reauth.Options{Time: func() time.Time { return now }})
	want(t, "the first time", alice, h, false)
	s.kill()
	want(t, "without Redis", alice, h, true)
	if err := ring.Rotate(now); err == nil {
		t.Error("rotated without Redis")
	}
	if _, err := Open(t.Context(), s.client(t), Options{}); err == nil {
		t.Error("opened without Redis")
	}
	now = now.Add(12 * time.Hour)
	want(t, "the last ticket", alice, h, true)
	alice = reauth.New(&toy.Krb{Party: toy.NewParty("alice")}, reauth.Options{Time: func() time.Time { return now }})
	want(t, "when a key is due", alice, h, false)
	want(t, "no ticket was issued", alice, h, false)
	s.start(t)
	time.Sleep(1100 * time.Millisecond) // until it is asked again
	want(t, "when Redis is there again", alice, h, false)
	want(t, "then", alice, h, true)
}

// A Redis that accepts and never answers holds nobody up for long.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ring := open(t, s, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ContextTimeoutEnabled: true})
	defer client.Close()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, client, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("Open took %v", d)
	}
	start = time.Now()
	if _, err := Open(t.Context(), client, Options{}); err == nil {
		t.Error("opened")
	}
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("Open took %v", d)
	}
	// A host that is up while Redis hangs, and clients with tickets that it cannot open.
	h, alice, bob := host(reauth.Options{Ring: ring}), user("alice"), user("bob")
	want(t, "the first time", alice, h, false)
	want(t, "elsewhere", bob, host(reauth.Options{}), false)
	s.do(t, "CLIENT", "PAUSE", 60000, "ALL")
	var wg sync.WaitGroup
	wg.Go(func() {
		start := time.Now()
		want(t, "a ticket of elsewhere", bob, h, false)
		if d := time.Since(start); d < time.Second || d > 4*time.Second {
			t.Errorf("it took %v", d)
		}
	})
	time.Sleep(50 * time.Millisecond)
	start = time.Now()
	for range 20 {
		want(t, "meanwhile", alice, h, true)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("20 resumptions took %v", d)
	}
	wg.Wait()
}

const childEnv = "REDISRINGTEST_CHILD"

// TestProcesses lets eight processes meet a ring whose key is due at the same moment: they
// issue tickets under the same new one.
func TestProcesses(t *testing.T) {
	if addr := os.Getenv(childEnv); addr != "" {
		child(addr)
	}
	s := startServer(t)
	type process struct {
		in  io.Writer
		out *bufio.Scanner
	}
	var procs []process
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcesses$", "-test.count=1")
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childEnv+"="+s.addr)
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
		t.Cleanup(func() {
			in.Close() // and it ends
			if err := cmd.Wait(); err != nil {
				t.Errorf("a process: %v", err)
			}
		})
		procs = append(procs, process{in, bufio.NewScanner(out)})
	}
	line := func(p process) string {
		p.out.Scan()
		return p.out.Text()
	}
	for _, p := range procs {
		if got := line(p); got != "ready" {
			t.Fatalf("a process did not start: %q", got)
		}
	}
	now, seen := time.Now(), make(map[string]bool)
	for n := range 30 {
		at := time.Now().Add(2 * time.Millisecond)
		for _, p := range procs {
			fmt.Fprintln(p.in, at.UnixNano(), now.UnixMilli())
		}
		first := line(procs[0])
		for _, p := range procs[1:] {
			if got := line(p); got != first {
				t.Fatalf("round %d: %s and %s", n, first, got)
			}
		}
		if seen[first] || len(first) != 16 {
			t.Fatalf("round %d: %q", n, first)
		}
		seen[first] = true
		now = now.Add(12 * time.Hour)
	}
}

// child issues a ticket when it is told to, and says under which key: that is in
// the RESUME that it is used for.
func child(addr string) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	ring, err := Open(context.Background(), client, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var at, ms int64
		fmt.Sscan(s.Text(), &at, &ms)
		clock := func() time.Time { return time.UnixMilli(ms) }
		h := host(reauth.Options{Ring: ring, Time: clock})
		alice := reauth.New(&toy.Krb{Party: toy.NewParty("alice")}, reauth.Options{Time: clock})
		time.Sleep(time.Until(time.Unix(0, at)))
		id, err := issue(alice, h)
		if err != nil {
			id = err.Error()
		}
		fmt.Println(id)
	}
	os.Exit(0)
}

func issue(client, server gss.Mechanism) (id string, err error) {
	ctx := context.Background()
	i, err := client.Initiate(files, nil)
	if err != nil {
		return "", err
	}
	a, err := server.Accept(nil)
	if err != nil {
		return "", err
	}
	tr := conformance.Pump(ctx, i, a)
	defer tr.Close()
	if err := tr.Err(); err != nil {
		return "", err
	}
	again, err := client.Initiate(files, nil)
	if err != nil {
		return "", err
	}
	defer again.Close()
	out, _, err := again.Step(ctx, nil)
	if err != nil {
		return "", err
	}
	_, tok, err := gss.ParseToken(out)
	const before = 1 + 1 + 1 + 32 + 2 // type, kind, group, nonce, length
	if err != nil || len(tok) < before+8 || !bytes.Equal(tok[:3], []byte{0x11, 1, 0}) {
		return "", fmt.Errorf("no RESUME: %x, %v", tok, err)
	}
	return fmt.Sprintf("%x", tok[before:before+8]), nil
}
