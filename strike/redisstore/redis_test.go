package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// need skips the test unless redis-server is there; with GSS_REQUIRE_PEERS=1 it
// fails instead.
func need(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err == nil {
		return
	}
	const reason = "missing peer: redis-server is not installed (Debian: apt-get install redis-server)"
	if os.Getenv("GSS_REQUIRE_PEERS") == "1" {
		t.Fatal(reason + ", and GSS_REQUIRE_PEERS=1")
	}
	t.Skip(reason)
}

// A server is a redis-server on a loopback port of its own, which keeps nothing
// unless args say so. It ends with the test.
type server struct {
	addr string
	dir  string
	args []string

	cmd *exec.Cmd
	out bytes.Buffer
}

func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), args: args}
	s.start(t)
	t.Cleanup(func() { s.kill() })
	return s
}

// start starts the server, at the address that it had if it had one.
func (s *server) start(t testing.TB) {
	t.Helper()
	need(t)
	for try := 1; ; try++ {
		if s.addr == "" || try > 1 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s.addr = l.Addr().String()
			l.Close()
		}
		_, port, _ := net.SplitHostPort(s.addr)
		args := append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no", "--repl-diskless-sync-delay", "0"}, s.args...)
		s.out.Reset()
		s.cmd = exec.Command("redis-server", args...)
		s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c := redis.NewClient(&redis.Options{Addr: s.addr})
		var err error
		for range 500 {
			if err = c.Ping(t.Context()).Err(); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		pid := 0
		if err == nil {
			fmt.Sscan(field(c.Info(t.Context(), "server").Val(), "process_id"), &pid)
		}
		c.Close()
		if pid == s.cmd.Process.Pid {
			return
		}
		s.kill() // or somebody else took the port
		if try == 3 {
			t.Fatalf("redis-server: %v\n%s", err, &s.out)
		}
	}
}

func field(info, name string) string {
	_, v, _ := strings.Cut(info, "\n"+name+":")
	v, _, _ = strings.Cut(v, "\r")
	return v
}

// kill ends the server as a crash does.
func (s *server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

func (s *server) client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr, PoolSize: 64})
	t.Cleanup(func() { c.Close() })
	return c
}

// do runs a command and fails the test if it fails.
func (s *server) do(t testing.TB, args ...any) any {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer c.Close()
	v, err := c.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

// open opens a store that vouches as soon as it is returned.
func (s *server) open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Skew == 0 {
		o.Skew = 300 * time.Millisecond
	}
	st, err := Open(t.Context(), s.client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	time.Sleep(time.Until(st.Since()) + time.Millisecond)
	return st
}

func (s *server) replicaOf(t testing.TB, master *server) {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.addr)
	s.do(t, "REPLICAOF", host, port)
	for range 1000 {
		if field(s.do(t, "INFO", "replication").(string), "master_link_status") == "up" {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the replica does not follow its master")
}

// A gate passes what is sent to a server, and on demand swallows what it answers.
type gate struct {
	addr    string
	swallow func(answer []byte) bool
}

func newGate(t *testing.T, to string) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			stop := context.AfterFunc(ctx, func() { in.Close(); out.Close() })
			go func() {
				defer stop()
				defer in.Close()
				defer out.Close()
				buf := make([]byte, 1<<16)
				for {
					n, err := out.Read(buf)
					if err != nil || g.swallow != nil && g.swallow(buf[:n]) {
						return
					}
					in.Write(buf[:n])
				}
			}()
			go func() {
				defer out.Close()
				buf := make([]byte, 1<<16)
				for {
					n, err := in.Read(buf)
					if err != nil {
						return
					}
					out.Write(buf[:n])
				}
			}()
		}
	}()
	return g
}
