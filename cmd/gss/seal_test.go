package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal/boltstate"
)

// A town has Alice, Bob and Carol, each with a folder and a state file in it: Alice
// met the others by gss client, who ran gss server.
type town struct {
	alice, bob, carol string            // folders
	names             map[string]string // as the mechanism writes them
}

func (w *town) state(who string) string { return filepath.Join(who, "state") }

// towns make one, by each mechanism. Its names are of "alice", "bob", "carol", the
// latter two services.
var towns = map[string]func(t *testing.T) *town{
	"certificates": func(t *testing.T) *town {
		certs := filepath.Join(t.TempDir(), "certs")
		if code, _, stderr := gssRun(t, "", "cert", certs, "alice@a.test", "bob.test", "carol.test"); code != exitOK {
			t.Fatal(stderr)
		}
		env := peers.Env("KRB5_CONFIG=/dev/null", "KRB5CCNAME=/nonexistent", "KRB5_KTNAME=/nonexistent")
		flags := func(who string) []string {
			return []string{"--cert", filepath.Join(certs, who+".pem"), "--key", filepath.Join(certs, who+".key"), "--ca", filepath.Join(certs, "ca.pem")}
		}
		names := map[string]string{"alice": "mail:alice@a.test", "bob": "svc:host@bob.test", "carol": "svc:host@carol.test"}
		return meet(t, env, names, flags("alice@a.test"), flags("bob.test"), flags("carol.test"))
	},
	"Kerberos": func(t *testing.T) *town {
		r := kdctest.New(t, kdctest.Options{Enctypes: []int32{18}})
		r.AddUser("alice", "")
		r.AddService("host/bob.test")
		r.AddService("host/carol.test")
		dir := t.TempDir()
		env, err := r.Env(dir)
		if err != nil {
			t.Fatal(err)
		}
		keytab := filepath.Join(dir, "client.keytab")
		if err := r.WriteKeytab(keytab, "alice"); err != nil {
			t.Fatal(err)
		}
		at := "@" + r.Realm()
		names := map[string]string{"alice": "alice" + at, "bob": "host/bob.test" + at, "carol": "host/carol.test" + at}
		return meet(t, peers.Env(append(env, "KRB5_CLIENT_KTNAME="+keytab)...), names, nil, nil, nil)
	},
}

func meet(t *testing.T, env []string, names map[string]string, alice, bob, carol []string) *town {
	t.Helper()
	dir := t.TempDir()
	w := &town{filepath.Join(dir, "alice"), filepath.Join(dir, "bob"), filepath.Join(dir, "carol"), names}
	for _, who := range []string{w.alice, w.bob, w.carol} {
		if err := os.Mkdir(who, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []struct {
		dir, host string
		flags     []string
	}{{w.bob, "bob.test", bob}, {w.carol, "carol.test", carol}} {
		server, port := startServer(t, env, append(to.flags, "--seal-state", w.state(to.dir), "host@"+to.host)...)
		args := append([]string{"client", "--port", strconv.Itoa(port), "--seal-state", w.state(w.alice), "localhost", "host@" + to.host, "hello"}, alice...)
		if out, err := gssEnv(t, env, args...); err != nil || !strings.Contains(out, "Kept for sealing in ") {
			t.Fatalf("%v\n%s\nserver:\n%s", err, out, server.output())
		}
		if eventually(func() bool { return strings.Contains(server.output(), "kept for sealing in ") }) != nil {
			t.Errorf("the server does not say that it kept the context:\n%s", server.output())
		}
	}
	for _, who := range []string{w.alice, w.bob, w.carol} {
		if st, err := os.Stat(w.state(who)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", w.state(who), st.Mode(), err)
		}
	}
	return w
}

// carry moves a file to another's folder, as a stick does.
func carry(t *testing.T, name, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// must runs gss and expects it to succeed; it returns what was printed.
func must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := gssRun(t, "", args...)
	if code != exitOK {
		t.Fatalf("gss %q: exit code %d\n%s", args, code, stderr)
	}
	return stdout, stderr
}

// refused runs gss and expects it to fail with all of want in its message, to write
// nothing to standard output, and to leave no file but those that were there.
func refused(t *testing.T, dir string, args []string, want ...string) {
	t.Helper()
	before := ls(t, dir)
	code, out, stderr := gssRun(t, "", args...)
	if code != exitFailed || out != "" {
		t.Errorf("gss %q: exit code %d\n%s%s", args, code, out, stderr)
	}
	for _, s := range want {
		if !strings.Contains(stderr, s) {
			t.Errorf("gss %q: no word of %q:\n%s", args, s, stderr)
		}
	}
	if after := ls(t, dir); !slices.Equal(before, after) {
		t.Errorf("gss %q: files %q before, %q after", args, before, after)
	}
}

func ls(t *testing.T, dir string) (names []string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

// sizes are a message's and a stream's.
var sizes = map[string]int{"short": 1000, "long": 3 << 20}

// Alice seals, the file is carried, Bob unseals, and says by whom it came.
func TestSealByName(t *testing.T) {
	for kind, open := range towns {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			relay := w.names["carol"]
			for length, n := range sizes {
				body := bytes.Repeat([]byte("0123456789abcdef"), n/16)
				letter := write(t, filepath.Join(w.alice, "letter"), body)
				sealed := filepath.Join(w.bob, "sealed")
				out, _ := must(t, "seal", "--state", w.state(w.alice), "--to", w.names["bob"], "--one-time", "--relay", relay, "-o", filepath.Join(w.alice, "sealed"), letter)
				for _, s := range []string{w.names["alice"], w.names["bob"], relay, "once, until"} {
					if !strings.Contains(out, s) {
						t.Errorf("%s: seal does not say %q:\n%s", length, s, out)
					}
				}
				carry(t, "sealed", w.alice, w.carol)
				carry(t, "sealed", w.carol, w.bob)
				m := read(t, sealed)
				if bytes.Contains(m, []byte("0123456789abcdef")) || bytes.Contains(m, []byte("test")) {
					t.Error("the message shows what is in it")
				}

				unseal := []string{"unseal", "--state", w.state(w.bob), "--require", "one-time,relay", "--max-age", "1h", "-o", filepath.Join(w.bob, "opened")}
				for _, i := range []int{0, 20, 40, 100, len(m) / 2, len(m) - 1} {
					f := bytes.Clone(m)
					f[i] ^= 4
					refused(t, w.bob, append(unseal, "--relay", relay, write(t, filepath.Join(w.bob, "copy"), f)), "integrity check failed", "changed on its way")
				}
				for _, i := range []int{0, 300, len(m) - 1} {
					refused(t, w.bob, append(unseal, "--relay", relay, write(t, filepath.Join(w.bob, "copy"), m[:i])), "integrity check failed")
				}
				refused(t, w.bob, append(unseal, sealed), "not handed over by its relay", "--relay NAME")
				refused(t, w.bob, append(unseal, "--relay", w.names["alice"], sealed), "not handed over by its relay", "--relay NAME")
				refused(t, w.bob, append(unseal, "--relay", relay, "--from", w.names["carol"], sealed), "integrity check failed")
				refused(t, w.bob, append(unseal, "--relay", relay, "--require", "relay-key", sealed), "does not claim all")
				refused(t, w.carol, []string{"unseal", "--state", w.state(w.carol), sealed}, "integrity check failed")
				refused(t, w.carol, []string{"present", "--state", w.state(w.carol), "--unbound", sealed}, "no grant for you")

				out, _ = must(t, append(unseal, "--relay", relay, "--from", w.names["alice"], sealed)...)
				for _, s := range []string{w.names["alice"], w.names["bob"], relay + ", by ", "as you say and it demands", "one-time, relay", "opened"} {
					if !strings.Contains(out, s) {
						t.Errorf("%s: unseal does not say %q:\n%s", length, s, out)
					}
				}
				if !bytes.Equal(read(t, filepath.Join(w.bob, "opened")), body) {
					t.Errorf("%s: something else came", length)
				}
				os.Remove(filepath.Join(w.bob, "opened"))
				refused(t, w.bob, append(unseal, "--relay", relay, sealed), "duplicate", "opens once")
			}
		})
	}
}

// Alice gives Carol a grant, Carol presents it, Bob unseals it.
func TestSealByKey(t *testing.T) {
	for kind, open := range towns {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			for length, n := range sizes {
				body := bytes.Repeat([]byte("0123456789abcdef"), n/16)
				letter := write(t, filepath.Join(w.alice, "letter"), body)
				words := write(t, filepath.Join(w.carol, "words"), []byte("in Carol's words"))
				must(t, "grant", "--state", w.state(w.alice), "--to", w.names["bob"], "--via", w.names["carol"], "--one-time", "-o", filepath.Join(w.alice, "grant"), letter)
				carry(t, "grant", w.alice, w.carol)
				grant := filepath.Join(w.carol, "grant")
				g := read(t, grant)
				if bytes.Contains(g, []byte("0123456789abcdef")) || bytes.Contains(g, []byte("test")) {
					t.Error("the grant shows what is in it")
				}
				present := []string{"present", "--state", w.state(w.carol), "--bind", "stick 4711", "--payload", words, "-o", filepath.Join(w.carol, "sealed")}
				for _, i := range []int{0, 100, 400, len(g) - 1} {
					f := bytes.Clone(g)
					f[i] ^= 4
					refused(t, w.carol, append(present, write(t, filepath.Join(w.carol, "copy"), f)), "integrity check failed")
					refused(t, w.carol, append(present, write(t, filepath.Join(w.carol, "copy"), g[:i])), "integrity check failed")
				}
				refused(t, w.bob, []string{"present", "--state", w.state(w.bob), "--unbound", grant}, "no grant for you")
				refused(t, w.carol, []string{"unseal", "--state", w.state(w.carol), grant}, "a grant is for gss present")

				out, _ := must(t, append(present, grant)...)
				for _, s := range []string{w.names["alice"], w.names["bob"], "by you, to stick 4711", "in 5m0s"} {
					if !strings.Contains(out, s) {
						t.Errorf("%s: present does not say %q:\n%s", length, s, out)
					}
				}
				carry(t, "sealed", w.carol, w.bob)
				sealed, opened := filepath.Join(w.bob, "sealed"), filepath.Join(w.bob, "opened")
				m := read(t, sealed)
				unseal := []string{"unseal", "--state", w.state(w.bob), "-o", opened, "--payload", opened + ".words"}
				for _, i := range []int{350, len(m) - 1} {
					f := bytes.Clone(m)
					f[i] ^= 4
					refused(t, w.bob, append(unseal, "--bind", "stick 4711", write(t, filepath.Join(w.bob, "copy"), f)))
				}
				refused(t, w.bob, append(unseal, sealed), "--bind TEXT")
				refused(t, w.bob, append(unseal, "--unbound", sealed), "no valid proof by its relay", "--bind TEXT")
				refused(t, w.bob, append(unseal, "--bind", "stick 4712", sealed), "no valid proof by its relay", "--bind TEXT")

				out, _ = must(t, append(unseal, "--bind", "stick 4711", "--require", "relay-key", "--json", sealed)...)
				var rep struct {
					Originator, Recipient sealedParty
					Claims                []string
					Bound, File           string
					SealedAt              time.Time `json:"sealed_at"`
					Until                 time.Time
					Payload               []byte
					Octets                int
				}
				if err := json.Unmarshal([]byte(out), &rep); err != nil {
					t.Fatal(err)
				}
				if rep.Originator.Name != w.names["alice"] || rep.Recipient.Name != w.names["bob"] || !slices.Contains(rep.Claims, "one-time") ||
					!slices.Contains(rep.Claims, "relay-key") || slices.Contains(rep.Claims, "stream") != (length == "long") || rep.Bound != "stick 4711" ||
					string(rep.Payload) != "in Carol's words" || rep.Octets != len(body) || rep.File != opened || rep.Until.Sub(rep.SealedAt) != time.Hour {
					t.Errorf("%s: %s", length, out)
				}
				if !bytes.Equal(read(t, opened), body) || string(read(t, opened+".words")) != "in Carol's words" {
					t.Errorf("%s: something else came", length)
				}
				refused(t, w.bob, append(unseal, "--bind", "stick 4711", sealed), "duplicate")
				// It opens once, however often it is presented.
				must(t, "present", "--state", w.state(w.carol), "--unbound", "-o", sealed, grant)
				refused(t, w.bob, append(unseal, "--unbound", sealed), "duplicate")
			}
		})
	}
}

// What goes to standard output is the body alone, and from standard input it comes.
func TestSealStandardStreams(t *testing.T) {
	w := towns["certificates"](t)
	for length, n := range sizes {
		body := strings.Repeat("0123456789abcdef", n/16)
		code, sealed, stderr := gssRun(t, body, "seal", "--state", w.state(w.alice), "--to", w.names["bob"], "-")
		if code != exitOK || !strings.Contains(stderr, "Sealed\n") {
			t.Fatalf("%s: exit code %d\n%s", length, code, stderr)
		}
		for range 2 { // it may be opened again
			code, out, stderr := gssRun(t, sealed, "unseal", "--state", w.state(w.bob), "-")
			if code != exitOK || out != body || !strings.Contains(stderr, "Verified\n") {
				t.Fatalf("%s: exit code %d, %d octets\n%s", length, code, len(out), stderr)
			}
		}
		if code, out, _ := gssRun(t, sealed, "unseal", "--state", w.state(w.bob), "--once", "-"); code != exitOK || out != body {
			t.Errorf("%s: once: exit code %d", length, code)
		}
		if code, out, stderr := gssRun(t, sealed, "unseal", "--state", w.state(w.bob), "--once", "-"); code != exitFailed || out != "" {
			t.Errorf("%s: twice: exit code %d\n%s", length, code, stderr)
		}
		if code, out, stderr := gssRun(t, sealed[:len(sealed)-1], "unseal", "--state", w.state(w.bob), "-"); code != exitFailed || out != "" {
			t.Errorf("%s: cut off: exit code %d, %d octets\n%s", length, code, len(out), stderr)
		}
	}
	// A short body is a stream if that is asked for, and empty ones are bodies.
	for _, body := range []string{"", "a"} {
		for _, flags := range [][]string{nil, {"--stream"}} {
			code, sealed, stderr := gssRun(t, body, append([]string{"seal", "--state", w.state(w.alice), "--to", w.names["bob"], "-"}, flags...)...)
			if code != exitOK {
				t.Fatal(stderr)
			}
			code, out, stderr := gssRun(t, sealed, "unseal", "--state", w.state(w.bob), "-")
			if code != exitOK || out != body || strings.Contains(stderr, "stream") != (flags != nil) {
				t.Errorf("%q %q: exit code %d, %q\n%s", body, flags, code, out, stderr)
			}
		}
	}
}

// Whoever is killed leaves nothing that looks like a body, and has not used it up.
func TestUnsealKilled(t *testing.T) {
	w := towns["certificates"](t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	sealed, opened := filepath.Join(w.bob, "sealed"), filepath.Join(w.bob, "opened")
	must(t, "seal", "--state", w.state(w.alice), "--to", w.names["bob"], "--one-time", "-o", sealed, write(t, filepath.Join(w.alice, "letter"), body))
	m := read(t, sealed)
	for _, sig := range []os.Signal{os.Interrupt, os.Kill} {
		cmd := gssCommand(t.Context(), t, os.Environ(), "unseal", "--state", w.state(w.bob), "-o", opened, "-")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(m[:len(m)/2]); err != nil { // as much as was taken from the pipe
			t.Fatal(err)
		}
		if err := eventually(func() bool { return len(ls(t, w.bob)) == 3 }); err != nil {
			t.Errorf("no temporary file: %q", ls(t, w.bob))
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%v: it succeeded", sig)
		}
		if names := ls(t, w.bob); slices.Contains(names, "opened") || sig == os.Interrupt && len(names) != 2 {
			t.Errorf("%v: left %q", sig, names)
		}
	}
	must(t, "unseal", "--state", w.state(w.bob), "-o", opened, sealed)
	if !bytes.Equal(read(t, opened), body) {
		t.Error("something else came")
	}
}

// Time is what the message says, with Skew for clocks that differ; here it flies.
func TestSealExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &town{alice: t.TempDir(), bob: t.TempDir(), carol: t.TempDir()}
		from, to := benchPair(1)
		toCarol, carol := benchPair(1)
		toCarol.info.Peer = gss.Name{Mech: oid.Krb5, Text: "carol@EXAMPLE.ORG"}
		carol.info.Local = toCarol.info.Peer
		for _, x := range []struct {
			dir string
			end *benchEnd
		}{{w.alice, from}, {w.alice, toCarol}, {w.bob, to}, {w.carol, carol}} {
			f, err := boltstate.Open(w.state(x.dir), &stateOptions)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Add(t.Context(), x.end); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		bob := to.info.Local.Text
		letter := write(t, filepath.Join(w.alice, "letter"), []byte("a letter"))
		seal := func(args ...string) string {
			out := filepath.Join(w.bob, "sealed")
			must(t, append([]string{"seal", "--state", w.state(w.alice), "--to", bob, "-o", out, letter}, args...)...)
			return out
		}
		unseal := []string{"unseal", "--state", w.state(w.bob), "-o", filepath.Join(w.bob, "opened")}

		minute := seal("--lifetime", "1m")
		time.Sleep(5 * time.Minute)
		must(t, append(unseal, minute)...)
		time.Sleep(2 * time.Minute)
		refused(t, w.bob, append(unseal, minute), "seal: expired", "Too late")

		hour := seal()
		time.Sleep(30 * time.Minute)
		must(t, append(unseal, hour)...)
		refused(t, w.bob, append(unseal, "--max-age", "10m", hour), "seal: expired", "--max-age")

		grant, presented := filepath.Join(w.carol, "grant"), filepath.Join(w.bob, "presented")
		must(t, "grant", "--state", w.state(w.alice), "--to", bob, "--via", "carol@EXAMPLE.ORG", "-o", grant, letter)
		must(t, "present", "--state", w.state(w.carol), "--unbound", "-o", presented, grant)
		time.Sleep(6 * time.Minute)
		refused(t, w.bob, append(unseal, "--unbound", presented), "seal: expired", "five minutes")
		must(t, "present", "--state", w.state(w.carol), "--unbound", "-o", presented, grant)
		// In time again. But to the state file it is years before the disk's time.
		refused(t, w.bob, append(unseal, "--unbound", presented), "cannot tell whether", "restored")
		time.Sleep(time.Hour)
		refused(t, w.carol, []string{"present", "--state", w.state(w.carol), "--unbound", grant}, "seal: expired", "Too late")

		time.Sleep(10 * time.Hour)
		refused(t, w.alice, []string{"seal", "--state", w.state(w.alice), "--to", bob, letter}, "no context")
	})
}

func TestSealPick(t *testing.T) {
	w := towns["certificates"](t)
	letter := write(t, filepath.Join(w.alice, "letter"), []byte("a letter"))
	seal := func(args ...string) []string {
		return append([]string{"seal", "--state", w.state(w.alice), letter}, args...)
	}
	refused(t, w.alice, seal(), "several contexts", "--to NAME or --to N", "1   "+w.names["bob"], "2   "+w.names["carol"], w.names["alice"])
	refused(t, w.alice, seal("--to", "dave"), "no context with dave", "1   "+w.names["bob"], "2   "+w.names["carol"])
	refused(t, w.alice, seal("--to", "3"), "no context with 3")
	for to, who := range map[string]string{"1": w.bob, "2": w.carol, w.names["bob"]: w.bob, "svc:HOST@Carol.test": w.carol} {
		code, sealed, stderr := gssRun(t, "", seal("--to", to)...)
		if code != exitOK {
			t.Fatal(stderr)
		}
		if code, out, stderr := gssRun(t, sealed, "unseal", "--state", w.state(who), "-"); code != exitOK || out != "a letter" {
			t.Errorf("--to %s: %d %q\n%s", to, code, out, stderr)
		}
	}
	// Bob has one peer, and seals to her, too.
	code, sealed, stderr := gssRun(t, "", "seal", "--state", w.state(w.bob), letter)
	if code != exitOK || !strings.Contains(stderr, w.names["alice"]) {
		t.Fatal(stderr)
	}
	if code, out, stderr := gssRun(t, sealed, "unseal", "--state", w.state(w.alice), "-"); code != exitOK || out != "a letter" || !strings.Contains(stderr, w.names["bob"]) {
		t.Errorf("%d %q\n%s", code, out, stderr)
	}
	refused(t, w.alice, []string{"grant", "--state", w.state(w.alice), "--to", "1", "--via", "1", letter}, "cannot carry")
}

func TestSealFiles(t *testing.T) {
	w := towns["certificates"](t)
	letter := write(t, filepath.Join(w.alice, "letter"), []byte("a letter"))
	seal := func(args ...string) []string {
		return append([]string{"seal", "--state", w.state(w.alice), "--to", "1"}, args...)
	}
	refused(t, w.alice, []string{"seal", "--state", filepath.Join(w.alice, "none"), letter}, "is not there", "--seal-state")
	refused(t, w.alice, []string{"seal", "--state", letter, letter}, "no state file")
	refused(t, w.alice, seal(filepath.Join(w.alice, "none")), "none")
	refused(t, w.alice, seal(w.alice), "is a folder")
	refused(t, w.alice, seal("-o", w.alice, letter), "no regular file")
	refused(t, w.alice, seal("-o", filepath.Join(w.alice, "none", "sealed"), letter), "none")

	// What is there is replaced, through a link, and at once.
	real, link := filepath.Join(w.alice, "real"), filepath.Join(w.alice, "link")
	write(t, real, []byte("what was there"))
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	must(t, seal("-o", link, letter)...)
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", st.Mode(), err)
	}
	if code, out, stderr := gssRun(t, string(read(t, real)), "unseal", "--state", w.state(w.bob), "-"); code != exitOK || out != "a letter" {
		t.Errorf("%d %q\n%s", code, out, stderr)
	}

	// A file that others may read is nobody's secret.
	if err := os.Chmod(w.state(w.alice), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, w.alice, seal(letter), "others than the owner")
}

func TestSealUsage(t *testing.T) {
	for _, args := range [][]string{
		{"seal"}, {"seal", "x"}, {"seal", "--state", "x"}, {"seal", "--state", "x", "--lifetime", "169h", "y"}, {"seal", "--state", "x", "--lifetime", "0s", "y"},
		{"seal", "--state", "x", "--relay", "carol", "y"}, {"seal", "--state", "x", "y", "z"}, {"seal", "--state", "x", "--relay", "mail:carol", "y"},
		{"grant", "--state", "x", "y"}, {"grant", "--state", "x", "--to", "a", "y"}, {"grant", "--state", "x", "--to", "a", "--via", "b"},
		{"present", "--state", "x", "y"}, {"present", "--state", "x", "--bind", "a", "--unbound", "y"}, {"present", "--unbound", "y"},
		{"unseal"}, {"unseal", "x"}, {"unseal", "--state", "x"}, {"unseal", "--state", "x", "--require", "one-time,luck", "y"}, {"unseal", "--state", "x", "--max-age", "-1s", "y"},
		{"unseal", "--state", "x", "--relay", "carol", "y"}, {"unseal", "--state", "x", "--from", "", "--from", "dns:", "y"},
		{"bench", "none"}, {"bench", "seal", "seal"}, {"bench", "seal", "--rounds", "0"},
	} {
		if code, out, stderr := gssRun(t, "", args...); code != exitUsage || out != "" || !strings.Contains(stderr, "Usage: ") {
			t.Errorf("%q: %d %q %q", args, code, out, stderr)
		}
	}
}

func TestParseName(t *testing.T) {
	for text, want := range map[string]gss.Name{
		"mail:carol@Example.org":   {Mech: oid.PKIX, Text: "mail:carol@example.org"},
		"svc:post@host.test":       {Mech: oid.PKIX, Text: "svc:post@host.test"},
		"dn:CN=Carol,O=Example":    {Mech: oid.PKIX, Text: "dn:CN=Carol,O=Example"},
		"carol@EXAMPLE.ORG":        {Mech: oid.Krb5, Text: "carol@EXAMPLE.ORG"},
		"post/host.test@A.TEST":    {Mech: oid.Krb5, Text: "post/host.test@A.TEST"},
		"krb5:mail:carol@A.TEST":   {Mech: oid.Krb5, Text: "mail:carol@A.TEST"},
		"krb5:post/host.test@A.B":  {Mech: oid.Krb5, Text: "post/host.test@A.B"},
		"carol":                    {},
		"":                         {},
		"mail:carol":               {},
		"krb5:carol":               {},
		"spiffe://example.org/x/y": {},
	} {
		if got, err := parseName(text); got != want || (err == nil) == want.IsZero() {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// A reader that is slow enough shows how far it is, and cleans up.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &progress{ctx: t.Context(), r: &slow{n: 40}, w: &out, size: 40000, start: time.Now()}
		if n, err := io.Copy(io.Discard, p); n != 40000 || err != nil {
			t.Fatal(n, err)
		}
		shown := strings.Split(out.String(), "\r\x1b[K")
		if len(shown) != 33 || shown[0] != "" || shown[32] != "" || shown[1] != " 25 % ██████░░░░░░░░░░░░░░░░░░ 9.8 KiB of 39.1 KiB, 9.8 KiB/s" {
			t.Errorf("%d times: %q", len(shown), shown)
		}
	})
	for n, want := range map[int64]string{0: "0 octets", 1: "1 octet", 1023: "1023 octets", 1024: "1.0 KiB", 5 << 30: "5.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// slow gives 1000 octets every 100 ms, n times.
type slow struct{ n int }

func (s *slow) Read(b []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	time.Sleep(100*time.Millisecond + time.Microsecond)
	return copy(b, make([]byte, 1000)), nil
}

func TestBench(t *testing.T) {
	if code, out, stderr := gssRun(t, "", "bench"); code != exitOK || !strings.HasPrefix(out, "seal ") || stderr != "" {
		t.Errorf("%d %q %q", code, out, stderr)
	}
	dir := t.TempDir()
	args := []string{"bench", "seal", "--rounds", "1", "--round", "1us", "--contexts", "20", "--dir", dir}
	out, stderr := must(t, append(args, "--json")...)
	var rep struct {
		Rows []map[string]any `json:"rows"`
	}
	if err := json.Unmarshal([]byte(out), &rep); err != nil || stderr != "" {
		t.Fatalf("%v\n%s%s", err, out, stderr)
	}
	var what []string
	for _, row := range rep.Rows {
		what = append(what, fmt.Sprint(row["what"]))
		ours, isNumber := row["ours"].(float64)
		_, hasRival := row["rival"].(float64)
		_, hasRatio := row["ratio"].(float64)
		_, isText := row["aim"].(string)
		_, isBool := row["ok"].(bool)
		if !isNumber || ours < 0 || hasRival != hasRatio || !isText || !isBool || row["unit"] == "" {
			t.Errorf("%v", row)
		}
	}
	if want := []string{
		"seal and unseal, 1 KiB", "seal and unseal, 1 MiB", "a message sealed, 1 KiB", "a message unsealed, 1 KiB",
		"one-time messages unsealed, durable, 16 callers", "unseal, 1 KiB, among 20 contexts", "memory for each of 20 contexts",
	}; !slices.Equal(what, want) {
		t.Errorf("%q", what)
	}
	out, _ = must(t, args...)
	for _, s := range append(what, "HPKE", "AES-256-GCM", "AIM", "Redis") {
		if !strings.Contains(out, s) {
			t.Errorf("no word of %q:\n%s", s, out)
		}
	}
	if names := ls(t, dir); len(names) != 0 {
		t.Errorf("left %q", names)
	}
}
