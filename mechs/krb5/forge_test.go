package krb5

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/strike"
)

// A forger has a service's key, as its KDC does, and makes whatever ticket and
// AP-REQ a test wants.
type forger struct {
	t       testing.TB
	key     *ikrb5.Key // the service's
	session *ikrb5.Key
	client  ikrb5.Principal
	server  ikrb5.Principal
	mech    *Mech
	service *Credential
}

const testRealm = "TEST.GSS"

func newForger(t testing.TB, etype ikrb5.EType) *forger {
	t.Helper()
	must := func(k *ikrb5.Key, err error) *ikrb5.Key {
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	f := &forger{
		t: t, key: must(ikrb5.RandomKey(etype)), session: must(ikrb5.RandomKey(etype)),
		client: ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 1, Components: []string{"alice"}}, Realm: testRealm},
		server: ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "h.test"}}, Realm: testRealm},
	}
	f.mech = New(Options{Config: &Config{DefaultRealm: testRealm}, Replay: vouching{}})
	var err error
	f.service, err = FromKeytab(f.keytab(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.service.Close() })
	return f
}

// in is f within another test.
func (f *forger) in(t testing.TB) *forger {
	g := *f
	g.t = t
	return &g
}

// vouching is a store that has seen nothing, whatever it is asked.
type vouching struct{}

func (vouching) Strike(context.Context, [32]byte, time.Time, time.Time) error { return nil }

// broken is a store that always fails.
type broken struct{ err error }

func (b broken) Strike(context.Context, [32]byte, time.Time, time.Time) error { return b.err }

var _ strike.Store = vouching{}

func (f *forger) keytab() []byte {
	return testKeytab(testKey{f.server, f.key, 1, time.Now().Add(-time.Hour)})
}

type testKey struct {
	principal ikrb5.Principal
	key       *ikrb5.Key
	kvno      uint32
	written   time.Time
}

func testKeytab(keys ...testKey) []byte {
	b := []byte{5, 2}
	data := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	for _, k := range keys {
		e := binary.BigEndian.AppendUint16(nil, uint16(len(k.principal.Name.Components)))
		e = data(e, k.principal.Realm)
		for _, c := range k.principal.Name.Components {
			e = data(e, c)
		}
		e = binary.BigEndian.AppendUint32(e, uint32(k.principal.Name.Type))
		e = binary.BigEndian.AppendUint32(e, uint32(k.written.Unix()))
		e = append(e, byte(k.kvno))
		e = binary.BigEndian.AppendUint16(e, uint16(k.key.EType()))
		e = data(e, string(k.key.Bytes()))
		e = binary.BigEndian.AppendUint32(e, k.kvno)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(e))), e...)
	}
	return b
}

// testCCache is a credential cache of version 4 with one ticket.
func testCCache(client ikrb5.Principal, tickets ...*ticket) []byte {
	u32 := binary.BigEndian.AppendUint32
	data := func(b []byte, s string) []byte { return append(u32(b, uint32(len(s))), s...) }
	principal := func(b []byte, p ikrb5.Principal) []byte {
		b = u32(u32(b, uint32(p.Name.Type)), uint32(len(p.Name.Components)))
		b = data(b, p.Realm)
		for _, c := range p.Name.Components {
			b = data(b, c)
		}
		return b
	}
	b := principal([]byte{5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}, client)
	for _, t := range tickets {
		b = principal(principal(b, client), t.server)
		b = binary.BigEndian.AppendUint16(b, uint16(t.key.EType()))
		b = data(b, string(t.key.Bytes()))
		for _, at := range []time.Time{t.start, t.start, t.end, t.renew} {
			b = u32(b, uint32(max(at.Unix(), 0)))
		}
		b = append(b, 0)
		b = u32(u32(u32(b, t.flags), 0), 0)
		b = data(data(b, string(t.raw)), "")
	}
	return b
}

// ticketPart is a good one, which a test spoils.
func (f *forger) ticketPart() *ikrb5.EncTicketPart {
	now := time.Now().Truncate(time.Second)
	return &ikrb5.EncTicketPart{
		Flags:  ikrb5.TicketInitial,
		Key:    ikrb5.EncryptionKey{EType: f.session.EType(), Value: f.session.Bytes()},
		CRealm: f.client.Realm, CName: f.client.Name, TransitedType: 1,
		AuthTime: now, EndTime: now.Add(time.Hour),
	}
}

func (f *forger) ticket(part *ikrb5.EncTicketPart) ikrb5.Ticket {
	cipher, err := f.key.Encrypt(nil, part.Append(nil), ikrb5.UsageTicket)
	if err != nil {
		f.t.Fatal(err)
	}
	return ikrb5.Ticket{Realm: f.server.Realm, SName: f.server.Name,
		EncPart: ikrb5.EncryptedData{EType: f.key.EType(), KVNO: 1, HasKVNO: true, Cipher: cipher}}
}

// authenticator is a good one.
func (f *forger) authenticator(flags gss.Flags, bindings []byte) *ikrb5.Authenticator {
	now := time.Now()
	sum := gssChecksum{bindings: hashBindings(bindings), flags: flags}
	subkey, err := ikrb5.RandomKey(f.session.EType())
	if err != nil {
		f.t.Fatal(err)
	}
	return &ikrb5.Authenticator{
		CRealm: f.client.Realm, CName: f.client.Name,
		Cksum: &ikrb5.Checksum{Type: checksumType, Sum: sum.append(nil)},
		CTime: now.Truncate(time.Second), CUsec: now.Nanosecond() / 1000,
		Subkey:    &ikrb5.EncryptionKey{EType: subkey.EType(), Value: subkey.Bytes()},
		SeqNumber: 7, HasSeq: true,
	}
}

func (f *forger) encrypt(auth *ikrb5.Authenticator, key *ikrb5.Key, usage uint32) ikrb5.EncryptedData {
	cipher, err := key.Encrypt(nil, auth.Append(nil), usage)
	if err != nil {
		f.t.Fatal(err)
	}
	return ikrb5.EncryptedData{EType: key.EType(), Cipher: cipher}
}

func (f *forger) token(part *ikrb5.EncTicketPart, auth *ikrb5.Authenticator) []byte {
	req := ikrb5.APReq{Ticket: f.ticket(part), Authenticator: f.encrypt(auth, f.session, ikrb5.UsageAPReqAuth)}
	return frame(tokAPReq, req.Append(nil))
}

// credential is the client's, with a ticket and no TGT.
func (f *forger) credential() *Credential {
	f.t.Helper()
	part := f.ticketPart()
	t := f.ticket(part)
	c, err := FromCCache(testCCache(f.client, &ticket{server: f.server, raw: t.Append(nil), key: f.session, start: part.AuthTime, end: part.EndTime, flags: part.Flags}))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// accept gives a token to a new acceptor and closes the context, if any.
func (f *forger) accept(tok []byte, o *gss.AcceptOptions) (out []byte, info gss.Info, err error) {
	f.t.Helper()
	r := o.Resolved()
	if r.Credentials == nil {
		r.Credentials = []gss.Credential{f.service}
	}
	h, err := f.mech.Accept(&r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer h.Close()
	out, sc, err := h.Step(context.Background(), tok)
	if sc != nil {
		info = sc.Info()
		sc.Close()
	}
	if (sc == nil) == (err == nil) {
		f.t.Fatalf("context %v and error %v", sc, err)
	}
	if err != nil {
		if _, _, again := h.Step(context.Background(), tok); gss.MajorOf(again) != gss.NoContext {
			f.t.Errorf("Step after an error: %v", again)
		}
	}
	return out, info, err
}

// initiate starts a handshake with the forged service.
func (f *forger) initiate(cred *Credential, o *gss.InitOptions) (gss.Handshake, []byte) {
	f.t.Helper()
	r := o.Resolved()
	r.Credentials = []gss.Credential{cred}
	h, err := f.mech.Initiate(gss.Service("host", "h.test"), &r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { h.Close() })
	tok, sc, err := h.Step(context.Background(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if sc != nil {
		sc.Close()
	}
	return h, tok
}
