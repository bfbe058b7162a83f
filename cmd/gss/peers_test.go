package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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

// A realmCase makes a realm with the user "user" and the service host/localhost
// that knows a single enctype, and returns a client's and service's environment.
type realmCase struct {
	name string
	env  func(t *testing.T, id int, enctype string) []string
}

var realmCases = []realmCase{
	{"MIT KDC", func(t *testing.T, _ int, enctype string) []string {
		peers.Need(t, "kinit")
		r := peers.MITRealm(t, peers.Options{Enctype: enctype, LibDefaults: []string{"forwardable = true"}})
		return r.Env("KRB5CCNAME=FILE:"+r.Kinit(t, "user"), "KRB5_CLIENT_KTNAME=/nonexistent")
	}},
	{"MIT KDC, client keytab", func(t *testing.T, _ int, enctype string) []string {
		return peers.MITRealm(t, peers.Options{Enctype: enctype}).Env()
	}},
	{"kdctest", kdctestEnv},
}

func kdctestEnv(t *testing.T, id int, enctype string) []string {
	r := kdctest.New(t, kdctest.Options{Enctypes: []int32{int32(id)}})
	r.AddUser("user", "")
	r.AddService("host/localhost")
	dir := t.TempDir()
	env, err := r.Env(dir, "permitted_enctypes = "+enctype, "forwardable = true")
	if err != nil {
		t.Fatal(err)
	}
	keytab := filepath.Join(dir, "client.keytab")
	r.WriteKeytab(keytab, "user")
	return peers.Env(append(env, "KRB5_CLIENT_KTNAME="+keytab)...)
}

// forEachRealm runs f with every realm and enctype.
func forEachRealm(t *testing.T, f func(t *testing.T, env []string, enctype string)) {
	for _, r := range realmCases {
		for _, e := range peers.Enctypes {
			t.Run(fmt.Sprintf("%s/%d", r.name, e.ID), func(t *testing.T) {
				t.Parallel()
				f(t, r.env(t, e.ID, e.Name), e.Name)
			})
		}
	}
}

// exchanges are the ways to send messages: with our client's flags and with MIT's.
var exchanges = []struct {
	name      string
	ours, mit []string
	verified  int // how many MICs
}{
	{"wrap and MIC", nil, nil, 1},
	{"integrity", []string{"--no-encrypt"}, []string{"-nx"}, 1},
	{"clear", []string{"--no-wrap"}, []string{"-nw"}, 1},
	{"no MIC", []string{"--no-mic"}, []string{"-nm"}, 0},
	{"clear, no MIC", []string{"--no-wrap", "--no-mic"}, []string{"-nw", "-nm"}, 0},
	{"five", []string{"--mcount", "5"}, []string{"-mcount", "5"}, 5},
}

// Our client completes exchanges with MIT's gss-server.
func TestClientWithMIT(t *testing.T) {
	peers.Need(t, "gss-server")
	forEachRealm(t, func(t *testing.T, env []string, enctype string) {
		server, log := peers.GSSServer(t, env, "host@localhost")
		for _, x := range exchanges {
			port, tokens := eavesdrop(t, server)
			args := append([]string{"client", "--port", strconv.Itoa(port), "--mech", "krb5", "localhost", "host@localhost", "hello " + x.name}, x.ours...)
			out, err := gssEnv(t, env, args...)
			if err != nil || strings.Count(out, "Signature verified.") != x.verified || strings.Contains(out, "Response received.") != (x.verified == 0) {
				t.Fatalf("%s: %v\n%s\nserver:\n%s", x.name, err, out, log())
			}
			checkTokens(t, tokens(), enctype)
		}
		out, err := gssExec(t, env, "client", "--port", strconv.Itoa(server), "--no-mutual", "localhost", "host", "hello one-sided")
		if err != nil || !strings.Contains(out, "Signature verified.") {
			t.Fatalf("not mutual: %v\n%s\nserver:\n%s", err, out, log())
		}
		for _, want := range []string{"hello wrap and MIC", "hello integrity", "hello five", "hello one-sided"} {
			if err := eventually(func() bool { return strings.Contains(log(), want) }); err != nil {
				t.Errorf("gss-server did not print %q:\n%s", want, log())
			}
		}
	})
}

// MIT's gss-client completes exchanges with our server.
func TestServerWithMIT(t *testing.T) {
	peers.Need(t, "gss-client")
	forEachRealm(t, func(t *testing.T, env []string, enctype string) {
		server, port := startServer(t, env, "host@localhost")
		for _, x := range exchanges {
			near, tokens := eavesdrop(t, port)
			out, err := peers.GSSClient(t, env, near, append(append([]string{"-krb5"}, x.mit...), "localhost", "host@localhost", "hello "+x.name)...)
			if err != nil || strings.Count(out, "Signature verified.") != x.verified || strings.Contains(out, "Response received.") != (x.verified == 0) {
				t.Fatalf("%s: %v\n%s\nserver:\n%s", x.name, err, out, server.output())
			}
			checkTokens(t, tokens(), enctype)
		}
		for _, flags := range [][]string{{"-seq"}, {"-noreplay"}, {"-ccount", "3"}, {"-d"}} {
			if out, err := peers.GSSClient(t, env, port, append(flags, "localhost", "host@localhost", "hello")...); err != nil || !strings.Contains(out, "Signature verified.") {
				t.Errorf("%q: %v\n%s\nserver:\n%s", flags, err, out, server.output())
			}
		}
		if out, err := peers.GSSClient(t, env, port, "-na", "localhost", "host@localhost", "hello stranger"); err != nil || !strings.Contains(out, "Response received.") {
			t.Errorf("unauthenticated: %v\n%s\nserver:\n%s", err, out, server.output())
		}
		// A server that was just started cannot know whether a token that asks for
		// nothing in return is a replay.
		if out, _ := peers.GSSClient(t, env, port, "-nomutual", "localhost", "host@localhost", "hello"); strings.Contains(out, "Signature verified.") {
			t.Errorf("not mutual, and accepted:\n%s", server.output())
		}
		for _, want := range []string{"user@", "integrity-only: hello integrity", "confidential: hello wrap and MIC", "in clear: hello clear", "unauthenticated", "in clear: hello stranger"} {
			if err := eventually(func() bool { return strings.Contains(server.output(), want) }); err != nil {
				t.Errorf("the server did not print %q:\n%s", want, server.output())
			}
		}
	})
}

// checkTokens expects every token to be well-formed, and the ticket and the rest
// to be encrypted as the realm can.
func checkTokens(t *testing.T, tokens [][]byte, enctype string) {
	t.Helper()
	if len(tokens) < 3 {
		t.Errorf("%d tokens", len(tokens))
		return
	}
	for i, tok := range tokens[:2] {
		rep := inspectToken(tok)
		var all bytes.Buffer
		printFields(&all, false, rep.Fields, "")
		if want := 2 - i; !rep.OK || strings.Count(all.String(), enctype) != want {
			t.Errorf("token %d, %s: %d × %s expected:\n%s", i, rep.Kind, want, enctype, all.String())
		}
	}
}

// Without any peer: our client, our server, our KDC.
func TestClientWithServer(t *testing.T) {
	for _, e := range peers.Enctypes {
		t.Run(strconv.Itoa(e.ID), func(t *testing.T) {
			t.Parallel()
			env := kdctestEnv(t, e.ID, e.Name)
			server, port := startServer(t, env, "host@localhost")
			for _, x := range exchanges {
				args := append([]string{"client", "--port", strconv.Itoa(port), "localhost", "host", "hello " + x.name}, x.ours...)
				if out, err := gssEnv(t, env, args...); err != nil || strings.Count(out, "Signature verified.") != x.verified {
					t.Fatalf("%s: %v\n%s\nserver:\n%s", x.name, err, out, server.output())
				}
			}
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := gssEnv(t, env, "client", "-f", "--port", strconv.Itoa(port), "localhost", "host", file); err != nil || !strings.Contains(out, "Signature verified.") {
				t.Errorf("a file: %v\n%s", err, out)
			}
			// The server was just started: see TestServerWithMIT.
			if out, err := gssEnv(t, env, "client", "--port", strconv.Itoa(port), "--no-mutual", "localhost", "host", "x"); err == nil || !strings.Contains(out, "the server refused: Kerberos KRB-ERROR") {
				t.Errorf("not mutual: %v\n%s", err, out)
			}
			if out, err := gssEnv(t, env, "client", "--port", strconv.Itoa(port), "localhost", "nobody@localhost", "x"); err == nil || !strings.Contains(out, "gss client: ") {
				t.Errorf("an unknown service: %v\n%s", err, out)
			}
		})
	}
}

// startServer runs gss server on a free port.
func startServer(t testing.TB, env []string, args ...string) (*daemon, int) {
	t.Helper()
	d, line := gssStart(t, env, "Listening on ", append([]string{"server", "--port", "0"}, args...)...)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(line, "Listening on "))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return d, n
}

func eventually(f func() bool) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if f() {
			return nil
		}
		if time.Now().After(deadline) {
			return os.ErrDeadlineExceeded
		}
	}
}

// Whatever comes, the server refuses it, keeps serving others, and ends well.
func TestServerHostile(t *testing.T) {
	env := kdctestEnv(t, 18, "aes256-cts-hmac-sha1-96")
	server, port := startServer(t, env, "host@localhost")
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	send := func(b []byte) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("%v\n%s", err, server.output())
		}
		defer c.Close()
		c.Write(b)
	}
	begin := "\x11\x00\x00\x00\x00"
	for _, s := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x00", "\x11\xff\xff\xff\xff", begin, begin + "\x02\xff\xff\xff\xff", begin + "\x02\x00\x00\x00\x00",
		begin + "\x02\x00\x00\x00\x02\x60\x00", begin + "\x04\x00\x00\x00\x00", begin + begin,
		"\x01\x00\x00\x00\x00\xe4\x00\x00\x00\x01a", "\x01\x00\x00\x00\x00\x04\xff\xff\xff\xff", "\x01\x00\x00\x00\x00\x02\x00\x00\x00\x01a",
	} {
		send([]byte(s))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, rng.IntN(200))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 {
			b = append([]byte(begin), b...)
		}
		send(b)
	}
	// One that says nothing does not keep others waiting.
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if out, err := gssExec(t, env, "client", "--port", strconv.Itoa(port), "localhost", "host", "still there?"); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, server.output())
	}
	server.stop(t)
	if out := server.output(); strings.Contains(out, "panic") || !strings.Contains(out, "refused: ") {
		t.Error(out)
	}
}

func TestServerOnce(t *testing.T) {
	env := kdctestEnv(t, 17, "aes128-cts-hmac-sha1-96")
	server, port := startServer(t, env, "--once", "host@localhost")
	if out, err := gssExec(t, env, "client", "--port", strconv.Itoa(port), "localhost", "host", "just once"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	select {
	case <-server.done:
		if server.err != nil {
			t.Error(server.err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still there")
	}
}
