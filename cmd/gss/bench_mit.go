package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/strike"
)

//go:embed bench_mit.c
var mitSource []byte

// errNoMIT is why there is no rival: what is needed to compile it is not installed.
var errNoMIT = errors.New("MIT krb5 is not here to be compiled against (Debian: apt-get install gcc libkrb5-dev)")

// compileMIT compiles bench_mit.c in the folder dir, with what krb5-config says, and
// returns the program. Error: errNoMIT, or what the compiler said.
func compileMIT(ctx context.Context, dir string) (string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", errNoMIT
	}
	config, err := exec.LookPath("krb5-config")
	if err != nil {
		return "", errNoMIT
	}
	flags, err := exec.CommandContext(ctx, config, "--cflags", "--libs", "gssapi").Output()
	if err != nil {
		return "", fmt.Errorf("krb5-config: %w", err)
	}
	source, exe := filepath.Join(dir, "bench_mit.c"), filepath.Join(dir, "bench_mit")
	if err := os.WriteFile(source, mitSource, 0o600); err != nil {
		return "", err
	}
	args := append([]string{"-O2", "-o", exe, source}, strings.Fields(string(flags))...)
	if out, err := exec.CommandContext(ctx, cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cc: %w: %s", err, bytes.TrimSpace(out))
	}
	return exe, nil
}

// The user and the service of a krb5Bench.
const (
	benchUser    = "user"
	benchService = "host/localhost"
)

// A krb5Bench is a realm whose keys are all of one encryption type, with the files
// that MIT krb5 and this program need there: a user who has a TGT and a ticket for
// host/localhost, and that service's keytab. Nothing asks the KDC any more.
type krb5Bench struct {
	etype                int32 // 17 to 20
	conf, ccache, keytab string
	dir                  string
	realm                *kdctest.Realm
	mech                 *krb5.Mech
	initiator, acceptor  *krb5.Credential
	target               gss.Name
	initOptions          *gss.InitOptions
	acceptOptions        *gss.AcceptOptions
}

// newKrb5Bench makes one in a new folder within dir. The caller closes it.
func newKrb5Bench(dir string, etype int32) (_ *krb5Bench, err error) {
	b := &krb5Bench{etype: etype, target: gss.Service("host", "localhost")}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp(dir, "realm-"); err != nil {
		return nil, err
	}
	b.conf, b.ccache, b.keytab = filepath.Join(b.dir, "krb5.conf"), filepath.Join(b.dir, "ccache"), filepath.Join(b.dir, "keytab")
	if b.realm, err = kdctest.Start(kdctest.Options{Enctypes: []int32{etype}}); err != nil {
		return nil, err
	}
	for _, do := range []func() error{
		func() error { return b.realm.AddUser(benchUser, "") },
		func() error { return b.realm.AddService(benchService) },
		// Or an acceptor's subkey may be of another type, RFC 4537.
		func() error {
			return b.realm.WriteConf(b.conf, fmt.Sprintf("permitted_enctypes = %s", etypeNames[etype]))
		},
		func() error { return b.realm.WriteCCache(b.ccache, benchUser, benchService) },
		func() error { return b.realm.WriteKeytab(b.keytab, benchService) },
	} {
		if err := do(); err != nil {
			return nil, err
		}
	}
	config, err := krb5.LoadConfig(b.conf)
	if err != nil {
		return nil, err
	}
	b.mech = krb5.New(krb5.Options{Config: config, Replay: strike.NewMemory(strike.MemoryOptions{Entries: 1 << 24})})
	if b.initiator, err = krb5.FromCCacheFile(b.ccache); err != nil {
		return nil, err
	}
	if b.acceptor, err = krb5.FromKeytabFile(b.keytab, ""); err != nil {
		return nil, err
	}
	b.initOptions = &gss.InitOptions{Credentials: []gss.Credential{b.initiator}}
	b.acceptOptions = &gss.AcceptOptions{Credentials: []gss.Credential{b.acceptor}}
	return b, nil
}

var etypeNames = map[int32]string{
	17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96",
	19: "aes128-cts-hmac-sha256-128", 20: "aes256-cts-hmac-sha384-192",
}

func (b *krb5Bench) close() {
	if b.initiator != nil {
		b.initiator.Close()
	}
	if b.acceptor != nil {
		b.acceptor.Close()
	}
	if b.realm != nil {
		b.realm.Close()
	}
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// establish makes both ends of a context of this program's, which the caller closes:
// mutual, with a replay cache in memory.
func (b *krb5Bench) establish(ctx context.Context) (i, a gss.Context, err error) {
	return handshake(ctx, b.mech, b.target, b.initOptions, b.acceptOptions)
}

// handshake passes tokens between two ends until both are complete.
func handshake(ctx context.Context, m gss.Mechanism, target gss.Name, io *gss.InitOptions, ao *gss.AcceptOptions) (i, a gss.Context, err error) {
	defer func() {
		if err != nil && i != nil {
			i.Close()
		}
		if err != nil && a != nil {
			a.Close()
		}
	}()
	ih, err := m.Initiate(target, io)
	if err != nil {
		return nil, nil, err
	}
	defer ih.Close()
	ah, err := m.Accept(ao)
	if err != nil {
		return nil, nil, err
	}
	defer ah.Close()
	var there, back []byte
	for i == nil || a == nil {
		if i == nil {
			if there, i, err = ih.Step(ctx, back); err != nil {
				return i, a, err
			}
		}
		if a == nil {
			if back, a, err = ah.Step(ctx, there); err != nil {
				return i, a, err
			}
		}
	}
	return i, a, nil
}

// A mitRival is a running bench_mit.c.
type mitRival struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// startMIT starts exe, which compileMIT made, in the realm of b. It runs until it is
// closed, or ctx is done.
func startMIT(ctx context.Context, exe string, b *krb5Bench) (*mitRival, error) {
	r := &mitRival{cmd: exec.CommandContext(ctx, exe, strings.Replace(benchService, "/", "@", 1))}
	for _, s := range os.Environ() {
		if !strings.HasPrefix(s, "KRB5") && !strings.HasPrefix(s, "GSS_MECH_CONFIG=") {
			r.cmd.Env = append(r.cmd.Env, s)
		}
	}
	r.cmd.Env = append(r.cmd.Env, "KRB5_CONFIG="+b.conf, "KRB5CCNAME=FILE:"+b.ccache, "KRB5_KTNAME=FILE:"+b.keytab, "KRB5RCACHEDIR="+b.dir)
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	if line, err := r.out.ReadString('\n'); line != "ready\n" {
		r.close()
		return nil, fmt.Errorf("MIT krb5 does not start: %w: %s%s", err, line, r.stderr.Bytes())
	}
	return r, nil
}

// close ends the process.
func (r *mitRival) close() {
	r.in.Close()
	r.cmd.Wait()
}

// contender has the rival do what, a command of bench_mit.c without its N: "establish
// file", "establish memory", "wrap 64". The time is the one that it measured.
func (r *mitRival) contender(what string) contender {
	return func(n int) (time.Duration, error) {
		if _, err := fmt.Fprintf(r.in, "%s %d\n", what, n); err != nil {
			return 0, fmt.Errorf("MIT krb5: %w", err)
		}
		line, err := r.out.ReadString('\n')
		if err != nil {
			return 0, fmt.Errorf("MIT krb5: %w", err)
		}
		var ns int64
		if _, err := fmt.Sscanf(line, "ok %d\n", &ns); err != nil {
			return 0, fmt.Errorf("MIT krb5: %s", strings.TrimSpace(line))
		}
		return time.Duration(ns), nil
	}
}
