package redisring

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss/internal/peers"
)

// A server is a redis-server on a loopback port of its own, which keeps nothing
// unless args say so. It ends with the test.
type server struct {
	addr, dir string
	args      []string

	cmd *exec.Cmd
	out bytes.Buffer
}

func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	peers.Need(t, "redis-server")
	s := &server{dir: t.TempDir(), args: args}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// start starts the server, at the address that it had if it had one.
func (s *server) start(t testing.TB) {
	t.Helper()
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
		args := append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}, s.args...)
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
			_, v, _ := strings.Cut(c.Info(t.Context(), "server").Val(), "\nprocess_id:")
			fmt.Sscan(v, &pid)
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

// kill ends the server as a crash does.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *server) client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr})
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
