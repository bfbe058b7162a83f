package krb5

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
)

// ours is a mechanism with what k has.
func (k *kdc) ours(t *testing.T, change func(*Config)) *Mech {
	t.Helper()
	config, err := LoadConfig(k.config)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(config)
	}
	return New(Options{Config: config, Replay: vouching{}, Initiator: FileSource(k.ccache, FromCCacheFile),
		Acceptor: FileSource(k.keytab, func(p string) (*Credential, error) { return FromKeytabFile(p, "") })})
}

// from lets a library initiate, to the end.
func (k *kdc) from(t *testing.T, m *Mech, l library, flags gss.Flags, bindings string, o *gss.AcceptOptions) (*mitEndProcess, gss.Context, error) {
	t.Helper()
	args := append(l.command[1:len(l.command):len(l.command)], "host@localhost", fmt.Sprint(uint32(flags)), orDash(bindings))
	p := startMITEnd(t, l.command[0], k.env(l), args...)
	h, err := m.Accept(o)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	tok := p.step(nil)
	for {
		out, sc, err := h.Step(t.Context(), tok)
		if sc != nil || err != nil {
			if len(out) > 0 {
				p.step(out)
			}
			return p, sc, err
		}
		tok = p.step(out)
	}
}

// to lets a library accept, to the end.
func (k *kdc) to(t *testing.T, m *Mech, l library, bindings string, o *gss.InitOptions) (*mitEndProcess, gss.Context, error) {
	t.Helper()
	p := startMITEnd(t, l.command[0], k.env(l), append(l.command[1:len(l.command):len(l.command)], "-", "0", orDash(bindings))...)
	h, err := m.Initiate(gss.Service("host", "localhost"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	out, sc, err := h.Step(t.Context(), nil)
	for {
		var in []byte
		if len(out) > 0 {
			in = p.step(out)
		}
		if sc != nil || err != nil {
			return p, sc, err
		}
		out, sc, err = h.Step(t.Context(), in)
	}
}

// complete is what a library says when it has a context.
func complete(t *testing.T, p *mitEndProcess) (flags gss.Flags) {
	t.Helper()
	var f uint32
	if line := p.line(); !strings.HasPrefix(line, "complete ") {
		t.Fatal(line)
	} else if _, err := fmt.Sscanf(line, "complete %d", &f); err != nil {
		t.Fatal(err)
	}
	return gss.Flags(f)
}

// TestInteropDCE: three legs, with bare messages.
func TestInteropDCE(t *testing.T) {
	libs := libraries(t)[:2]
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			k := kdcMIT(t, e.Name)
			m := k.ours(t, nil)
			for _, l := range libs {
				t.Run("from "+l.name, func(t *testing.T) {
					p, sc, err := k.from(t, m, l, gss.DefaultFlags|gss.DCEStyle, "", nil)
					if err != nil {
						t.Fatal(err)
					}
					defer sc.Close()
					if f := complete(t, p); !f.Has(gss.DCEStyle) || !sc.Info().Flags.Has(gss.DCEStyle|gss.Mutual) {
						t.Errorf("%v and %v", f, sc.Info().Flags)
					}
					mic, err := sc.MIC(nil, []byte("hello"))
					if err != nil {
						t.Fatal(err)
					}
					p.ask("verify %x %x", "hello", mic)
					if err := sc.VerifyMIC([]byte("hello"), unhex(t, p.ask("mic %x", "hello")[0])); err != nil {
						t.Error(err)
					}
				})
				t.Run("to "+l.name, func(t *testing.T) {
					p, sc, err := k.to(t, m, l, "", &gss.InitOptions{Require: gss.DefaultFlags | gss.DCEStyle})
					if err != nil {
						t.Fatal(err)
					}
					defer sc.Close()
					if f := complete(t, p); !f.Has(gss.DCEStyle) || !sc.Info().Flags.Has(gss.DCEStyle|gss.Mutual) {
						t.Errorf("%v and %v", f, sc.Info().Flags)
					}
					mic, err := sc.MIC(nil, []byte("hello"))
					if err != nil {
						t.Fatal(err)
					}
					p.ask("verify %x %x", "hello", mic)
					if err := sc.VerifyMIC([]byte("hello"), unhex(t, p.ask("mic %x", "hello")[0])); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// TestInteropNegotiation: the acceptor's subkey is of a better type than the ticket's session
// key, if both sides have one (RFC 4537).
func TestInteropNegotiation(t *testing.T) {
	l := libraries(t)[0]
	r := peers.MITRealm(t, peers.Options{LibDefaults: []string{"permitted_enctypes = aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha1-96"}})
	r.Admin(t, "cpw -randkey -e aes128-cts-hmac-sha1-96:normal host/localhost",
		"setstr host/localhost session_enctypes aes128-cts-hmac-sha1-96", "ktadd -norandkey -k "+r.Keytab+" host/localhost")
	k := &kdc{r.Name, r.Config, r.Kinit(t, "user"), r.Keytab, ""}
	better := func(c *Config) { c.EncTypes = []int32{20, 17} }
	check := func(t *testing.T, p *mitEndProcess, sc gss.Context, err error, want ikrb5.EType) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer sc.Close()
		complete(t, p)
		var c *secContext
		switch x := sc.(type) {
		case *secContext:
			c = x
		case *acceptedContext:
			c = x.secContext
		}
		if e := c.key.EType(); e != want || c.partial.EType() != ikrb5.AES128SHA1 {
			t.Errorf("keys of %v and %v", e, c.partial.EType())
		}
		talk(t, l, p, sc)
	}
	t.Run("from MIT", func(t *testing.T) {
		p, sc, err := k.from(t, k.ours(t, better), l, gss.DefaultFlags, "", nil)
		check(t, p, sc, err, ikrb5.AES256SHA2)
	})
	t.Run("from MIT, not permitted", func(t *testing.T) {
		p, sc, err := k.from(t, k.ours(t, func(c *Config) { c.EncTypes = []int32{18, 17} }), l, gss.DefaultFlags, "", nil)
		check(t, p, sc, err, ikrb5.AES128SHA1)
	})
	t.Run("to MIT", func(t *testing.T) {
		p, sc, err := k.to(t, k.ours(t, better), l, "", nil)
		check(t, p, sc, err, ikrb5.AES256SHA2)
	})
	t.Run("to MIT, not offered", func(t *testing.T) {
		p, sc, err := k.to(t, k.ours(t, func(c *Config) { c.EncTypes = []int32{17, 20} }), l, "", nil)
		check(t, p, sc, err, ikrb5.AES128SHA1)
	})
}

// TestInteropBound: an initiator that knows of channel bindings and gives none is let in
// by none that has some, even if it would let in others without.
func TestInteropBound(t *testing.T) {
	l := libraries(t)[0]
	r := peers.MITRealm(t, peers.Options{})
	k := &kdc{r.Name, r.Config, r.Kinit(t, "user"), r.Keytab, ""}
	m := k.ours(t, nil)
	optional := &gss.AcceptOptions{Bindings: []byte("tls-exporter:x"), BindingsOptional: true}
	aware := *k
	aware.config = filepath.Join(t.TempDir(), "krb5.conf")
	b, err := os.ReadFile(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(aware.config, append([]byte("[libdefaults]\n  client_aware_channel_bindings = true\n"), b...), 0o600); err != nil {
		t.Fatal(err)
	}
	for major, k := range map[gss.Major]*kdc{0: k, gss.BadBindings: &aware} {
		p, sc, err := k.from(t, m, l, gss.DefaultFlags, "", optional)
		if gss.MajorOf(err) != major {
			t.Errorf("%v, want %v", err, major)
		}
		if sc != nil {
			complete(t, p)
			sc.Close()
		}
	}
	// Ours says the same to MIT, which looks at it as we do.
	p, sc, err := k.to(t, m, l, "tls-exporter:x", &gss.InitOptions{Request: gss.Bound})
	if line := p.line(); err == nil || !strings.HasPrefix(line, fmt.Sprintf("error %d ", uint32(gss.BadBindings))) {
		t.Errorf("to MIT: %v, %s", err, line)
		sc.Close()
	}
	p, sc, err = k.to(t, m, l, "tls-exporter:x", &gss.InitOptions{Request: gss.Bound, Bindings: []byte("tls-exporter:x")})
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	if f := complete(t, p); !f.Has(gss.Bound) {
		t.Errorf("MIT has %v", f)
	}
}

// TestDelegationPolicy: without the KDC's word for the service nothing is delegated if that
// is the policy, and what cannot be delegated is no obstacle unless it is required.
func TestDelegationPolicy(t *testing.T) {
	r := peers.MITRealm(t, peers.Options{LibDefaults: []string{"forwardable = true"}})
	k := &kdc{r.Name, r.Config, r.Kinit(t, "user"), r.Keytab, ""}
	stiff := &kdc{r.Name, r.Config, r.Kinit(t, "user", "-F"), r.Keytab, ""}
	establish := func(k *kdc, o gss.InitOptions) (gss.Flags, error) {
		t.Helper()
		m := k.ours(t, nil)
		h, err := m.Initiate(gss.Service("host", "localhost"), &o)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		tok, _, err := h.Step(t.Context(), nil)
		if err != nil {
			return 0, err
		}
		a, err := m.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		rep, sc, err := a.Step(t.Context(), tok)
		if err != nil {
			t.Fatal(err)
		}
		defer sc.Close()
		_, ic, err := h.Step(t.Context(), rep)
		if err != nil {
			t.Fatal(err)
		}
		defer ic.Close()
		if _, err := sc.(gss.Delegator).Delegated(); (err == nil) != sc.Info().Flags.Has(gss.Deleg) || ic.Info().Flags.Has(gss.Deleg) != sc.Info().Flags.Has(gss.Deleg) {
			t.Errorf("%v, %v, %v", ic.Info().Flags, sc.Info().Flags, err)
		}
		return ic.Info().Flags & delegation, nil
	}
	if f, err := establish(k, gss.InitOptions{Request: gss.DelegPolicy}); err != nil || f != 0 {
		t.Errorf("by policy, not trusted: %v, %v", f, err)
	}
	if f, err := establish(k, gss.InitOptions{Request: gss.Deleg}); err != nil || f != gss.Deleg {
		t.Errorf("wanted: %v, %v", f, err)
	}
	if f, err := establish(stiff, gss.InitOptions{Request: gss.Deleg}); err != nil || f != 0 {
		t.Errorf("wanted, not forwardable: %v, %v", f, err)
	}
	if _, err := establish(stiff, gss.InitOptions{Require: gss.DefaultFlags | gss.Deleg}); err == nil {
		t.Error("required, not forwardable")
	}
	r.Admin(t, "modprinc +ok_as_delegate host/localhost")
	k.ccache = r.Kinit(t, "user")
	if f, err := establish(k, gss.InitOptions{Request: gss.DelegPolicy}); err != nil || f != delegation {
		t.Errorf("by policy, trusted: %v, %v", f, err)
	}
	if _, err := establish(k, gss.InitOptions{Require: gss.DefaultFlags | gss.DelegPolicy}); err != nil {
		t.Errorf("by policy, required: %v", err)
	}
}

// TestServices: an acceptor answers for those that it was told, whatever its keytab has.
func TestServices(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	tok := func() []byte { return f.token(f.ticketPart(), f.authenticator(allFlags, nil)) }
	for _, tt := range []struct {
		services []string
		major    gss.Major
	}{
		{nil, 0},
		{[]string{"HTTP/h.test@" + testRealm, f.server.String()}, 0},
		{[]string{}, gss.NoCred},
		{[]string{"HTTP/h.test@" + testRealm}, gss.NoCred},
		{[]string{"host/h.test"}, gss.NoCred},
		{[]string{"host/H.test@" + testRealm}, gss.NoCred},
	} {
		m := New(Options{Config: &f.mech.config, Replay: vouching{}, Services: tt.services})
		h, err := m.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
		if err != nil {
			t.Fatal(err)
		}
		_, sc, err := h.Step(t.Context(), tok())
		if gss.MajorOf(err) != tt.major {
			t.Errorf("%q: %v", tt.services, err)
		}
		if sc != nil {
			sc.Close()
		}
	}
}

// TestTicketWithoutRealm: Heimdal leaves the realm out of tickets that it cached; the key says
// which it is.
func TestTicketWithoutRealm(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	tkt := f.ticket(f.ticketPart())
	tkt.Realm = ""
	req := ikrb5.APReq{Ticket: tkt, Authenticator: f.encrypt(f.authenticator(allFlags, nil), f.session, ikrb5.UsageAPReqAuth)}
	_, info, err := f.accept(frame(tokAPReq, req.Append(nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Local.Text; got != f.server.String() {
		t.Errorf("for %s", got)
	}
	req.Ticket.SName.Components = slices.Clone(req.Ticket.SName.Components)
	req.Ticket.SName.Components[0] = "HTTP"
	if _, _, err := f.accept(frame(tokAPReq, req.Append(nil)), nil); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("another service: %v", err)
	}
}
