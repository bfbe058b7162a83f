package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// A tallyServer is a process that serves the tally.
type tallyServer struct {
	name   string
	addr   string
	cmd    *exec.Cmd
	orders *json.Encoder
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr tail
}

// startTally starts a server, which is this program once more, and waits until it
// is ready. It ends when its standard input does, whatever becomes of this process.
func startTally(name string, c *tallyConfig) (*tallyServer, error) {
	s, err := launchTally(name, c)
	if err != nil {
		return nil, err
	}
	return s, s.ready()
}

// launchTally does not wait.
func launchTally(name string, c *tallyConfig) (_ *tallyServer, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &tallyServer{name: name, cmd: exec.Command(exe, "demo", "reauth")}
	s.cmd.Env = append(os.Environ(), tallyEnv+"=1")
	s.cmd.Stderr = &s.stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.stdout, s.orders = bufio.NewReader(out), json.NewEncoder(s.stdin)
	s.orders.Encode(c) // the pipe has room for it; an error is that it is gone, which ready finds out
	return s, nil
}

// ready waits until the server has said where it listens.
func (s *tallyServer) ready() error {
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		s.kill()
		return fmt.Errorf("server %s did not get ready: %w\n%s", s.name, err, s.stderr.String())
	}
	s.addr = strings.TrimSpace(line)
	return nil
}

// order sends an order and waits until it was obeyed.
func (s *tallyServer) order(o tallyOrder) error {
	if err := s.orders.Encode(o); err != nil {
		return err
	}
	line, err := s.stdout.ReadString('\n')
	if err == nil && strings.TrimSpace(line) != string(o) {
		err = errors.New("it said " + line)
	}
	if err != nil {
		return fmt.Errorf("server %s: %w\n%s", s.name, err, s.stderr.String())
	}
	return nil
}

// kill is kill -9. The process is gone when it returns.
func (s *tallyServer) kill() error {
	s.cmd.Process.Kill()
	err := s.cmd.Wait()
	s.stdin.Close()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.Exited() {
		return fmt.Errorf("server %s had ended by itself: %v\n%s", s.name, err, s.stderr.String())
	}
	return nil
}

func (s *tallyServer) pid() int { return s.cmd.Process.Pid }

// A tail is the end of what a process said.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(len(t.b)-4096, 0):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

// A port is where clients come, and where each finds one of the servers that are up:
// what a load balancer is.
type port struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	servers []string      // addresses; the next one's turn in front
	changed chan struct{} // closed when there is a server more
	conns   map[net.Conn]bool
}

func openPort() (*port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &port{l: l, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.forward(c) })
		}
	})
	return p, nil
}

func (p *port) up(s *tallyServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, s.addr)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *port) down(s *tallyServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = slices.DeleteFunc(p.servers, func(a string) bool { return a == s.addr })
}

// next returns a server, each in turn; "" if there is none.
func (p *port) next() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.servers) == 0 {
		return ""
	}
	addr := p.servers[0]
	p.servers = append(p.servers[1:], addr)
	return addr
}

// dial connects to the port, when there is a server behind it: otherwise the time
// that a server takes to start would be a handshake's.
func (p *port) dial(ctx context.Context) (net.Conn, error) {
	for {
		p.mu.Lock()
		none, changed := len(p.servers) == 0, p.changed
		p.mu.Unlock()
		if !none {
			return new(net.Dialer).DialContext(ctx, "tcp", p.l.Addr().String())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// forward copies both ways until either end is gone.
func (p *port) forward(c net.Conn) {
	defer p.drop(c)
	addr := p.next()
	if !p.keep(c) || addr == "" {
		return
	}
	s, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return // it was killed just now; the client comes again
	}
	defer p.drop(s)
	if !p.keep(s) {
		return
	}
	done := make(chan struct{})
	go func() {
		io.Copy(s, c)
		p.drop(s)
		close(done)
	}()
	io.Copy(c, s)
	p.drop(c)
	<-done
}

// keep is false if the port is closed.
func (p *port) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns != nil {
		p.conns[c] = true
	}
	return p.conns != nil
}

func (p *port) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *port) close() {
	p.l.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
}
