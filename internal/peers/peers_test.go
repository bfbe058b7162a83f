package peers

import (
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
)

// MIT's client and server understand each other in a realm of ours, for every
// enctype, and the realm really is limited to it.
func TestMITRealm(t *testing.T) {
	Need(t, "kinit", "klist", "gss-client")
	for _, e := range Enctypes {
		t.Run(fmt.Sprint(e.ID), func(t *testing.T) {
			t.Parallel()
			r := MITRealm(t, Options{Enctype: e.Name})
			cc := r.Kinit(t, "user")
			env := r.Env("KRB5CCNAME=FILE:" + cc)
			port, log := GSSServer(t, env, "host@localhost")
			out, err := GSSClient(t, env, port, "-mcount", "2", "localhost", "host@localhost", "hello")
			if err != nil || strings.Count(out, "Signature verified.") != 2 {
				t.Fatalf("gss-client: %v\n%s\nserver:\n%s", err, out, log())
			}
			if out := MustRun(t, env, "klist", "-e"); !strings.Contains(out, "host/localhost@TEST.GSS") || strings.Count(out, e.Name) != 4 {
				t.Errorf("klist -e:\n%s", out)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	Need(t, "kinit", "kvno")
	r := MITRealm(t, Options{Passwords: map[string]string{"pat": "sesame"}, Users: []string{}, LibDefaults: []string{"forwardable = true"}})
	if out, err := RunInput(t, r.Env(), "sesame\n", "kinit", "pat"); err != nil {
		t.Fatalf("kinit: %v\n%s", err, out)
	}
	if out := MustRun(t, r.Env(), "kvno", "host/localhost"); !strings.Contains(out, "kvno = 1") {
		t.Errorf("kvno: %s", out)
	}
	if out, err := RunInput(t, r.Env(), "wrong\n", "kinit", "pat"); err == nil {
		t.Errorf("kinit took a wrong password: %s", out)
	}
}

// What a test started is gone when it has ended.
func TestCleanup(t *testing.T) {
	var addr, dir string
	t.Run("realm", func(t *testing.T) {
		r := MITRealm(t, Options{})
		addr, dir = r.Addr, r.Dir
	})
	if addr == "" {
		t.Skip("no realm")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the KDC still listens")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("the realm's folder is still there")
	}
}

// A recorder is a testing.TB that remembers how it ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()       {}
func (r *recorder) Skip(a ...any) { r.skipped = fmt.Sprint(a...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) {
	r.failed = fmt.Sprintf(f, a...)
	runtime.Goexit()
}

func TestNeed(t *testing.T) {
	packages["gss-no-such-program"] = "no-such-package"
	defer delete(packages, "gss-no-such-program")
	need := func(programs ...string) *recorder {
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Need(r, programs...)
		}()
		<-done
		return r
	}
	t.Setenv(RequireEnv, "")
	if r := need("go"); r.skipped+r.failed != "" {
		t.Errorf("go: %+v", r)
	}
	if r := need("go", "gss-no-such-program"); !strings.Contains(r.skipped, "apt-get install no-such-package") || r.failed != "" {
		t.Errorf("skip: %+v", r)
	}
	t.Setenv(RequireEnv, "1")
	if r := need("gss-no-such-program"); r.skipped != "" || !strings.Contains(r.failed, "gss-no-such-program is not installed") {
		t.Errorf("required: %+v", r)
	}
}

// What scripts/test installs before it requires everything is what tests ask for.
func TestScript(t *testing.T) {
	b, err := os.ReadFile("../../scripts/test")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "\npeers='\n")
	table, _, ok2 := strings.Cut(table, "\n'\n")
	if !ok || !ok2 {
		t.Fatal("there is no table of peers")
	}
	there := map[string]string{}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) != 2 {
			t.Fatalf("%q", line)
		}
		there[f[0]] = f[1]
	}
	if !maps.Equal(there, packages) {
		t.Errorf("there: %v\nhere: %v", there, packages)
	}
}

func TestEnv(t *testing.T) {
	t.Setenv("KRB5_CONFIG", "/nowhere")
	env := strings.Join(Env("KRB5CCNAME=FILE:x"), "\n")
	if strings.Contains(env, "/nowhere") || !strings.HasSuffix(env, "KRB5CCNAME=FILE:x") {
		t.Error(env)
	}
}
