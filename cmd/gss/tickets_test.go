package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
)

// A client comes back with its ticket, to a server that was started again, while there is
// no KDC.
func TestTickets(t *testing.T) {
	dir := t.TempDir()
	r := kdctest.New(t)
	r.AddUser("user", "")
	r.AddService("host/localhost")
	env, err := r.Env(dir)
	if err != nil {
		t.Fatal(err)
	}
	keytab := filepath.Join(dir, "client.keytab")
	r.WriteKeytab(keytab, "user")
	env = peers.Env(append(env, "KRB5_CLIENT_KTNAME="+keytab)...)
	ring, tickets := filepath.Join(dir, "ring"), filepath.Join(dir, "tickets")
	send := func(port int, args ...string) (string, error) {
		return gssEnv(t, env, append([]string{"client", "--port", strconv.Itoa(port), "localhost", "host", "hello"}, args...)...)
	}
	for i, want := range []string{"Context: krb5, ", "Context: reauth+krb5, "} {
		server, port := startServer(t, env, "--ring", ring, "host@localhost")
		out, err := send(port, "--tickets", tickets)
		if err != nil || !strings.Contains(out, want) || !strings.Contains(out, "Signature verified.") {
			t.Fatalf("time %d: %v\n%s\n%s", i+1, err, out, server.output())
		}
		if i == 1 && eventually(func() bool { return strings.Contains(server.output(), "by reauth+krb5, ") }) != nil {
			t.Errorf("%s", server.output())
		}
		// Who does not ask for tickets does as before.
		if i == 0 {
			if out, err := send(port); err != nil || !strings.Contains(out, "Context: krb5, ") {
				t.Errorf("without tickets: %v\n%s", err, out)
			}
		}
		server.stop(t)
		r.Close()
	}
	for _, file := range []string{ring, tickets} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	// Names are those that "gss mechs --tickets" has.
	server, port := startServer(t, env, "--ring", ring, "--mech", "reauth+krb5", "host@localhost")
	if out, err := send(port, "--tickets", tickets, "--mech", "reauth+krb5"); err != nil || !strings.Contains(out, "Context: reauth+krb5, ") {
		t.Errorf("by name: %v\n%s", err, out)
	}
	if out, err := send(port, "--tickets", tickets, "--mech", "krb5"); err != nil || !strings.Contains(out, "Context: reauth+krb5, ") {
		t.Errorf("by the inner name: %v\n%s", err, out)
	}
	if out, err := send(port); err == nil {
		t.Errorf("without tickets, though they alone are accepted:\n%s", out)
	}
	if out, err := send(port, "--mech", "reauth+krb5"); err == nil {
		t.Errorf("tickets without a file for them:\n%s", out)
	}
	server.stop(t)
	// A server without has none.
	server, port = startServer(t, env, "host@localhost")
	if out, err := send(port, "--tickets", tickets); err == nil {
		t.Errorf("a server that does not know tickets:\n%s\n%s", out, server.output())
	}
	server.stop(t)
	for _, bad := range [][]string{
		{"server", "--ring", dir, "--port", "0", "host@localhost"},
		{"server", "--replay", dir, "--port", "0", "host@localhost"},
		{"client", "--tickets", dir, "localhost", "host", "x"},
	} {
		if out, err := gssEnv(t, env, bad...); err == nil {
			t.Errorf("%q:\n%s", bad, out)
		}
	}
}

// With --replay a server that was started again takes who wants no proof of it, at once,
// and knows who was there before.
func TestServerReplay(t *testing.T) {
	t.Parallel() // it waits
	const skew = 6 * time.Second
	r := kdctest.New(t)
	r.AddUser("user", "")
	r.AddService("host/localhost")
	dir := t.TempDir()
	env, err := r.Env(dir, fmt.Sprintf("clockskew = %d", int(skew.Seconds())))
	if err != nil {
		t.Fatal(err)
	}
	r.WriteCCache(filepath.Join(dir, "ccache"), "user", "host/localhost")
	env = peers.Env(env...)
	file := filepath.Join(dir, "replays")
	send := func(port int) error {
		out, err := gssEnv(t, env, "client", "--port", strconv.Itoa(port), "--no-mutual", "localhost", "host", "x")
		if err == nil && !strings.Contains(out, "Signature verified.") {
			t.Errorf("%s", out)
		}
		return err
	}
	server, port := startServer(t, env, "--replay", file, "host@localhost")
	if send(port) == nil {
		t.Error("a new file vouches for what was before it")
	}
	time.Sleep(skew + skew/10)
	tap, taken := tapTCP(t, port)
	if err := send(tap); err != nil {
		t.Fatalf("%v\n%s", err, server.output())
	}
	server.stop(t)

	server, port = startServer(t, env, "--replay", file, "host@localhost")
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(<-taken); err != nil {
		t.Fatal(err)
	}
	// error-code: KRB_AP_ERR_REPEAT, and KRB_AP_ERR_SKEW if starting a process took so long
	if b, _ := io.ReadAll(c); bytes.Contains(b, []byte("\xa6\x03\x02\x01\x25")) {
		t.Skip("this host is too slow")
	} else if !bytes.Contains(b, []byte("\xa6\x03\x02\x01\x22")) {
		t.Errorf("replayed: %x\n%s", b, server.output())
	}
	if err := send(port); err != nil {
		t.Errorf("a new one: %v\n%s", err, server.output())
	}
	server.stop(t)
}

// tapTCP passes one connection on to a port of this host and returns what its client sent.
func tapTCP(t *testing.T, to int) (port int, taken <-chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan []byte, 1)
	go func() {
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(to)))
		if err != nil {
			return
		}
		defer s.Close()
		go io.Copy(c, s)
		var b bytes.Buffer
		io.Copy(io.MultiWriter(s, &b), c)
		out <- b.Bytes()
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port, out
}

func TestMechs(t *testing.T) {
	out, err := gssEnv(t, nil, "mechs", "--tickets")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nkrb5 ", "\npkix ", "\nreauth+krb5  Kerberos 5, with tickets ", "\nreauth+pkix "} {
		if strings.Count(out, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, out)
		}
	}
	if out, err := gssEnv(t, nil, "mechs"); err != nil || strings.Contains(out, "reauth") {
		t.Errorf("%v\n%s", err, out)
	}
}
