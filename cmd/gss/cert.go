package main

import (
	"context"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gsseal/gss/mechs/pkix/pkixtest"
)

var certCommand = command{
	name:  "cert",
	args:  "[FLAGS] FOLDER [NAME…]",
	short: "make a throwaway certificate authority, and certificates",
	long: `
Makes a certificate authority and a certificate for each NAME, and writes them
into FOLDER: ca.pem, NAME.pem and NAME.key. A NAME is a host, a mail address or
a URI; without one there are certificates for localhost and user@example.org.

    gss cert certs
    gss server --cert certs/localhost.pem --key certs/localhost.key \
               --ca certs/ca.pem host@localhost

The authority's key is not kept: nobody, you included, can make more. It is for
trying things out, as nobody checks who asks for a certificate.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *shell, []string) error {
		days := flags.Int("days", 1, "`N`: how long the certificates are good for")
		keyType := flags.String("key-type", "ed25519", "`TYPE`: of keys: ed25519, p256, p384, rsa2048")
		return func(_ context.Context, sh *shell, args []string) error {
			if len(args) == 0 {
				return usagef("FOLDER is due")
			}
			kt, ok := keyTypes[strings.ToLower(*keyType)]
			if !ok {
				return usagef("there is no key type %q", *keyType)
			}
			if *days < 1 || *days > 3650 {
				return usagef("--days is from 1 to 3650")
			}
			names := args[1:]
			if len(names) == 0 {
				names = []string{"localhost", "user@example.org"}
			}
			certs, err := issue(names, kt, time.Duration(*days)*24*time.Hour)
			if err != nil {
				return err
			}
			return certs.write(sh, args[0])
		}
	},
}

var keyTypes = map[string]pkixtest.KeyType{"ed25519": pkixtest.Ed25519, "p256": pkixtest.P256, "p384": pkixtest.P384, "rsa2048": pkixtest.RSA2048}

// A certSet is what cert writes.
type certSet []certFile

type certFile struct {
	name string // of the file, in the folder
	pem  []byte
	mode fs.FileMode
	what string
}

// issue makes an authority and a certificate for each name.
func issue(names []string, kt pkixtest.KeyType, life time.Duration) (certSet, error) {
	ca := pkixtest.NewCA("gss cert")
	set := certSet{{"ca.pem", pkixtest.CertificatePEM(ca.Certificate.Raw), 0o666, "the authority's certificate"}}
	for _, name := range names {
		// From an hour ago, for clocks that differ.
		t := pkixtest.Template{Subject: pkix.Name{CommonName: "made by gss cert"}, KeyType: kt, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
		var what string
		switch {
		case strings.Contains(name, "://"):
			t.URIs, what = []string{name}, "URI"
		case strings.Contains(name, "@"):
			t.Emails, what = []string{name}, "mail address"
		default:
			t.DNS, what = []string{name}, "host"
		}
		if strings.Trim(name, hostChars) != "" && what == "host" || name == "" {
			return nil, usagef("%q is neither a host nor a mail address nor a URI", name)
		}
		base := strings.Map(func(r rune) rune {
			if strings.ContainsRune(hostChars+"@_+", r) {
				return r
			}
			return '_'
		}, name)
		if slices.ContainsFunc(set, func(f certFile) bool { return f.name == base+".pem" }) {
			return nil, usagef("%q comes twice, or would have the file of another", name)
		}
		c := ca.Issue(t)
		set = append(set,
			certFile{base + ".pem", pkixtest.CertificatePEM(c.Certificate...), 0o666, "certificate for the " + what + " " + name},
			certFile{base + ".key", pkixtest.KeyPEM(c.PrivateKey), 0o600, "its private key"})
	}
	return set, nil
}

const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

// write writes the files, none of which may be there, and says which.
func (set certSet) write(sh *shell, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(sh.stdout, 0, 0, 3, ' ', 0)
	for _, c := range set {
		name := filepath.Join(dir, c.name)
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, c.mode)
		if os.IsExist(err) {
			return fmt.Errorf("%s is there already: name another folder, or remove it", name)
		}
		if err != nil {
			return err
		}
		_, err = f.Write(c.pem)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(tw, "%s\t%s\n", name, c.what)
	}
	return tw.Flush()
}
