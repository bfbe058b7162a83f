package krb5

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/strike"
)

// tableKRB5 is the base of Kerberos' table of error codes, which minor status codes of the
// libraries have.
const tableKRB5 = 0x96c73a00

// TestInteropErrors: each side is told why the other refuses, so far as it says so.
func TestInteropErrors(t *testing.T) {
	libs := libraries(t)[:2]
	k := kdcMIT(t, peers.Enctypes[1].Name)
	keytab, err := os.ReadFile(k.keytab)
	if err != nil {
		t.Fatal(err)
	}
	good, err := FromKeytab(keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	var keys []testKey
	for _, e := range good.shared.keys.entries {
		other, err := ikrb5.RandomKey(e.key.EType())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, testKey{e.principal, other, e.kvno, time.Now()})
	}
	wrong, err := FromKeytab(testKeytab(keys...), "")
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	config := func() *Config { return &Config{DefaultRealm: k.realm} }
	narrow := config()
	narrow.Skew = time.Nanosecond
	begin := func(t *testing.T, l library) (*mitEndProcess, []byte) {
		args := append(l.command[1:len(l.command):len(l.command)], "host@localhost", fmt.Sprint(uint32(gss.DefaultFlags)), "-")
		p := startMITEnd(t, l.command[0], k.env(l), args...)
		return p, p.step(nil)
	}
	accept := func(m *Mech, cred *Credential, tok []byte) ([]byte, error) {
		h, err := m.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{cred}})
		if err != nil {
			return nil, err
		}
		defer h.Close()
		out, _, err := h.Step(t.Context(), tok)
		return out, err
	}
	for _, l := range libs {
		for name, tt := range map[string]struct {
			mech  *Mech
			cred  *Credential
			later time.Duration
			major gss.Major
			code  ikrb5.ErrorCode
		}{
			"skew":          {New(Options{Config: narrow, Replay: vouching{}}), good, 0, gss.Failure, ikrb5.KRB_AP_ERR_SKEW},
			"another key":   {New(Options{Config: config(), Replay: vouching{}}), wrong, 0, gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY},
			"expired":       {New(Options{Config: config(), Replay: vouching{}}), good, 48 * time.Hour, gss.CredentialsExpired, ikrb5.KRB_AP_ERR_TKT_EXPIRED},
			"replay":        {New(Options{Config: config(), Replay: broken{strike.ErrSeen}}), good, 0, gss.DuplicateToken, ikrb5.KRB_AP_ERR_REPEAT},
			"not permitted": {New(Options{Config: &Config{EncTypes: []int32{19}}, Replay: vouching{}}), good, 0, gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP},
			"not served":    {New(Options{Config: config(), Services: []string{}}), good, 0, gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US},
		} {
			t.Run("to "+l.name+"/"+name, func(t *testing.T) {
				p, tok := begin(t, l)
				var out []byte
				at := time.Now().Add(tt.later)
				synctest.Test(t, func(t *testing.T) { // where it is later
					if tt.later > 0 {
						time.Sleep(time.Until(at))
					} else {
						time.Sleep(time.Until(at.Add(time.Millisecond)))
					}
					var err error
					out, err = accept(tt.mech, tt.cred, tok)
					refused(t, out, err, tt.major, tt.code)
				})
				if again := p.step(out); l.name == "Heimdal" && tt.code == ikrb5.KRB_AP_ERR_SKEW {
					// It sets its clock by ours, and begins anew.
					if id, _, ok := unframe(again); !ok || id != tokAPReq {
						t.Errorf("Heimdal sends %x", again)
					}
					return
				}
				if want := fmt.Sprintf("error %d %d", uint32(gss.Failure), uint32(tableKRB5)+uint32(tt.code)); p.line() != want {
					t.Errorf("%s was told %q, want %q", l.name, p.out.Text(), want)
				}
			})
		}
	}

	// A forger with the service's key, whose tickets are good but for what a test spoils.
	f := newForger(t, ikrb5.AES256SHA1)
	f.server = good.shared.keys.entries[0].principal
	f.key = good.shared.keys.entries[0].key
	f.client = ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 1, Components: []string{"user"}}, Realm: k.realm}
	for _, l := range libs {
		for name, tt := range map[string]struct {
			spoil func(p *parts)
			times int
			major gss.Major
			code  ikrb5.ErrorCode // 0: none
		}{
			"as it should be": {func(p *parts) {}, 1, 0, 0},
			"skew":            {func(p *parts) { p.auth.CTime = p.auth.CTime.Add(-time.Hour) }, 1, gss.Failure, ikrb5.KRB_AP_ERR_SKEW},
			"not yet valid":   {func(p *parts) { p.tkt.StartTime = time.Now().Add(time.Hour) }, 1, gss.Failure, ikrb5.KRB_AP_ERR_TKT_NYV},
			"expired":         {func(p *parts) { p.tkt.EndTime = time.Now().Add(-time.Hour) }, 1, gss.CredentialsExpired, ikrb5.KRB_AP_ERR_TKT_EXPIRED},
			"another key":     {nil, 1, gss.Failure, ikrb5.KRB_AP_ERR_BAD_INTEGRITY},
			"replay":          {func(p *parts) {}, 2, gss.DuplicateToken, ikrb5.KRB_AP_ERR_REPEAT},
		} {
			if l.name == "Heimdal" && name == "replay" {
				continue // it does not look, unless it is told which cache to use
			}
			t.Run("from "+l.name+"/"+name, func(t *testing.T) {
				g := f.in(t)
				p := &parts{g.ticketPart(), g.authenticator(gss.DefaultFlags, nil)}
				if tt.spoil == nil {
					g.key, _ = ikrb5.RandomKey(f.key.EType())
				} else {
					tt.spoil(p)
				}
				p.tkt.AuthTime = p.tkt.AuthTime.Add(-2 * time.Hour)
				tkt := g.ticket(p.tkt)
				tkt.EncPart.KVNO = good.shared.keys.entries[0].kvno
				req := ikrb5.APReq{Options: ikrb5.APMutualRequired, Ticket: tkt, Authenticator: g.encrypt(p.auth, g.session, ikrb5.UsageAPReqAuth)}
				env := append(k.env(l), "KRB5RCACHENAME=file2:"+filepath.Join(t.TempDir(), "replays"))
				var out []byte
				var line string
				for range tt.times {
					e := startMITEnd(t, l.command[0], env, append(l.command[1:len(l.command):len(l.command)], "-", "0", "-")...)
					out = e.step(frame(tokAPReq, req.Append(nil)))
					if l.name == "Heimdal" && len(out) > 0 && tt.code != 0 {
						line = "it waits for another AP-REQ"
					} else {
						line = e.line()
					}
				}
				if len(out) == 0 { // Heimdal tells only of clocks
					if l.name == "MIT" || tt.code == ikrb5.KRB_AP_ERR_SKEW {
						t.Errorf("no token; %s", line)
					}
					return
				}
				subkey, err := p.auth.Subkey.Key()
				if err != nil {
					t.Fatal(err)
				}
				h := &initiator{m: f.mech, ticket: &ticket{key: g.session}, subkey: subkey,
					ctime: p.auth.CTime.Add(time.Duration(p.auth.CUsec) * time.Microsecond), seq: p.auth.SeqNumber}
				_, sc, err := h.Step(t.Context(), out)
				if sc != nil {
					sc.Close()
				}
				e, ok := errors.AsType[*gss.Error](err)
				if gss.MajorOf(err) != tt.major || ok && (!e.Remote || e.Minor != uint32(tt.code)) {
					t.Errorf("%v; %s: %s", err, l.name, line)
				}
			})
		}
	}
}

// TestInteropFlags: flags that are asked for, and no others, as libraries see them.
func TestInteropFlags(t *testing.T) {
	libs := libraries(t)[:2]
	k := kdcMIT(t, peers.Enctypes[1].Name)
	m := k.ours(t, nil)
	const mask = gss.DefaultFlags | gss.Identify
	for _, l := range libs {
		for _, flags := range []gss.Flags{gss.Mutual, gss.Mutual | gss.Integ, gss.DefaultFlags, gss.DefaultFlags | gss.Identify, gss.Mutual | gss.Replay} {
			t.Run(fmt.Sprintf("to %s/%v", l.name, flags), func(t *testing.T) {
				p, sc, err := k.to(t, m, l, "", &gss.InitOptions{Require: flags})
				if err != nil {
					t.Fatal(err)
				}
				defer sc.Close()
				if theirs, ours := complete(t, p)&mask, sc.Info().Flags&mask; theirs != flags || ours != flags {
					t.Errorf("%v and %v, want %v", ours, theirs, flags)
				}
				if _, err := sc.Wrap(nil, nil, gss.Confidential); (err == nil) != flags.Has(gss.Conf) || err != nil && gss.MajorOf(err) != gss.Unavailable {
					t.Errorf("sealed: %v", err)
				}
			})
			t.Run(fmt.Sprintf("from %s/%v", l.name, flags), func(t *testing.T) {
				p, sc, err := k.from(t, m, l, flags, "", &gss.AcceptOptions{Require: gss.Mutual})
				if err != nil {
					t.Fatal(err)
				}
				defer sc.Close()
				theirs, ours := complete(t, p)&mask, sc.Info().Flags&mask
				if theirs != ours || !ours.Has(flags) {
					t.Errorf("%v and %v, want %v", ours, theirs, flags)
				}
			})
		}
	}
}
