package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gsseal/gss/kdctest"
)

var kdcCommand = command{
	name:  "kdc",
	args:  "[FLAGS]",
	short: "run a throwaway Kerberos KDC: a realm, a user, a service",
	long: `
Runs a Kerberos KDC on a free loopback port until it is interrupted, and prints
what to paste into another shell: there, kinit, kvno and everything else that
speaks Kerberos use this realm and nothing of the system's. Its files go into a
temporary folder, or into --dir; the keys are new each time.

    gss kdc > env.sh &        # or in another window
    . ./env.sh
    gss server host@localhost &
    gss client localhost host@localhost hello

It is for trying things out: whoever may read that folder has every key.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		var k kdc
		fs.StringVar(&k.realm, "realm", "GSS.TEST", "`NAME`: of the realm")
		fs.StringVar(&k.user, "user", "user", "`NAME`: of the user")
		fs.StringVar(&k.password, "password", "", "`PASSWORD`: of the user (default: none, only a keytab)")
		fs.StringVar(&k.service, "service", "host/localhost", "`NAME`: of the service and its host")
		fs.StringVar(&k.dir, "dir", "", "`FOLDER`: keep the files there")
		fs.BoolVar(&k.verbose, "verbose", false, "print a line for each request")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 0 {
				return usagef("no arguments are due")
			}
			return k.run(ctx, sh)
		}
	},
}

type kdc struct {
	realm, user, password, service, dir string
	verbose                             bool
}

func (k *kdc) run(ctx context.Context, sh *shell) error {
	signal.Ignore(syscall.SIGPIPE) // or a closed standard output would leave the folder behind
	if k.dir == "" {
		dir, err := os.MkdirTemp("", "gss-kdc-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		k.dir = dir
	}
	dir, err := filepath.Abs(k.dir)
	if err != nil {
		return err
	}
	o := kdctest.Options{Realm: k.realm}
	if k.verbose {
		o.Logf = func(format string, args ...any) { fmt.Fprintf(sh.stderr, format+"\n", args...) }
	}
	r, err := kdctest.Start(o)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.AddUser(k.user, k.password); err != nil {
		return fmt.Errorf("user %s: %w", k.user, err)
	}
	if err := r.AddService(k.service); err != nil {
		return fmt.Errorf("service %s: %w", k.service, err)
	}
	conf, service, client := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "service.keytab"), filepath.Join(dir, "client.keytab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := r.WriteConf(conf); err != nil {
		return err
	}
	if err := r.WriteKeytab(service, k.service); err != nil {
		return err
	}
	if err := r.WriteKeytab(client, k.user); err != nil {
		return err
	}
	// Everything in one Write: whoever reads the first line may read them all.
	_, err = io.WriteString(sh.stdout, k.exports(r.Realm(), r.Addr(), dir, [][2]string{
		{"KRB5_CONFIG", conf}, {"KRB5_KTNAME", service}, {"KRB5_CLIENT_KTNAME", client}, {"KRB5CCNAME", filepath.Join(dir, "ccache")},
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Fprintln(sh.stderr, "gss kdc: stopped")
	return nil
}

// exports is shell text: paste it, or source it.
func (k *kdc) exports(realm, addr, dir string, vars [][2]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# KDC of %s on %s. Paste this into another shell:\n", realm, addr)
	for _, v := range vars {
		fmt.Fprintf(&b, "export %s=%s\n", v[0], shellQuote(v[1]))
	}
	host := k.service[strings.LastIndexByte(k.service, '/')+1:]
	service := strings.Replace(k.service, "/", "@", 1)
	kinit := "kinit -kt \"$KRB5_CLIENT_KTNAME\" " + shellQuote(k.user)
	if k.password != "" {
		kinit = "kinit " + shellQuote(k.user)
	}
	fmt.Fprintf(&b, `# Then, for example:
#   gss server %[1]s &
#   gss client %[2]s %[1]s hello
# or with MIT's tools:
#   %[3]s && kvno %[4]s
# An interrupt (Ctrl-C) ends the KDC.
`, shellQuote(service), shellQuote(host), kinit, shellQuote(k.service))
	return b.String()
}

// shellQuote quotes s for a POSIX shell if need be.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/@._-+:,=%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
