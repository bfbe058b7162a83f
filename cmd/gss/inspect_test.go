package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gsseal/gss/internal/peers"
)

var update = flag.Bool("update", false, "write testdata/tokens/*.txt anew")

// gssRun runs the command in this process.
func gssRun(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), &shell{strings.NewReader(stdin), &out, &errs, os.Getenv}, args)
	return code, out.String(), errs.String()
}

// testdata/tokens has tokens as they were captured between MIT 1.20.1's gss-client
// and gss-server, or between our own, and names written by hand, in hexadecimal; beside
// each what inspect says of it.
func TestInspectTokens(t *testing.T) {
	files, err := filepath.Glob("testdata/tokens/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tokens: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			token, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code, got, stderr := gssRun(t, "", "inspect", strings.TrimSpace(string(token)))
			got += stderr
			golden := strings.TrimSuffix(f, ".hex") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if bad := strings.HasPrefix(filepath.Base(f), "bad-"); (code != exitOK) != bad {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// Every token that goes between MIT's client and server is understood throughout.
func TestInspectMIT(t *testing.T) {
	peers.Need(t, "kinit", "gss-client", "gss-server")
	r := peers.MITRealm(t, peers.Options{LibDefaults: []string{"forwardable = true"}})
	env := r.Env("KRB5CCNAME=FILE:" + r.Kinit(t, "user"))
	server, log := peers.GSSServer(t, env, "host@localhost")
	for _, c := range []struct {
		name  string
		args  []string
		kinds []string // of the tokens in both directions, in order
	}{
		{"krb5", []string{"-krb5"}, []string{"Kerberos AP-REQ", "Kerberos AP-REP", "Kerberos Wrap token (RFC 4121)", "Kerberos MIC token (RFC 4121)"}},
		{"integrity", []string{"-krb5", "-nx"}, []string{"Kerberos AP-REQ", "Kerberos AP-REP", "Kerberos Wrap token (RFC 4121)", "Kerberos MIC token (RFC 4121)"}},
		{"delegated", []string{"-krb5", "-d"}, []string{"Kerberos AP-REQ", "Kerberos AP-REP", "Kerberos Wrap token (RFC 4121)", "Kerberos MIC token (RFC 4121)"}},
		{"spnego", []string{"-spnego"}, []string{"SPNEGO NegTokenInit", "SPNEGO NegTokenResp", "Kerberos Wrap token (RFC 4121)", "Kerberos MIC token (RFC 4121)"}},
		{"dce", []string{"-krb5", "-dce"}, []string{"Kerberos AP-REQ", "Kerberos AP-REP", "Kerberos AP-REP", "Kerberos Wrap token (RFC 4121)", "Kerberos MIC token (RFC 4121)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			port, tokens := eavesdrop(t, server)
			if out, err := peers.GSSClient(t, env, port, append(c.args, "localhost", "host@localhost", "hello")...); err != nil || !strings.Contains(out, "Signature verified.") {
				t.Fatalf("gss-client: %v\n%s%s", err, out, log())
			}
			got := tokens()
			if len(got) != len(c.kinds) {
				t.Fatalf("%d tokens, want %d", len(got), len(c.kinds))
			}
			for i, tok := range got {
				if rep := inspectToken(tok); !rep.OK || rep.Kind != c.kinds[i] {
					t.Errorf("token %d: %+v\n%x", i, rep, tok)
				}
			}
		})
	}
}

// eavesdrop relays one connection to the sample server at port; tokens returns
// what was carried, once it is over.
func eavesdrop(t *testing.T, port int) (int, func() [][]byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var all [][]byte
	var wg sync.WaitGroup
	pipe := func(to *net.TCPConn, from io.Reader) {
		defer to.CloseWrite()
		for {
			f, tok, err := readFrame(from, maxMessage)
			if err != nil {
				return
			}
			if len(tok) > 0 {
				mu.Lock()
				all = append(all, tok)
				mu.Unlock()
			}
			if writeFrame(to, f, tok) != nil {
				return
			}
		}
	}
	wg.Go(func() {
		a, err := l.Accept()
		if err != nil {
			return
		}
		defer a.Close()
		b, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Error(err)
			return
		}
		defer b.Close()
		var up sync.WaitGroup
		up.Go(func() { pipe(b.(*net.TCPConn), a) })
		pipe(a.(*net.TCPConn), b)
		up.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port, func() [][]byte { wg.Wait(); return all }
}

// However the token comes, it is the same token.
func TestInspectEncodings(t *testing.T) {
	want := "p:a@b"
	raw, _ := hex.DecodeString("0401000B06092A864886F71201020200000003614062")
	b64 := base64.StdEncoding.EncodeToString(raw)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stdin string
		args        []string
	}{
		{"hex", "", []string{hex.EncodeToString(raw)}},
		{"upper case, colons", "", []string{"04:01:00:0B:06:09:2A:86:48:86:F7:12:01:02:02:00:00:00:03:61:40:62"}},
		{"base64", "", []string{b64}},
		{"unpadded", "", []string{strings.TrimRight(b64, "=")}},
		{"header", "", []string{"Authorization: Negotiate " + b64}},
		{"stdin, lines", b64[:10] + "\n" + b64[10:] + "\n", []string{"-"}},
		{"stdin, raw", string(raw), []string{"-"}},
		{"file", "", []string{"-f", file}},
	} {
		code, out, stderr := gssRun(t, c.stdin, append([]string{"inspect"}, c.args...)...)
		if code != exitOK || !strings.Contains(out, "exported name  (22 octets") || !strings.Contains(out, want[2:]) {
			t.Errorf("%s: exit code %d\n%s%s", c.name, code, out, stderr)
		}
	}
	code, out, _ := gssRun(t, "", "inspect", "--json", b64)
	var rep report
	if err := json.Unmarshal([]byte(out), &rep); err != nil || code != exitOK || !rep.OK || rep.Kind != "exported name" || len(rep.Fields) != 2 || rep.Fields[1].Value != "a@b" {
		t.Errorf("json: %v %d\n%s", err, code, out)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{}, exitUsage},
		{[]string{"a", "b"}, exitUsage},
		{[]string{"-f", file, "a"}, exitUsage},
		{[]string{"-f", file + ".no"}, exitFailed},
		{[]string{"!"}, exitFailed},
		{[]string{""}, exitFailed},
	} {
		if code, _, stderr := gssRun(t, "", append([]string{"inspect"}, c.args...)...); code != c.want || stderr == "" {
			t.Errorf("%q: exit code %d, %q", c.args, code, stderr)
		}
	}
}

// Nothing makes inspect panic, recurse without bound or print without bound, and
// no truncation of a good token passes for one.
func FuzzInspect(f *testing.F) {
	files, _ := filepath.Glob("testdata/tokens/*.hex")
	for _, name := range files {
		s, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(s)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rep := inspectToken(b)
		if rep.OK != (rep.Problem == "") || rep.Kind == "" {
			t.Fatalf("%+v", rep)
		}
		var out bytes.Buffer
		sh := &shell{stdout: &out, getenv: func(string) string { return "" }}
		if err := rep.print(sh); err != nil {
			t.Fatal(err)
		}
		// A line is at most the indentation, a clipped and quoted name, and an OID.
		if out.Len() > 64*len(b)+16<<10 {
			t.Fatalf("%d octets in, %d printed", len(b), out.Len())
		}
		for _, c := range out.Bytes() {
			if c < ' ' && c != '\n' {
				t.Fatalf("control octet %#x printed", c)
			}
		}
	})
}
