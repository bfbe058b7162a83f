package krb5

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A fakeKDC answers requests as answer says: with a reply, or with what it likes.
// It stands between client and KDC, or is a KDC gone bad.
type fakeKDC struct {
	key    *ikrb5.Key // the client's, and everybody's
	answer func(req *ikrb5.KDCReq) []byte
}

func (k *fakeKDC) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		var head [4]byte
		if _, err := io.ReadFull(far, head[:]); err != nil {
			return
		}
		msg := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(far, msg); err != nil {
			return
		}
		req, err := ikrb5.ParseKDCReq(msg)
		if err != nil {
			return
		}
		reply := k.answer(req)
		far.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
	}()
	return near, nil
}

// part is what an honest KDC encrypts for the client.
func (k *fakeKDC) part(req *ikrb5.KDCReq) *ikrb5.EncKDCRepPart {
	now := time.Now().Truncate(time.Second)
	return &ikrb5.EncKDCRepPart{
		TGS: req.TGS, Key: ikrb5.EncryptionKey{EType: k.key.EType(), Value: k.key.Bytes()}, Nonce: req.Body.Nonce,
		AuthTime: now, EndTime: now.Add(time.Hour), SRealm: req.Body.Realm, SName: req.Body.SName,
	}
}

// rep is an honest reply around part.
func (k *fakeKDC) rep(req *ikrb5.KDCReq, part *ikrb5.EncKDCRepPart) *ikrb5.KDCRep {
	usage := uint32(ikrb5.UsageASRep)
	if req.TGS {
		usage = ikrb5.UsageTGSRepSession
	}
	cipher, _ := k.key.Encrypt(nil, part.Append(nil), usage)
	tkt, _ := k.key.Encrypt(nil, []byte("for the service only"), ikrb5.UsageTicket)
	return &ikrb5.KDCRep{
		TGS: req.TGS, CRealm: testRealm, CName: ikrb5.PrincipalName{Type: 1, Components: []string{"alice"}},
		Ticket: ikrb5.Ticket{Realm: req.Body.Realm, SName: req.Body.SName,
			EncPart: ikrb5.EncryptedData{EType: k.key.EType(), KVNO: 1, HasKVNO: true, Cipher: tkt}},
		EncPart: ikrb5.EncryptedData{EType: k.key.EType(), Cipher: cipher},
	}
}

func (k *fakeKDC) honest(req *ikrb5.KDCReq) []byte { return k.rep(req, k.part(req)).Append(nil) }

func newFakeKDC(t *testing.T) (*fakeKDC, *Mech, *Credential) {
	t.Helper()
	key, err := ikrb5.RandomKey(ikrb5.AES128SHA2)
	if err != nil {
		t.Fatal(err)
	}
	k := &fakeKDC{key: key}
	k.answer = k.honest
	alice := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 1, Components: []string{"alice"}}, Realm: testRealm}
	cred, err := FromClientKeytab(testKeytab(testKey{alice, key, 1, time.Now()}), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cred.Close() })
	m := New(Options{Config: &Config{KDCs: map[string][]string{testRealm: {"tcp/kdc"}}}, Dial: k.dial})
	return k, m, cred
}

// ask runs one AS exchange, or a TGS exchange with the TGT of an honest one.
func (k *fakeKDC) ask(t *testing.T, m *Mech, cred *Credential, tgs bool, answer func(*ikrb5.KDCReq) []byte) (*ticket, error) {
	t.Helper()
	k.answer = answer
	if !tgs {
		return m.asExchange(t.Context(), cred.shared)
	}
	server := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "h"}}, Realm: testRealm}
	tgt := &ticket{server: tgtName(testRealm, testRealm), raw: k.honestTicket(), key: k.key, end: time.Now().Add(time.Hour)}
	return m.tgsExchange(t.Context(), cred.shared, tgt, server)
}

func (k *fakeKDC) honestTicket() []byte {
	tgt := ikrb5.Ticket{Realm: testRealm, SName: tgtName(testRealm, testRealm).Name, EncPart: ikrb5.EncryptedData{EType: 19, Cipher: []byte("x")}}
	return tgt.Append(nil)
}

// A TGT of a cache, or of before, whose key is not permitted is not shown to anybody.
func TestTGTEncType(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	m.config.EncTypes = []int32{int32(ikrb5.AES256SHA2)}
	_, err := k.ask(t, m, cred, true, func(*ikrb5.KDCReq) []byte {
		t.Error("the KDC was asked")
		return nil
	})
	if !errors.Is(err, errNoEncType) {
		t.Errorf("%v, want errNoEncType", err)
	}
}

// TestKDCReply: what a KDC, or somebody in between, may not say.
func TestKDCReply(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	type change struct {
		part func(p *ikrb5.EncKDCRepPart)
		rep  func(r *ikrb5.KDCRep)
	}
	evil := []string{"host", "evil"}
	for name, c := range map[string]change{
		"another nonce":               {part: func(p *ikrb5.EncKDCRepPart) { p.Nonce++ }},
		"another service":             {part: func(p *ikrb5.EncKDCRepPart) { p.SName.Components = evil }},
		"another realm":               {part: func(p *ikrb5.EncKDCRepPart) { p.SRealm = "EVIL" }},
		"ended":                       {part: func(p *ikrb5.EncKDCRepPart) { p.EndTime = time.Now().Add(-time.Second) }},
		"session key of RC4":          {part: func(p *ikrb5.EncKDCRepPart) { p.Key = ikrb5.EncryptionKey{EType: 23, Value: make([]byte, 16)} }},
		"session key too short":       {part: func(p *ikrb5.EncKDCRepPart) { p.Key.Value = p.Key.Value[1:] }},
		"ticket for another service":  {rep: func(r *ikrb5.KDCRep) { r.Ticket.SName.Components = evil }},
		"ticket of another realm":     {rep: func(r *ikrb5.KDCRep) { r.Ticket.Realm = "EVIL" }},
		"another client":              {rep: func(r *ikrb5.KDCRep) { r.CName.Components = []string{"bob"} }},
		"another client's realm":      {rep: func(r *ikrb5.KDCRep) { r.CRealm = "EVIL" }},
		"reply to the other exchange": {rep: func(r *ikrb5.KDCRep) { r.TGS = !r.TGS }},
		"said to be RC4":              {rep: func(r *ikrb5.KDCRep) { r.EncPart.EType = 23 }},
		"said to be of another type":  {rep: func(r *ikrb5.KDCRep) { r.EncPart.EType = 17 }},
		"cipher empty":                {rep: func(r *ikrb5.KDCRep) { r.EncPart.Cipher = nil }},
	} {
		for _, tgs := range []bool{false, true} {
			tkt, err := k.ask(t, m, cred, tgs, func(req *ikrb5.KDCReq) []byte {
				p := k.part(req)
				if c.part != nil {
					c.part(p)
				}
				r := k.rep(req, p)
				if c.rep != nil {
					c.rep(r)
				}
				return r.Append(nil)
			})
			if err == nil || tkt != nil {
				t.Errorf("%s (tgs %v): %v, %v", name, tgs, tkt, err)
			}
		}
	}
	for _, tgs := range []bool{false, true} {
		if _, err := k.ask(t, m, cred, tgs, k.honest); err != nil {
			t.Errorf("honest (tgs %v): %v", tgs, err)
		}
	}
}

// Every bit of a reply that can be turned without an error is in the ticket's
// encrypted part, which only the service can check, or in a name's type.
func TestKDCReplyBits(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	server := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"host", "h"}}, Realm: testRealm}
	for _, tgs := range []bool{false, true} {
		usage := uint32(ikrb5.UsageASRep)
		if tgs {
			usage = ikrb5.UsageTGSRepSession
		}
		req := &ikrb5.KDCReq{TGS: tgs, Body: m.requestBody(server)}
		honest := k.rep(req, k.part(req))
		reply := honest.Append(nil)
		open := map[int]bool{}
		part := honest.Ticket.EncPart.Append(nil)
		at := bytes.Index(reply, part)
		for i := range part {
			open[at+i] = true
		}
		for i := range len(reply) - 5 { // name-type [0] INTEGER, then name-string [1]
			if bytes.Equal(reply[i:i+4], []byte{0xa0, 3, 2, 1}) && reply[i+5] == 0xa1 {
				open[i+4] = true
			}
		}
		accepted := 0
		for i := range reply {
			for bit := range 8 {
				bad := slices.Clone(reply)
				bad[i] ^= 1 << bit
				rep, err := ikrb5.ParseKDCRep(bad)
				if err != nil {
					continue
				}
				if _, err = m.openReply(&tgsRequest{server: server, client: cred.shared.principal}, req, rep, k.key, usage); err != nil {
					continue
				}
				if accepted++; !open[i] {
					t.Errorf("tgs %v: octet %d of %d bit %d turned: accepted", tgs, i, len(reply), bit)
				}
			}
		}
		if accepted < len(honest.Ticket.EncPart.Cipher)*8 {
			t.Errorf("tgs %v: %d bits accepted: the ticket's cipher is looked at", tgs, accepted)
		}
	}
}

// Rubbish, and lengths that are lies, are typed errors and cost little.
func TestKDCRubbish(t *testing.T) {
	_, m, cred := newFakeKDC(t)
	for name, raw := range map[string][]byte{
		"nothing":           nil,
		"half a length":     {0, 0},
		"empty message":     {0, 0, 0, 0},
		"4 GiB":             {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"a MiB, not sent":   {0, 0x10, 0, 0, 1, 2, 3},
		"rubbish":           {0, 0, 0, 3, 1, 2, 3},
		"deep":              append([]byte{0, 0, 0x40, 0}, bytes.Repeat([]byte{0x30, 0x80}, 1<<13)...),
		"KRB-ERROR, broken": {0, 0, 0, 2, 0x7e, 0},
	} {
		m.dialer = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				io.ReadFull(far, make([]byte, 20))
				go io.Copy(io.Discard, far)
				far.Write(raw)
				far.Close()
			}()
			return near, nil
		}
		h, err := m.Initiate(gss.Service("host", "h"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.Failure {
			t.Errorf("%s: %v", name, err)
		}
		h.Close()
	}
}

// What somebody in the KDC's place asks of a password.
func TestPreauthentication(t *testing.T) {
	k, m, _ := newFakeKDC(t)
	cred, err := FromPassword("alice@"+testRealm, "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	info := func(e ikrb5.EType, params []byte) ikrb5.PAData {
		return ikrb5.PAData{Type: ikrb5.PAETypeInfo2, Value: ikrb5.AppendETypeInfo2(nil, []ikrb5.ETypeInfo2Entry{{EType: e, S2KParams: params, HasSalt: true, Salt: "salt"}})}
	}
	stamp := ikrb5.PAData{Type: ikrb5.PAEncTimestamp}
	for _, tt := range []struct {
		name  string
		edata []byte
		err   error // nil: a time stamp is sent
	}{
		{"as it should be", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(19, nil), stamp}), nil},
		{"as it should be, count given", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(18, []byte{0, 0, 0x10, 0}), stamp}), nil},
		{"no hint", ikrb5.AppendMethodData(nil, []ikrb5.PAData{stamp}), nil},
		{"nothing", nil, ikrb5.ErrMalformed},
		{"rubbish", []byte{0x30, 5}, ikrb5.ErrMalformed},
		{"empty ETYPE-INFO2", ikrb5.AppendMethodData(nil, []ikrb5.PAData{{Type: ikrb5.PAETypeInfo2, Value: []byte{0x30, 0}}, stamp}), ikrb5.ErrMalformed},
		{"RC4 only", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(23, nil), stamp}), errNoEncType},
		{"one iteration", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(18, []byte{0, 0, 0, 1}), stamp}), ikrb5.ErrS2KParams},
		{"2³² iterations", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(18, []byte{0, 0, 0, 0}), stamp}), ikrb5.ErrS2KParams},
		{"2³²-1 iterations", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(18, []byte{255, 255, 255, 255}), stamp}), ikrb5.ErrS2KParams},
		{"short parameters", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(18, []byte{1}), stamp}), ikrb5.ErrS2KParams},
		{"no time stamp wanted", ikrb5.AppendMethodData(nil, []ikrb5.PAData{info(18, nil)}), errPreauth},
	} {
		requests, stamps := 0, 0
		_, err := k.ask(t, m, cred, false, func(req *ikrb5.KDCReq) []byte {
			requests++
			if value, ok := ikrb5.FindPAData(req.PAData, ikrb5.PAEncTimestamp); ok {
				stamps++
				if d, err := ikrb5.ParseEncryptedData(value); err != nil || !d.EType.Supported() {
					t.Errorf("%s: time stamp %+v, %v", tt.name, d, err)
				}
			}
			e := ikrb5.KRBError{Code: ikrb5.KDC_ERR_PREAUTH_REQUIRED, STime: time.Now(), Realm: testRealm, SName: req.Body.SName, EData: tt.edata}
			return e.Append(nil)
		})
		switch {
		case tt.err == nil:
			if !errors.Is(err, ikrb5.KDC_ERR_PREAUTH_REQUIRED) || requests != 2 || stamps != 1 {
				t.Errorf("%s: %v after %d requests", tt.name, err, requests)
			}
		case !errors.Is(err, tt.err) || stamps != 0:
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A ticket that is about to end is used if there is no newer one to be had; what a
// credential keeps is bounded.
func TestTicketCache(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	s := cred.shared
	server := ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{"host", "h"}}, Realm: testRealm}
	ending := &ticket{server: server, key: k.key, end: time.Now().Add(freshness / 2)}
	s.put(ending)
	down := true
	k.answer = func(req *ikrb5.KDCReq) []byte {
		if down {
			return nil
		}
		return k.honest(req)
	}
	if got, err := m.ticketFor(t.Context(), s, server, server.String()); err != nil || got != ending {
		t.Errorf("KDC down: %v, %v", got, err)
	}
	down = false
	fresh, err := m.ticketFor(t.Context(), s, server, server.String())
	if err != nil || fresh == ending || time.Until(fresh.end) < freshness {
		t.Errorf("KDC up: %v, %v", fresh, err)
	}
	down = true
	if got, err := m.ticketFor(t.Context(), s, server, server.String()); err != nil || got != fresh {
		t.Errorf("again: %v, %v", got, err)
	}
	s.put(ending)
	if s.get(server.String(), time.Now()) != fresh {
		t.Error("a ticket was replaced by one that ends sooner")
	}
	other := server
	for i := range maxTickets + 10 {
		other.Realm = string(rune('a' + i))
		s.put(&ticket{server: other, key: k.key, end: time.Now().Add(time.Hour)})
	}
	if len(s.tickets) != maxTickets {
		t.Errorf("%d tickets", len(s.tickets))
	}
}

// KDCs are found by SRV records, TCP before UDP.
func TestLookupKDC(t *testing.T) {
	for _, tt := range []struct {
		name string
		srv  map[string]string // query → target
		want []string
	}{
		{"tcp", map[string]string{"_kerberos._tcp.R.TEST.": "kdc.test.", "_kerberos._udp.R.TEST.": "other.test."}, []string{"tcp/kdc.test:88"}},
		{"udp only", map[string]string{"_kerberos._udp.R.TEST.": "kdc.test."}, []string{"udp/kdc.test:88"}},
		{"none", nil, nil},
		{"none, it says", map[string]string{"_kerberos._tcp.R.TEST.": ".", "_kerberos._udp.R.TEST.": "."}, nil}, // not this host
	} {
		r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go serveDNS(far, tt.srv)
			return near, nil
		}}
		m := New(Options{Config: &Config{LookupKDC: true}, Resolver: r})
		got, err := m.kdcs(t.Context(), "R.TEST")
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
	m := New(Options{})
	if got, err := m.kdcs(t.Context(), "R.TEST"); err == nil {
		t.Errorf("not to be looked up: %v", got)
	}
}

// serveDNS answers one query, as by TCP, with an SRV record for port 88 or with
// NXDOMAIN (RFC 1035 §4, RFC 2782).
func serveDNS(c net.Conn, srv map[string]string) {
	defer c.Close()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	q := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, q); err != nil {
		return
	}
	name, i := "", 12
	for q[i] != 0 {
		name += string(q[i+1:i+1+int(q[i])]) + "."
		i += 1 + int(q[i])
	}
	reply := append([]byte{q[0], q[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:i+5]...)
	if target, ok := srv[name]; ok {
		reply[7] = 1
		data := []byte{0, 0, 0, 0, 0, 88}
		for label := range bytes.FieldsFuncSeq([]byte(target), func(r rune) bool { return r == '.' }) {
			data = append(append(data, byte(len(label))), label...)
		}
		data = append(data, 0)
		reply = append(reply, 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, byte(len(data)))
		reply = append(reply, data...)
	} else {
		reply[3] = 3
	}
	c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
}

// A KDC, or who says so, does not choose a type of keys that the configuration does not
// permit: neither of the client's nor of the session.
func TestKDCEncType(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	old, err := ikrb5.RandomKey(ikrb5.AES128SHA1)
	if err != nil {
		t.Fatal(err)
	}
	both, err := FromClientKeytab(testKeytab(testKey{cred.shared.principal, k.key, 1, time.Now()}, testKey{cred.shared.principal, old, 1, time.Now()}), "")
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	m.config.EncTypes = []int32{int32(ikrb5.AES128SHA2)}
	if _, err := k.ask(t, m, both, false, k.honest); err != nil {
		t.Fatal(err)
	}
	weak := fakeKDC{key: old}
	if _, err := k.ask(t, m, both, false, func(req *ikrb5.KDCReq) []byte {
		part := weak.part(req)
		part.Key = ikrb5.EncryptionKey{EType: k.key.EType(), Value: k.key.Bytes()}
		return weak.rep(req, part).Append(nil)
	}); !errors.Is(err, errNoEncType) {
		t.Errorf("the client's key: %v", err)
	}
	for _, tgs := range []bool{false, true} {
		if _, err := k.ask(t, m, both, tgs, func(req *ikrb5.KDCReq) []byte {
			part := k.part(req)
			part.Key = ikrb5.EncryptionKey{EType: old.EType(), Value: old.Bytes()}
			return k.rep(req, part).Append(nil)
		}); !errors.Is(err, errNoEncType) {
			t.Errorf("the session key, %t: %v", tgs, err)
		}
	}
}

// A reply that is too long is not read, even if it comes.
func TestLongReply(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	for size, ok := range map[int]bool{maxReply / 2: true, maxReply: false} {
		_, err := k.ask(t, m, cred, true, func(req *ikrb5.KDCReq) []byte {
			rep := k.rep(req, k.part(req))
			rep.Ticket.EncPart.Cipher = make([]byte, size)
			return rep.Append(nil)
		})
		if (err == nil) != ok {
			t.Errorf("%d octets: %v", size, err)
		}
	}
}
