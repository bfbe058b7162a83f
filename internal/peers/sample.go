package peers

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// GSSServer serves MIT's gss-server for service until the test ends, and returns
// the loopback port. By itself it listens on every address; it is run as by inetd
// instead, a process for each connection that a loopback listener of ours accepts.
// Give its keytab by env. log returns what the processes wrote so far.
func GSSServer(t testing.TB, env []string, service string, args ...string) (port int, log func() string) {
	t.Helper()
	Need(t, "gss-server")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stopped := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// A log each: gss-server buffers, and -logfile truncates.
			name := filepath.Join(dir, "log."+strconv.Itoa(i))
			wg.Go(func() {
				serveInetd(c.(*net.TCPConn), env, stopped, append([]string{"-inetd", "-logfile", name}, append(args, service)...))
			})
		}
	})
	t.Cleanup(func() {
		close(stopped)
		l.Close()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port, func() string {
		logs, _ := filepath.Glob(filepath.Join(dir, "log.*"))
		var all []byte
		for _, f := range logs {
			b, _ := os.ReadFile(f)
			all = append(all, b...)
		}
		return string(all)
	}
}

// serveInetd runs gss-server with c as its standard input until it ends or stopped is closed.
func serveInetd(c *net.TCPConn, env []string, stopped <-chan struct{}, args []string) {
	f, err := c.File() // a copy, in blocking mode, as gss-server expects
	c.Close()
	if err != nil {
		return
	}
	defer f.Close()
	cmd := exec.Command(path("gss-server"), args...)
	cmd.Env, cmd.Stdin = env, f
	if cmd.Start() != nil {
		return
	}
	f.Close()
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-stopped:
		cmd.Process.Kill()
		<-done
	}
}

// GSSClient runs MIT's gss-client against a loopback port and returns what it
// printed. It exits with 0 even if a MIC did not verify: look for "Signature
// verified." in the output.
func GSSClient(t testing.TB, env []string, port int, args ...string) (string, error) {
	t.Helper()
	return Run(t, env, "gss-client", append([]string{"-port", strconv.Itoa(port)}, args...)...)
}
