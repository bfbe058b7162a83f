package krb5

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/strike"
)

// A delegation is what a KRB-CRED is made of; a test spoils it.
type krbCred struct {
	tickets []ikrb5.Ticket
	infos   []ikrb5.CredInfo
	key     *ikrb5.Key // nil: in clear, as Heimdal has it
	usage   uint32
}

func (f *forger) delegation(n, m int) *krbCred {
	d := &krbCred{key: f.session, usage: ikrb5.UsageCredEncPart}
	tgt := tgtName(testRealm, testRealm)
	for range n {
		tkt := f.ticket(f.ticketPart())
		tkt.SName = tgt.Name
		d.tickets = append(d.tickets, tkt)
	}
	for range m {
		d.infos = append(d.infos, ikrb5.CredInfo{
			Key: ikrb5.EncryptionKey{EType: f.session.EType(), Value: f.session.Bytes()}, PRealm: f.client.Realm, PName: f.client.Name,
			Flags: ikrb5.TicketForwarded, HasFlags: true, EndTime: time.Now().Add(time.Hour), SRealm: tgt.Realm, SName: tgt.Name,
		})
	}
	return d
}

func (d *krbCred) message(t *testing.T) []byte {
	t.Helper()
	part := ikrb5.EncCredPart{Infos: d.infos, Timestamp: time.Now().Truncate(time.Second)}
	c := ikrb5.Cred{Tickets: d.tickets, EncPart: ikrb5.EncryptedData{Cipher: part.Append(nil)}}
	if d.key != nil {
		cipher, err := d.key.Encrypt(nil, c.EncPart.Cipher, d.usage)
		if err != nil {
			t.Fatal(err)
		}
		c.EncPart = ikrb5.EncryptedData{EType: d.key.EType(), Cipher: cipher}
	}
	return c.Append(nil)
}

// carry puts a KRB-CRED into an authenticator.
func carry(auth *ikrb5.Authenticator, flags gss.Flags, msg []byte) {
	sum := gssChecksum{flags: flags | gss.Deleg, cred: msg}
	auth.Cksum.Sum = sum.append(nil)
}

// TestDelegatedInAuthenticator (CVE-2026-107778): what comes as a delegated credential is as many tickets as it says,
// of that client, good now; and nothing of it is read if nobody says that it is there.
func TestDelegatedInAuthenticator(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	other, _ := ikrb5.RandomKey(ikrb5.AES128SHA2)
	mallory := ikrb5.PrincipalName{Type: 1, Components: []string{"mallory"}}
	accept := func(t *testing.T, msg func(auth *ikrb5.Authenticator) []byte) (*exchange, *refusal) {
		t.Helper()
		auth := f.authenticator(allFlags, nil)
		carry(auth, allFlags, msg(auth))
		x := &exchange{m: f.mech, keys: f.service.shared.keys, opts: new(gss.AcceptOptions)}
		_, req, _ := unframe(f.token(f.ticketPart(), auth))
		return x, x.read(req)
	}
	type spoil = func(auth *ikrb5.Authenticator, d *krbCred)
	tests := map[string]struct {
		n, m  int
		spoil spoil
		ok    bool
	}{}
	for n := range 4 {
		for m := range 4 {
			for how, s := range map[string]spoil{
				"session key": nil,
				"in clear":    func(_ *ikrb5.Authenticator, d *krbCred) { d.key = nil },
				"subkey": func(a *ikrb5.Authenticator, d *krbCred) {
					d.key, _ = a.Subkey.Key()
				},
			} {
				tests[fmt.Sprintf("%d tickets, %d infos, %s", n, m, how)] = struct {
					n, m  int
					spoil spoil
					ok    bool
				}{n, m, s, n == m && n > 0}
			}
		}
	}
	for name, s := range map[string]spoil{
		"another's ticket":        func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[0].PName = mallory },
		"another's ticket, clear": func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[0].PName, d.key = mallory, nil },
		"another's behind a good": func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[1].PName = mallory },
		"another realm's":         func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[1].PRealm = "O" },
		"nobody's": func(_ *ikrb5.Authenticator, d *krbCred) {
			d.infos[0].PName, d.infos[0].PRealm = ikrb5.PrincipalName{}, ""
		},
		"ended":                      func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[1].EndTime = time.Now().Add(-time.Second) },
		"without an end":             func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[0].EndTime = time.Time{} },
		"without flags":              func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[0].HasFlags = false },
		"key of RC4":                 func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[0].Key.EType = 23 },
		"key too short":              func(_ *ikrb5.Authenticator, d *krbCred) { d.infos[0].Key.Value = d.infos[0].Key.Value[1:] },
		"ticket of another name":     func(_ *ikrb5.Authenticator, d *krbCred) { d.tickets[1].SName = f.server.Name },
		"ticket of another realm":    func(_ *ikrb5.Authenticator, d *krbCred) { d.tickets[1].Realm = "O" },
		"another key":                func(_ *ikrb5.Authenticator, d *krbCred) { d.key = other },
		"the service's key":          func(_ *ikrb5.Authenticator, d *krbCred) { d.key = f.key },
		"another usage":              func(_ *ikrb5.Authenticator, d *krbCred) { d.usage = ikrb5.UsageAPReqAuth },
		"more tickets than there is": func(_ *ikrb5.Authenticator, d *krbCred) { *d = *f.delegation(17, 17) },
	} {
		tests[name] = struct {
			n, m  int
			spoil spoil
			ok    bool
		}{2, 2, s, false}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x, r := accept(t, func(auth *ikrb5.Authenticator) []byte {
				d := f.delegation(tt.n, tt.m)
				if tt.spoil != nil {
					tt.spoil(auth, d)
				}
				return d.message(t)
			})
			defer x.erase()
			if (r == nil) != tt.ok || (x.cred != nil) != tt.ok || r != nil && r.major != gss.DefectiveToken {
				t.Fatalf("%+v, %v", r, x.cred)
			}
		})
	}
	t.Run("every prefix", func(t *testing.T) {
		msg := f.delegation(2, 2).message(t)
		for n := range msg {
			x, r := accept(t, func(*ikrb5.Authenticator) []byte { return msg[:n] })
			if r == nil || r.major != gss.DefectiveToken {
				t.Errorf("%d of %d octets: %+v", n, len(msg), r)
			}
			x.erase()
		}
		x, r := accept(t, func(*ikrb5.Authenticator) []byte { return append(slices.Clone(msg), 0) })
		if r == nil {
			t.Error("an octet more")
		}
		x.erase()
	})
	t.Run("in clear, every bit", func(t *testing.T) {
		// The authenticator around it is protected, so that bits turn only by its sender:
		// whatever he writes, it is refused or his own.
		d := f.delegation(1, 1)
		d.key = nil
		msg := d.message(t)
		for i := range msg {
			for bit := range 8 {
				bad := slices.Clone(msg)
				bad[i] ^= 1 << bit
				x, r := accept(t, func(*ikrb5.Authenticator) []byte { return bad })
				if r == nil && !x.cred.shared.principal.Equal(f.client) {
					t.Errorf("octet %d bit %d: the credential is %v's", i, bit, x.cred.Name())
				}
				x.erase()
			}
		}
	})
	t.Run("64 KiB", func(t *testing.T) {
		big := make([]byte, maxDelegated)
		x, r := accept(t, func(*ikrb5.Authenticator) []byte { return big })
		if r == nil {
			t.Error("accepted")
		}
		x.erase()
		for _, n := range []int{1, 100, maxDelegated} { // the length says more than there is
			auth := f.authenticator(allFlags|gss.Deleg, nil)
			auth.Cksum.Sum = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(auth.Cksum.Sum[:checksumLen], 1), uint16(n))
			auth.Cksum.Sum = append(auth.Cksum.Sum, big[:n-1]...)
			out, _, err := f.accept(f.token(f.ticketPart(), auth), nil)
			refused(t, out, err, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM)
		}
	})
	t.Run("not asked for, not read", func(t *testing.T) {
		for _, msg := range [][]byte{f.delegation(1, 1).message(t), f.delegation(1, 3).message(t), {1, 2, 3}} {
			auth := f.authenticator(allFlags, nil)
			carry(auth, allFlags, msg)
			auth.Cksum.Sum[20] &^= byte(gss.Deleg)
			h, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
			if err != nil {
				t.Fatal(err)
			}
			_, sc, err := h.Step(t.Context(), f.token(f.ticketPart(), auth))
			if err != nil {
				t.Fatal(err)
			}
			if d, ok := sc.(gss.Delegator); ok || sc.Info().Flags.Has(gss.Deleg) {
				t.Errorf("%v, %v", sc.Info(), d)
			}
			sc.Close()
		}
	})
}

// A delegated credential is closed with what it came with, whatever becomes of that.
func TestDelegatedErased(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	token := func(flags gss.Flags) []byte {
		auth := f.authenticator(flags, nil)
		carry(auth, flags, f.delegation(1, 1).message(t))
		tok := f.token(f.ticketPart(), auth)
		if flags.Has(gss.DCEStyle) {
			_, tok, _ = unframe(tok)
		}
		return tok
	}
	gone := func(t *testing.T, c *Credential) {
		t.Helper()
		if c.shared.refs != 0 || c.shared.tickets != nil {
			t.Errorf("%d handles are left", c.shared.refs)
		}
	}
	establish := func(t *testing.T) *acceptedContext {
		t.Helper()
		h, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}, Require: gss.Deleg})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		_, sc, err := h.Step(t.Context(), token(allFlags))
		if err != nil {
			t.Fatal(err)
		}
		return sc.(*acceptedContext)
	}
	t.Run("a flag that is required and missing", func(t *testing.T) {
		x := &exchange{m: f.mech, keys: f.service.shared.keys, opts: &gss.AcceptOptions{Require: gss.DCEStyle}}
		_, req, _ := unframe(token(allFlags))
		if r := x.read(req); r == nil || x.cred == nil {
			t.Fatalf("%+v", r)
		}
		x.erase()
		gone(t, x.cred)
	})
	t.Run("a replay", func(t *testing.T) {
		m := New(Options{Config: &f.mech.config, Replay: broken{strike.ErrSeen}})
		x := &exchange{m: m, keys: f.service.shared.keys, opts: new(gss.AcceptOptions)}
		_, req, _ := unframe(token(allFlags))
		if r := x.read(req); r != nil || x.cred == nil {
			t.Fatalf("%+v", r)
		}
		if r := x.strike(t.Context()); r == nil {
			t.Fatal("accepted")
		}
		x.erase()
		gone(t, x.cred)
	})
	for name, end := range map[string]func(h *acceptor){
		"third leg refused":    func(h *acceptor) { h.Step(context.Background(), []byte{0x6f, 0}) },
		"no third leg, closed": func(h *acceptor) { h.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			h, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if _, sc, err := h.Step(t.Context(), token(allFlags|gss.DCEStyle)); sc != nil || err != nil {
				t.Fatal(sc, err)
			}
			sc := h.(*acceptor).wait.sc.(*acceptedContext)
			if sc.cred.shared.refs != 1 {
				t.Fatal("nothing there")
			}
			end(h.(*acceptor))
			gone(t, sc.cred)
			if _, err := sc.MIC(nil, nil); gss.MajorOf(err) != gss.NoContext {
				t.Errorf("the context is still there: %v", err)
			}
		})
	}
	t.Run("context closed", func(t *testing.T) {
		sc := establish(t)
		one, err := sc.Delegated()
		if err != nil {
			t.Fatal(err)
		}
		sc.Close()
		sc.Close()
		if _, err := sc.Delegated(); gss.MajorOf(err) != gss.NoContext {
			t.Errorf("Delegated after Close: %v", err)
		}
		if sc.cred.shared.refs != 1 { // what the caller has stays good
			t.Errorf("%d handles", sc.cred.shared.refs)
		}
		one.Close()
		one.Close()
		gone(t, sc.cred)
	})
	t.Run("context exported", func(t *testing.T) {
		sc := establish(t)
		if _, err := sc.Export(); err != nil {
			t.Fatal(err)
		}
		gone(t, sc.cred)
		if _, err := sc.Delegated(); gss.MajorOf(err) != gss.NoContext {
			t.Errorf("Delegated after Export: %v", err)
		}
	})
	t.Run("close while it is asked for", func(t *testing.T) {
		for range 20 {
			sc := establish(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := sc.Delegated()
				if err == nil {
					c.Close()
				} else if m := gss.MajorOf(err); m != gss.NoContext && m != gss.NoCred {
					t.Error(err)
				}
			}()
			sc.Close()
			<-done
			gone(t, sc.cred)
		}
	})
}

// What an initiator delegates is for the acceptor that it goes to: in the message of the
// one nothing of the other's key is to be found, and who was not asked gives nothing.
func TestNotDelegated(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential() // without a TGT
	_, tok := f.initiate(cred, &gss.InitOptions{Request: gss.Deleg | gss.DelegPolicy})
	_, info, err := f.accept(tok, nil)
	if err != nil || info.Flags.Has(gss.Deleg) {
		t.Errorf("%v, %v", info.Flags, err)
	}
	h, err := f.mech.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}, Require: gss.Deleg})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if out, sc, err := h.Step(t.Context(), nil); out != nil || sc != nil || err == nil {
		t.Errorf("required without a TGT: %d octets, %v", len(out), err)
	} else if _, ok := errors.AsType[*gss.Error](err); !ok {
		t.Errorf("%T", err)
	}
}
