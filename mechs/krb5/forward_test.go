package krb5

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A forwarding is a KRB-CRED in parts, as an initiator makes it.
type forwarding struct {
	m       *Mech
	client  ikrb5.Principal
	session *ikrb5.Key // that the message is encrypted under
	part    ikrb5.EncCredPart
	tickets []ikrb5.Ticket
}

// newForwarding has n tickets with m infos.
func newForwarding(t testing.TB, n, m int) *forwarding {
	t.Helper()
	d := &forwarding{m: New(Options{}), client: ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 1, Components: []string{"alice"}}, Realm: testRealm}}
	var err error
	if d.session, err = ikrb5.RandomKey(ikrb5.AES256SHA2); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	for i := range max(n, m) {
		key, err := ikrb5.RandomKey(ikrb5.AES128SHA1)
		if err != nil {
			t.Fatal(err)
		}
		server := tgtName(fmt.Sprint("R", i), testRealm)
		if i < n {
			d.tickets = append(d.tickets, ikrb5.Ticket{Realm: server.Realm, SName: server.Name, EncPart: ikrb5.EncryptedData{EType: 18, Cipher: []byte("ticket")}})
		}
		if i < m {
			d.part.Infos = append(d.part.Infos, ikrb5.CredInfo{
				Key: ikrb5.EncryptionKey{EType: key.EType(), Value: key.Bytes()}, PRealm: d.client.Realm, PName: d.client.Name,
				Flags: ikrb5.TicketForwarded, HasFlags: true, StartTime: now, EndTime: now.Add(time.Hour), SRealm: server.Realm, SName: server.Name,
			})
		}
	}
	return d
}

func (d *forwarding) message(t testing.TB) []byte {
	t.Helper()
	cipher, err := d.session.Encrypt(nil, d.part.Append(nil), ikrb5.UsageCredEncPart)
	if err != nil {
		t.Fatal(err)
	}
	c := ikrb5.Cred{Tickets: d.tickets, EncPart: ikrb5.EncryptedData{EType: d.session.EType(), Cipher: cipher}}
	return c.Append(nil)
}

// CVE-2026-107778: as many infos as tickets, and one at least; nothing is read beyond the
// shorter list.
func TestCVE_2026_107778(t *testing.T) {
	for n := range 4 {
		for infos := range 4 {
			d := newForwarding(t, n, infos)
			c, err := d.m.openCred(d.message(t), d.client, d.session)
			if good := n == infos && n > 0; (err == nil) != good {
				t.Errorf("%d tickets, %d infos: %v", n, infos, err)
			} else if good {
				if len(c.shared.tickets) != n || !c.shared.initiates || c.shared.accepts || !c.Expiry().Equal(d.part.Infos[0].EndTime) {
					t.Errorf("%d tickets: %+v", n, c.shared)
				}
				c.Close()
			}
		}
	}
}

func TestDelegatedCredential(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for name, change := range map[string]func(d *forwarding){
		"another client":         func(d *forwarding) { d.part.Infos[1].PName.Components = []string{"bob"} },
		"another client's realm": func(d *forwarding) { d.part.Infos[1].PRealm = "OTHER" },
		"no client":              func(d *forwarding) { d.part.Infos[1].PName.Components = nil },
		"no realm":               func(d *forwarding) { d.part.Infos[1].PRealm = "" },
		"another service":        func(d *forwarding) { d.part.Infos[1].SName.Components = []string{"x"} },
		"another's realm":        func(d *forwarding) { d.tickets[1].Realm = "OTHER" },
		"no service":             func(d *forwarding) { d.part.Infos[1].SName.Components = nil },
		"no flags":               func(d *forwarding) { d.part.Infos[1].HasFlags = false },
		"no end":                 func(d *forwarding) { d.part.Infos[1].EndTime = time.Time{} },
		"ended":                  func(d *forwarding) { d.part.Infos[1].EndTime = now.Add(-time.Second) },
		"RC4":                    func(d *forwarding) { d.part.Infos[1].Key = ikrb5.EncryptionKey{EType: 23, Value: make([]byte, 16)} },
		"not permitted": func(d *forwarding) {
			d.m.config.EncTypes = []int32{int32(ikrb5.AES256SHA2)}
			d.part.Infos[1].Key = ikrb5.EncryptionKey{EType: ikrb5.AES128SHA1, Value: make([]byte, 16)}
		},
		"short key": func(d *forwarding) { d.part.Infos[1].Key.Value = d.part.Infos[1].Key.Value[1:] },
		"another key": func(d *forwarding) {
			d.session, _ = ikrb5.RandomKey(ikrb5.AES256SHA2)
		},
		"a key of another type": func(d *forwarding) { d.session, _ = ikrb5.RandomKey(ikrb5.AES128SHA2) },
	} {
		d := newForwarding(t, 2, 2)
		key := d.session
		change(d)
		if c, err := d.m.openCred(d.message(t), d.client, key); c != nil || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := newForwarding(t, 2, 2)
	other, _ := ikrb5.RandomKey(ikrb5.AES128SHA2)
	c, err := d.m.openCred(d.message(t), d.client, other, d.session)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// What appendCred writes openCred reads, and every bit of it is protected but for the
// tickets, which are their services' to check, and name types.
func TestDelegatedBits(t *testing.T) {
	d := newForwarding(t, 1, 1)
	key, err := d.part.Infos[0].Key.Key()
	if err != nil {
		t.Fatal(err)
	}
	info := d.part.Infos[0]
	tgt := &ticket{server: tgtName("R0", testRealm), raw: d.tickets[0].Append(nil), key: key, start: info.StartTime, end: info.EndTime, flags: info.Flags}
	msg, err := d.m.appendCred([]byte("before"), d.client, tgt, d.session)
	if err != nil || !bytes.HasPrefix(msg, []byte("before")) {
		t.Fatal(err)
	}
	msg = msg[6:]
	c, err := d.m.openCred(msg, d.client, d.session)
	if err != nil {
		t.Fatal(err)
	}
	got := c.shared.tickets[tgt.server.String()]
	if got == nil || !bytes.Equal(got.raw, tgt.raw) || !bytes.Equal(got.key.Bytes(), tgt.key.Bytes()) || got.flags != tgt.flags || !got.end.Equal(tgt.end) {
		t.Errorf("%+v, want %+v", got, tgt)
	}
	at := bytes.Index(msg, tgt.raw)
	for n := range msg {
		if _, err := d.m.openCred(msg[:n], d.client, d.session); !errors.Is(err, ikrb5.ErrMalformed) {
			t.Errorf("%d of %d octets: %v", n, len(msg), err)
		}
		for bit := range 8 {
			b := bytes.Clone(msg)
			b[n] ^= 1 << bit
			if c, err := d.m.openCred(b, d.client, d.session); err == nil {
				if c.Close(); n < at || n >= at+len(tgt.raw) {
					t.Errorf("octet %d bit %d turned: accepted", n, bit)
				}
			}
		}
	}
}

// TGTs that cannot be forwarded or renewed are not shown to a KDC for that.
func TestForwardRefused(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	s := cred.shared
	now := time.Now()
	tgt := &ticket{server: s.home(), raw: k.honestTicket(), key: k.key, start: now, end: now.Add(time.Hour), flags: ikrb5.TicketRenewable, renew: now.Add(2 * time.Hour)}
	s.put(tgt)
	asked := 0
	k.answer = func(req *ikrb5.KDCReq) []byte { asked++; return k.honest(req) }
	if _, err := m.forward(t.Context(), s); !errors.Is(err, errNotForwardable) || asked != 0 {
		t.Errorf("not forwardable: %v after %d requests", err, asked)
	}
	for name, change := range map[string]func(*ticket){
		"not renewable": func(t *ticket) { t.flags = 0 },
		"too late":      func(t *ticket) { t.renew = now },
		"ended":         func(t *ticket) { t.end = now },
	} {
		bad := *tgt
		change(&bad)
		if _, err := m.renew(t.Context(), s, &bad); !errors.Is(err, errNotRenewable) || asked != 0 {
			t.Errorf("%s: %v after %d requests", name, err, asked)
		}
	}
	if _, err := m.renew(t.Context(), s, tgt); err != nil || asked != 1 {
		t.Errorf("%v after %d requests", err, asked)
	}
}

// FuzzCred fuzzes the message, and what is inside it behind the encryption. It begins with
// ours, MIT's and Heimdal's, each at its time.
func FuzzCred(f *testing.F) {
	d := newForwarding(f, 2, 2)
	f.Add(byte(0), d.message(f), false)
	f.Add(byte(0), d.part.Append(nil), true)
	type origin struct {
		*forwarding
		at time.Time
	}
	all := []origin{{d, time.Now()}}
	for n, r := range exchanges(f) {
		_, session, auth, sum := r.delegated(f)
		c, err := ikrb5.ParseCred(sum.cred)
		if err != nil {
			f.Fatal(err)
		}
		plain := c.EncPart.Cipher
		if c.EncPart.EType != 0 {
			if plain, err = session.Decrypt(nil, plain, ikrb5.UsageCredEncPart); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(byte(n+1), sum.cred, false)
		f.Add(byte(n+1), plain, true)
		m := New(Options{Config: r.config()})
		client := ikrb5.Principal{Name: auth.CName, Realm: auth.CRealm}
		all = append(all, origin{&forwarding{m: m, client: client, session: session, tickets: c.Tickets}, r.Time})
	}
	f.Fuzz(func(t *testing.T, n byte, b []byte, inside bool) {
		d := all[int(n)%len(all)]
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(d.at))
			d.fuzz(t, b, inside)
		})
	})
}

func (d *forwarding) fuzz(t *testing.T, b []byte, inside bool) {
	if inside {
		cipher, err := d.session.Encrypt(nil, b, ikrb5.UsageCredEncPart)
		if err != nil {
			t.Fatal(err)
		}
		c := ikrb5.Cred{Tickets: d.tickets, EncPart: ikrb5.EncryptedData{EType: d.session.EType(), Cipher: cipher}}
		b = c.Append(nil)
	}
	c, err := d.m.openCred(b, d.client, d.session)
	if (c == nil) != (err != nil) {
		t.Fatal(c, err)
	}
	if c != nil {
		if !c.Name().IsZero() && c.Name() != mechName(d.client) {
			t.Fatal(c.Name())
		}
		c.Close()
	}
}
