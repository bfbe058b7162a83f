package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be gss itself, so that tests run it as users do:
// a process with an environment of its own.
func TestMain(m *testing.M) {
	if os.Getenv("GSS_TEST_RUN_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

func gssCommand(ctx context.Context, t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(append([]string(nil), env...), "GSS_TEST_RUN_MAIN=1", "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = time.Second
	return cmd
}

// gssExec runs gss in a process, at most 30 seconds, and returns all it printed.
func gssExec(t testing.TB, env []string, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := gssCommand(ctx, t, env, args...).CombinedOutput()
	return string(b), err
}

// gssEnv runs gss in this process, which is faster, with env for its environment.
func gssEnv(t testing.TB, env []string, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var b bytes.Buffer
	getenv := func(name string) (value string) {
		for _, s := range env { // the last one counts
			if v, ok := strings.CutPrefix(s, name+"="); ok {
				value = v
			}
		}
		return value
	}
	if code := run(ctx, &shell{strings.NewReader(""), &b, &b, getenv}, args); code != exitOK {
		err = fmt.Errorf("exit code %d", code)
	}
	return b.String(), err
}

// A daemon is a running gss server or gss kdc.
type daemon struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  bytes.Buffer // everything printed so far
	done chan struct{}
	err  error // of Wait, once done
}

// gssStart starts gss and waits until it has printed a line with ready in it,
// which it returns. The process is interrupted when the test ends.
func gssStart(t testing.TB, env []string, ready string, args ...string) (d *daemon, line string) {
	t.Helper()
	d = &daemon{cmd: gssCommand(context.Background(), t, env, args...), done: make(chan struct{})}
	r, w := io.Pipe()
	d.cmd.Stdout, d.cmd.Stderr = w, w
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		s := bufio.NewReader(r)
		for found := false; ; {
			l, err := s.ReadString('\n')
			d.mu.Lock()
			d.out.WriteString(l)
			d.mu.Unlock()
			if !found && strings.Contains(l, ready) {
				found = true
				lines <- strings.TrimSuffix(l, "\n")
			}
			if err != nil {
				close(lines)
				return
			}
		}
	}()
	go func() {
		d.err = d.cmd.Wait()
		w.Close()
		close(d.done)
	}()
	t.Cleanup(func() { d.stop(t) })
	select {
	case l, ok := <-lines:
		if ok {
			return d, l
		}
	case <-time.After(20 * time.Second):
	}
	t.Fatalf("gss %s did not get ready:\n%s", strings.Join(args, " "), d.output())
	return nil, ""
}

// stop interrupts the process, as a user does, and expects it to end well.
func (d *daemon) stop(t testing.TB) {
	select {
	case <-d.done:
		return
	default:
	}
	d.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-d.done:
		if d.err != nil {
			t.Errorf("after an interrupt: %v\n%s", d.err, d.output())
		}
	case <-time.After(10 * time.Second):
		d.cmd.Process.Kill()
		<-d.done
		t.Errorf("it did not end when interrupted:\n%s", d.output())
	}
}

func (d *daemon) output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}
