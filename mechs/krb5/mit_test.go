package krb5_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// The wire protocol of MIT's gss-sample programs: u8 flags | u32 length | token.
const (
	sampleNoop        = 0x01
	sampleContext     = 0x02
	sampleData        = 0x04
	sampleMIC         = 0x08
	sampleContextNext = 0x10
	sampleWrapped     = 0x20
	sampleEncrypted   = 0x40
	sampleSendMIC     = 0x80
)

func sampleSend(w io.Writer, flags byte, tok []byte) error {
	b := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(tok)))
	_, err := w.Write(append(b, tok...))
	return err
}

func sampleReceive(r io.Reader) (flags byte, tok []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	tok = make([]byte, min(binary.BigEndian.Uint32(head[1:]), 1<<20))
	_, err = io.ReadFull(r, tok)
	return head[0], tok, err
}

// sampleClient is gss-client: a handshake, then messages each way of protecting
// one; gss-server answers with a MIC of what it understood.
func sampleClient(ctx context.Context, addr string, h gss.Handshake) (gss.Info, error) {
	var info gss.Info
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return info, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := sampleSend(c, sampleNoop|sampleContextNext, nil); err != nil {
		return info, err
	}
	out, sc, err := h.Step(ctx, nil)
	for {
		if len(out) > 0 {
			if err := sampleSend(c, sampleContext, out); err != nil {
				return info, err
			}
		}
		if err != nil || sc != nil {
			break
		}
		_, tok, rerr := sampleReceive(c)
		if rerr != nil {
			return info, rerr
		}
		out, sc, err = h.Step(ctx, tok)
	}
	if err != nil {
		return info, err
	}
	defer sc.Close()
	for i, flags := range []byte{
		sampleData | sampleWrapped | sampleEncrypted | sampleSendMIC,
		sampleData | sampleWrapped | sampleSendMIC,
		sampleData | sampleSendMIC,
	} {
		msg := []byte(strings.Repeat("hello ", 1+100*i))
		tok, err := msg, error(nil)
		switch {
		case flags&sampleEncrypted != 0:
			tok, err = sc.Wrap(nil, msg, gss.Confidential)
		case flags&sampleWrapped != 0:
			tok, err = sc.Wrap(nil, msg, gss.IntegrityOnly)
		}
		if err != nil {
			return info, err
		}
		if err := sampleSend(c, flags, tok); err != nil {
			return info, err
		}
		_, mic, err := sampleReceive(c)
		if err != nil {
			return info, fmt.Errorf("message %d: %w", i, err)
		}
		if err := sc.VerifyMIC(msg, mic); err != nil {
			return info, fmt.Errorf("message %d: %w", i, err)
		}
	}
	return sc.Info(), sampleSend(c, sampleNoop, nil)
}

// sampleServe is gss-server for one connection.
func sampleServe(ctx context.Context, c net.Conn, h gss.Handshake) (gss.Info, error) {
	var info gss.Info
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := sampleReceive(c); err != nil {
		return info, err
	}
	_, tok, err := sampleReceive(c)
	if err != nil {
		return info, err
	}
	out, sc, err := h.Step(ctx, tok)
	if len(out) > 0 {
		if err := sampleSend(c, sampleContext, out); err != nil {
			return info, err
		}
	}
	if err != nil {
		return info, err
	}
	defer sc.Close()
	for {
		flags, tok, err := sampleReceive(c)
		if err != nil {
			return info, err
		}
		if flags&sampleNoop != 0 {
			return sc.Info(), nil
		}
		msg := tok
		if flags&sampleWrapped != 0 {
			var l gss.Level
			if msg, l, err = sc.Unwrap(nil, tok); err != nil {
				return info, err
			}
			if want := flags&sampleEncrypted != 0; want != (l == gss.Confidential) {
				return info, fmt.Errorf("a message is %v, its frame has flags %#x", l, flags)
			}
		}
		mic, err := sc.MIC(nil, msg)
		if err != nil {
			return info, err
		}
		if err := sampleSend(c, sampleMIC, mic); err != nil {
			return info, err
		}
	}
}

// old makes a store as complete as one that has been there for ever.
type old struct{ strike.Store }

func (o old) Strike(ctx context.Context, key [32]byte, _, until time.Time) error {
	return o.Store.Strike(ctx, key, time.Now(), until)
}

func oldStore() strike.Store { return old{strike.NewMemory(strike.MemoryOptions{})} }

func mustCred(t *testing.T) func(c *krb5.Credential, err error) *krb5.Credential {
	return func(c *krb5.Credential, err error) *krb5.Credential {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

var modes = map[string]gss.Flags{
	"mutual":  gss.DefaultFlags,
	"one-way": gss.DefaultFlags &^ gss.Mutual,
}

// Ours with MIT's KDC, MIT's acceptor and MIT's initiator, for every encryption
// type and kind of credential.
func TestMIT(t *testing.T) {
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			r := peers.MITRealm(t, peers.Options{Enctype: e.Name, Passwords: map[string]string{"alice": "correct.horse"}})
			config, err := krb5.LoadConfig(r.Config)
			if err != nil {
				t.Fatal(err)
			}
			m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
			must := mustCred(t)
			cc := r.Kinit(t, "user")
			creds := map[string]*krb5.Credential{
				"password": must(krb5.FromPassword(r.Principal("alice"), "correct.horse")),
				"keytab":   must(krb5.FromClientKeytabFile("FILE:"+r.ClientKeytab, "")),
				"ccache":   must(krb5.FromCCacheFile("FILE:" + cc)),
			}
			port, log := peers.GSSServer(t, r.Env(), "host@localhost")
			for mode, flags := range modes {
				for kind, cred := range creds {
					t.Run("initiator/"+mode+"/"+kind, func(t *testing.T) {
						h, err := m.Initiate(gss.Service("host", "localhost"), &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: flags})
						if err != nil {
							t.Fatal(err)
						}
						defer h.Close()
						info, err := sampleClient(t.Context(), net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), h)
						if err != nil {
							t.Fatalf("%v\n%s", err, log())
						}
						if info.Local != cred.Name() || info.Peer.Text != r.Principal("host/localhost") {
							t.Errorf("%v → %v", info.Local, info.Peer)
						}
					})
				}
				t.Run("acceptor/"+mode, func(t *testing.T) {
					acceptMIT(t, r, m, cc, flags)
				})
			}
		})
	}
}

func acceptMIT(t *testing.T, r *peers.Realm, m *krb5.Mech, cc string, flags gss.Flags, options ...string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	service := mustCred(t)(krb5.FromKeytabFile(r.Keytab, ""))
	type result struct {
		info gss.Info
		err  error
	}
	served := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- result{err: err}
			return
		}
		h, err := m.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{service}, Require: flags})
		if err != nil {
			served <- result{err: err}
			return
		}
		defer h.Close()
		info, err := sampleServe(t.Context(), c, h)
		served <- result{info, err}
	}()
	args := append([]string{"-mcount", "2"}, options...)
	if !flags.Has(gss.Mutual) {
		args = append(args, "-nomutual")
	}
	out, err := peers.GSSClient(t, r.Env("KRB5CCNAME=FILE:"+cc), l.Addr().(*net.TCPAddr).Port,
		append(args, "-seq", "localhost", "host@localhost", "hello")...)
	if err != nil || strings.Count(out, "Signature verified.") != 2 {
		t.Errorf("gss-client: %v\n%s", err, out)
	}
	got := <-served
	if got.err != nil {
		t.Fatal(got.err)
	}
	if got.info.Peer.Text != r.Principal("user") || got.info.Local.Text != r.Principal("host/localhost") {
		t.Errorf("%v ← %v", got.info.Local, got.info.Peer)
	}
	if got.info.Flags&(gss.Mutual|gss.Deleg) != flags&(gss.Mutual|gss.Deleg) {
		t.Errorf("flags %v", got.info.Flags)
	}
}

// MIT's initiator with everything it does by default and a credential that it
// delegates.
func TestMITDelegation(t *testing.T) {
	r := peers.MITRealm(t, peers.Options{})
	m := krb5.New(krb5.Options{Replay: oldStore()})
	acceptMIT(t, r, m, r.Kinit(t, "user", "-f"), gss.DefaultFlags|gss.Deleg, "-d")
}

// A credential cache with a service ticket and no TGT, as kinit -S makes it.
func TestServiceTicketOnly(t *testing.T) {
	r := peers.MITRealm(t, peers.Options{})
	cc := filepath.Join(t.TempDir(), "cc")
	peers.MustRun(t, r.Env(), "kinit", "-S", "host/localhost", "-c", cc, "-k", "-t", r.ClientKeytab, r.Principal("user"))
	m := krb5.New(krb5.Options{Replay: oldStore()}) // knows no realm
	cred := mustCred(t)(krb5.FromCCacheFile(cc))
	service := mustCred(t)(krb5.FromKeytabFile(r.Keytab, r.Principal("host/localhost")))
	i, a := handshake(t, m, m, gss.Service("host", "LOCALHOST."), cred, service, nil, nil)
	if i.Info().Local != a.Info().Peer || i.Info().Peer != a.Info().Local {
		t.Errorf("%v and %v", i.Info(), a.Info())
	}
	// Another service needs a TGT.
	h, err := m.Initiate(gss.Service("http", "localhost"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("without a TGT: %v", err)
	}
}

// MIT's tools and this package agree on what a file holds.
func TestMITFiles(t *testing.T) {
	r := peers.MITRealm(t, peers.Options{})
	for _, path := range []string{r.Keytab, r.ClientKeytab} {
		if _, err := krb5.FromKeytabFile(path, ""); err != nil {
			t.Error(err)
		}
	}
	for _, version := range []string{"3", "4"} {
		conf := filepath.Join(t.TempDir(), "krb5.conf")
		text, err := os.ReadFile(r.Config)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(conf, []byte(strings.Replace(string(text), "[libdefaults]", "[libdefaults]\n  ccache_type = "+version, 1)), 0o600)
		cc := filepath.Join(t.TempDir(), "cc")
		peers.MustRun(t, r.Env("KRB5_CONFIG="+conf), "kinit", "-c", cc, "-k", "-t", r.ClientKeytab, r.Principal("user"))
		b, err := os.ReadFile(cc)
		if err != nil || b[1] != version[0]-'0' {
			t.Fatalf("version %s: %v, %x", version, err, b[:2])
		}
		c, err := krb5.FromCCache(b)
		if err != nil {
			t.Fatalf("version %s: %v", version, err)
		}
		if c.Name().Text != r.Principal("user") || time.Until(c.Expiry()) < time.Hour {
			t.Errorf("version %s: %v until %v", version, c.Name(), c.Expiry())
		}
	}
}

// Two realms that trust each other: a user of one at a service of the other.
func TestMITCrossRealm(t *testing.T) {
	a := peers.MITRealm(t, peers.Options{Realm: "A.GSS"})
	b := peers.MITRealm(t, peers.Options{Realm: "B.GSS", Services: []string{"host/b.test"}})
	for _, r := range []*peers.Realm{a, b} {
		r.Admin(t, "addprinc -pw trust krbtgt/B.GSS@A.GSS")
	}
	config := &krb5.Config{
		DefaultRealm: "A.GSS", Domains: map[string]string{"b.test": "B.GSS"},
		KDCs: map[string][]string{"A.GSS": {a.Addr}, "B.GSS": {b.Addr}},
	}
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	cred := mustCred(t)(krb5.FromClientKeytabFile(a.ClientKeytab, ""))
	service := mustCred(t)(krb5.FromKeytabFile(b.Keytab, ""))
	i, acc := handshake(t, m, m, gss.Service("host", "b.test"), cred, service, nil, nil)
	if acc.Info().Peer.Text != "user@A.GSS" || acc.Info().Local.Text != "host/b.test@B.GSS" || i.Info().Peer != acc.Info().Local {
		t.Errorf("%+v and %+v", i.Info(), acc.Info())
	}
	// There is no trust the other way.
	h, err := m.Initiate(gss.Name{Type: oid.NTKrb5, Text: "host/x@C.GSS"}, &gss.InitOptions{Credentials: []gss.Credential{cred}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.BadName {
		t.Errorf("a realm without trust: %v", err)
	}
}
