package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
)

var clientCommand = command{
	name:  "client",
	args:  "[FLAGS] HOST SERVICE MESSAGE",
	short: "send a message to a sample server (MIT's gss-server, or gss server)",
	long: `
Authenticates to a server that speaks the protocol of the gss-sample programs,
sends it MESSAGE, encrypted, and checks the MIC with which it answers. SERVICE
is a host-based name, "host@server.example.org"; "host" alone means host@HOST.

    gss client localhost host@localhost hello

Kerberos reads KRB5_CONFIG (default /etc/krb5.conf) and takes its credentials
from KRB5CCNAME (kinit) or KRB5_CLIENT_KTNAME. Certificates come from --cert,
--key and --ca. To have something to try it with: gss help kdc, gss help cert.

--tickets asks the server for a ticket, and keeps it in FILE, which is made if
need be: the next time the client comes back with it, in one round trip and
whether or not a KDC can be reached. The server has to know tickets (gss server
--ring). Whoever has FILE can do the same in your name: keep it secret.

--seal-state adds to FILE, which is made if need be, what gss seal and unseal
need of this context; the server has to do that, too. Keep FILE secret.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		c := sampleClient{}
		var creds credentialFlags
		creds.declare(fs)
		fs.StringVar(&c.mech, "mech", "", "`NAME`: its name or OID (default: the first that fits)")
		fs.IntVar(&c.port, "port", 4444, "`N`: the server's port")
		fs.IntVar(&c.count, "mcount", 1, "`N`: send the message so often")
		fs.BoolVar(&c.noWrap, "no-wrap", false, "send the message as it is, in clear")
		fs.BoolVar(&c.noEncrypt, "no-encrypt", false, "protect its integrity only")
		fs.BoolVar(&c.noMIC, "no-mic", false, "do not ask for a MIC of the message")
		fs.BoolVar(&c.noMutual, "no-mutual", false, "do not ask the server to prove itself")
		fs.BoolVar(&c.file, "f", false, "MESSAGE is the name of a file to send")
		fs.StringVar(&c.sealState, "seal-state", "", "`FILE`: what sealing needs of this context goes there")
		tickets := fs.String("tickets", "", "`FILE`: come back with a ticket; they are there")
		timeout := fs.Duration("timeout", 30*time.Second, "`TIME`: give up after it")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 3 {
				return usagef("HOST, SERVICE and MESSAGE are due")
			}
			if c.count < 1 || c.port < 1 || c.port > 65535 {
				return usagef("--mcount is at least 1, --port from 1 to 65535")
			}
			ms, err := creds.mechanisms(sh)
			if err != nil {
				return err
			}
			if ms, err = only(ms, c.mech, *tickets != ""); err != nil {
				return err
			}
			if *tickets != "" {
				if ms, err = withTickets(ms, *tickets); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(ctx, *timeout)
			defer cancel()
			if c.ms, c.creds, err = initiators(ctx, ms); err != nil {
				return advise(err, initiatorAdvice)
			}
			defer func() {
				for _, cred := range c.creds {
					cred.Close()
				}
			}()
			return advise(c.run(ctx, sh.stdout, args[0], args[1], args[2]), initiatorAdvice)
		}
	},
}

// withTickets returns ms with tickets, and none without.
func withTickets(ms mechglue.Mechanisms, file string) (mechglue.Mechanisms, error) {
	cache, err := reauth.OpenCache(file, reauth.CacheOptions{})
	if err != nil {
		return nil, err
	}
	return mechs.WithTickets(ms, reauth.Options{Cache: cache})[len(ms):], nil
}

type sampleClient struct {
	mech                               string
	port, count                        int
	noWrap, noEncrypt, noMIC, noMutual bool
	file                               bool
	sealState                          string

	ms    mechglue.Mechanisms
	creds []gss.Credential
}

func (c *sampleClient) run(ctx context.Context, out io.Writer, host, service, message string) error {
	msg := []byte(message)
	if c.file {
		var err error
		if msg, err = readFile(message, maxMessage-(1<<16)); err != nil {
			return err
		}
	}
	if !strings.Contains(service, "@") {
		service += "@" + host
	}
	o := &gss.InitOptions{Credentials: c.creds, Require: gss.DefaultFlags}
	if c.noMutual {
		o.Require &^= gss.Mutual
	}
	if c.noWrap || c.noEncrypt {
		o.Require &^= gss.Conf
	}
	h, err := c.ms.Initiate("", gss.Name{Type: oid.NTHostService, Text: service}, o)
	if err != nil {
		return err
	}
	defer h.Close()

	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(c.port)))
	if err != nil {
		return fmt.Errorf("no server: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	err = c.session(ctx, out, conn, h, msg)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server hung up: it refused, and its own output says why")
	}
	return err
}

func (c *sampleClient) session(ctx context.Context, out io.Writer, conn net.Conn, h gss.Handshake, msg []byte) error {
	if err := writeFrame(conn, sampleNoop|sampleContextNext, nil); err != nil {
		return err
	}
	sc, err := gssnet.Initiate(ctx, contextTokens{conn}, h)
	if err != nil {
		return err
	}
	defer sc.Close()
	describeContext(out, sc.Info())
	for range c.count {
		if err := c.exchange(conn, sc, msg); err != nil {
			return err
		}
		if c.noMIC {
			fmt.Fprintln(out, "Response received.")
		} else {
			fmt.Fprintln(out, "Signature verified.")
		}
	}
	if c.sealState != "" { // only now: a server that cannot keep its end hangs up
		if err := keepState(ctx, c.sealState, sc); err != nil {
			return err
		}
		fmt.Fprintf(out, "Kept for sealing in %s.\n", c.sealState)
	}
	return writeFrame(conn, sampleNoop, nil)
}

// exchange sends msg once and checks the answer.
func (c *sampleClient) exchange(conn net.Conn, sc gss.Context, msg []byte) error {
	f, token, want := sampleData, msg, sampleNoop
	if !c.noWrap {
		level := gss.Confidential
		f |= sampleWrapped
		if c.noEncrypt {
			level = gss.IntegrityOnly
		} else {
			f |= sampleEncrypted
		}
		var err error
		if token, err = sc.Wrap(nil, msg, level); err != nil {
			return err
		}
	}
	if !c.noMIC {
		f, want = f|sampleSendMIC, sampleMIC
	}
	if err := writeFrame(conn, f, token); err != nil {
		return err
	}
	got, mic, err := readFrame(conn, maxContextToken)
	if err != nil {
		return err
	}
	if got == sampleContext { // the server had the last word on the context
		return refusal(mic)
	}
	if got != want {
		return fmt.Errorf("the server answered with flags %#02x instead of %#02x", uint8(got), uint8(want))
	}
	if c.noMIC {
		return nil
	}
	return sc.VerifyMIC(msg, mic)
}

// refusal is what a context token says that comes when the context is complete on
// this side: without mutual authentication only then does the server look at it.
func refusal(token []byte) error {
	rep := inspectToken(token)
	for _, f := range rep.Fields {
		if f.Name == "error" || f.Name == "text" {
			rep.Kind += ", " + f.Value
		}
	}
	return fmt.Errorf("the server refused: %s", rep.Kind)
}

// describeContext prints who talks to whom, and how.
func describeContext(out io.Writer, i gss.Info) {
	expiry := "never"
	if !i.Expiry.IsZero() {
		expiry = i.Expiry.Local().Format(time.DateTime)
	}
	fmt.Fprintf(out, "Context: %s, %s to %s\n  flags %s\n  expires %s\n", mechName(i.Mech), party(i.Local), party(i.Peer), i.Flags, expiry)
}

func party(n gss.Name) string {
	if n.IsZero() {
		return "(anonymous)"
	}
	return n.String()
}

func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%s: more than %d octets", name, limit)
	}
	return b.Bytes(), err
}
