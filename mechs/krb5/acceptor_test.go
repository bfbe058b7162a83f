package krb5

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

const allFlags = gss.DefaultFlags

// TestAPReq: what a holder of the service's key can put into an AP-REQ, one thing
// at a time, and how it is refused.
func TestAPReq(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA2)
	other, _ := ikrb5.RandomKey(ikrb5.AES256SHA2)
	weak, _ := ikrb5.RandomKey(ikrb5.AES128SHA1)
	for name, tt := range map[string]struct {
		change func(p *parts)
		major  gss.Major // 0: accepted
		code   ikrb5.ErrorCode
	}{
		"as it should be":             {func(p *parts) {}, 0, 0},
		"no subkey":                   {func(p *parts) { p.auth.Subkey = nil }, 0, 0},
		"unknown flags":               {func(p *parts) { binary.LittleEndian.PutUint32(p.auth.Cksum.Sum[20:], 0xfff0013e) }, 0, 0},
		"extensions of the checksum":  {func(p *parts) { p.auth.Cksum.Sum = append(p.auth.Cksum.Sum, 0, 0, 0, 7, 1, 2) }, 0, 0},
		"PAC":                         {func(p *parts) { p.tkt.AuthData = []ikrb5.AuthDataEntry{{Type: 1, Data: []byte{0x30, 0}}} }, 0, 0},
		"a ticket from elsewhere":     {func(p *parts) { p.tkt.CAddr = []ikrb5.HostAddress{{Type: 2, Address: []byte{192, 0, 2, 1}}} }, 0, 0},
		"skew, within":                {func(p *parts) { p.auth.CTime = p.auth.CTime.Add(-4 * time.Minute) }, 0, 0},
		"started in 4 minutes":        {func(p *parts) { p.tkt.StartTime = time.Now().Add(4 * time.Minute) }, 0, 0},
		"foreign, path checked":       {func(p *parts) { p.tkt.CRealm, p.auth.CRealm = "O", "O"; p.tkt.Flags |= ikrb5.TicketTransitedOK }, 0, 0},
		"name type differs":           {func(p *parts) { p.auth.CName.Type = 10 }, 0, 0},
		"ended":                       {func(p *parts) { p.tkt.EndTime = time.Now().Add(-time.Second) }, gss.CredentialsExpired, ikrb5.KRB_AP_ERR_TKT_EXPIRED},
		"not yet valid":               {func(p *parts) { p.tkt.StartTime = time.Now().Add(6 * time.Minute) }, gss.Failure, ikrb5.KRB_AP_ERR_TKT_NYV},
		"not yet valid, no starttime": {func(p *parts) { p.tkt.AuthTime = time.Now().Add(6 * time.Minute) }, gss.Failure, ikrb5.KRB_AP_ERR_TKT_NYV},
		"invalid":                     {func(p *parts) { p.tkt.Flags |= ikrb5.TicketInvalid }, gss.Failure, ikrb5.KRB_AP_ERR_TKT_NYV},
		"left the realm, checked":     {func(p *parts) { p.tkt.Transited = []byte("O"); p.tkt.Flags |= ikrb5.TicketTransitedOK }, 0, 0},
		"left the realm, not checked": {func(p *parts) { p.tkt.Transited = []byte("O") }, gss.Unauthorized, ikrb5.KRB_AP_PATH_NOT_ACCEPTED},
		"foreign, nobody between":     {func(p *parts) { p.tkt.CRealm, p.auth.CRealm = "O", "O" }, 0, 0},
		"foreign, path not checked":   {func(p *parts) { p.tkt.CRealm, p.auth.CRealm, p.tkt.Transited = "O", "O", []byte("P") }, gss.Unauthorized, ikrb5.KRB_AP_PATH_NOT_ACCEPTED},
		"restricted ticket":           {func(p *parts) { p.tkt.AuthData = []ikrb5.AuthDataEntry{{Type: 5}} }, gss.Unauthorized, ikrb5.KRB_AP_ERR_MODIFIED},
		"restricted authenticator":    {func(p *parts) { p.auth.AuthData = []ikrb5.AuthDataEntry{{Type: 129}} }, gss.Unauthorized, ikrb5.KRB_AP_ERR_MODIFIED},
		"session key of RC4":          {func(p *parts) { p.tkt.Key = ikrb5.EncryptionKey{EType: 23, Value: make([]byte, 16)} }, gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP},
		"session key too short":       {func(p *parts) { p.tkt.Key.Value = p.tkt.Key.Value[:31] }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED},
		"another session key":         {func(p *parts) { p.tkt.Key.Value = other.Bytes() }, gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY},
		"session key of another type": {func(p *parts) { p.tkt.Key = ikrb5.EncryptionKey{EType: 17, Value: weak.Bytes()} }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_BAD_INTEGRITY},
		"another's name":              {func(p *parts) { p.auth.CName.Components = []string{"root"} }, gss.BadMIC, ikrb5.KRB_AP_ERR_BADMATCH},
		"name in other pieces":        {func(p *parts) { p.auth.CName.Components = []string{"al", "ice"} }, gss.BadMIC, ikrb5.KRB_AP_ERR_BADMATCH},
		"name in another realm":       {func(p *parts) { p.auth.CRealm = "O" }, gss.BadMIC, ikrb5.KRB_AP_ERR_BADMATCH},
		"client behind":               {func(p *parts) { p.auth.CTime = p.auth.CTime.Add(-6 * time.Minute) }, gss.Failure, ikrb5.KRB_AP_ERR_SKEW},
		"client ahead":                {func(p *parts) { p.auth.CTime = p.auth.CTime.Add(6 * time.Minute) }, gss.Failure, ikrb5.KRB_AP_ERR_SKEW},
		"client 300 years ahead":      {func(p *parts) { p.auth.CTime = p.auth.CTime.AddDate(7000, 0, 0) }, gss.Failure, ikrb5.KRB_AP_ERR_SKEW},
		"no sequence number":          {func(p *parts) { p.auth.HasSeq = false }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_BADSEQ},
		"no checksum":                 {func(p *parts) { p.auth.Cksum = nil }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"checksum of another type":    {func(p *parts) { p.auth.Cksum.Type = 7 }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"checksum empty":              {func(p *parts) { p.auth.Cksum.Sum = nil }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"checksum short":              {func(p *parts) { p.auth.Cksum.Sum = p.auth.Cksum.Sum[:23] }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"bindings of 2³²-1 octets":    {func(p *parts) { copy(p.auth.Cksum.Sum, "\xff\xff\xff\xff") }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"deleg, nothing there":        {func(p *parts) { p.auth.Cksum.Sum[20] |= 1 }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"deleg, option 2":             {func(p *parts) { p.deleg(2, 3, 3) }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"deleg, credential cut short": {func(p *parts) { p.deleg(1, 4, 3) }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM},
		"deleg, rubbish as KRB-CRED":  {func(p *parts) { p.deleg(1, 3, 5) }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED},
		"subkey of RC4":               {func(p *parts) { p.auth.Subkey.EType = 23 }, gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP},
		"subkey too short":            {func(p *parts) { p.auth.Subkey.Value = p.auth.Subkey.Value[:16] }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED},
		"subkey empty":                {func(p *parts) { p.auth.Subkey.Value = nil }, gss.DefectiveToken, ikrb5.KRB_AP_ERR_MODIFIED},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{f.ticketPart(), f.authenticator(allFlags, nil)}
			p.auth.CName.Components = slices.Clone(p.auth.CName.Components)
			tt.change(p)
			out, info, err := f.accept(f.token(p.tkt, p.auth), nil)
			refused(t, out, err, tt.major, tt.code)
			if tt.major == 0 {
				want := gss.Info{Mech: oid.Krb5, Local: gss.Name{Mech: oid.Krb5, Text: "host/h.test@TEST.GSS"},
					Peer: mechName(p.tkt.Client()), Flags: allFlags | always, Expiry: p.tkt.EndTime.UTC(), Overhead: info.Overhead}
				if info != want {
					t.Errorf("%+v, want %+v", info, want)
				}
			}
		})
	}
}

func (p *parts) deleg(option, says, has int) {
	sum := p.auth.Cksum.Sum
	sum[20] |= byte(gss.Deleg)
	p.auth.Cksum.Sum = append(sum, append([]byte{byte(option), 0, byte(says), 0}, make([]byte, has)...)...)
}

type parts struct {
	tkt  *ikrb5.EncTicketPart
	auth *ikrb5.Authenticator
}

// refused checks an acceptor's outcome: with an error, the peer is told the same
// code and nothing else.
func refused(t *testing.T, out []byte, err error, major gss.Major, code ikrb5.ErrorCode) {
	t.Helper()
	if gss.MajorOf(err) != major {
		t.Fatalf("%v, want %v", err, major)
	}
	if major == 0 {
		return
	}
	if e, ok := errors.AsType[*gss.Error](err); !ok || e.Minor != uint32(code) || e.Remote {
		t.Errorf("%+v, want code %v", err, code)
	}
	id, msg, ok := unframe(out)
	kerr, perr := ikrb5.ParseKRBError(msg)
	if !ok || id != tokError || perr != nil || kerr.Code != code || kerr.EText != "" || kerr.EData != nil {
		t.Errorf("the peer is told %+v, %v, want code %v", kerr, perr, code)
	}
}

// What chooses the key is in clear, and only chooses.
func TestTicketKeys(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	newer, _ := ikrb5.RandomKey(ikrb5.AES256SHA1)
	third, _ := ikrb5.RandomKey(ikrb5.AES256SHA1)
	web := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 3, Components: []string{"HTTP", "h.test"}}, Realm: testRealm}
	hour := time.Now().Add(-time.Hour)
	table := testKeytab(
		testKey{f.server, f.key, 255, hour},
		testKey{f.server, newer, 256, hour.Add(time.Minute)},
		testKey{web, third, 1, hour},
	)
	open := func(principal string) *Credential {
		c, err := FromKeytab(table, principal)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	any, host := open(""), open(f.server.String())
	for _, tt := range []struct {
		name   string
		cred   *Credential
		server ikrb5.Principal
		key    *ikrb5.Key
		kvno   int // -1: none
		major  gss.Major
		code   ikrb5.ErrorCode
	}{
		{"by version", any, f.server, f.key, 255, 0, 0},
		{"by version, newer", any, f.server, newer, 256, 0, 0},
		{"no version", any, f.server, f.key, -1, 0, 0},
		{"no version, newer", any, f.server, newer, -1, 0, 0},
		{"another principal", any, web, third, 1, 0, 0},
		{"named", host, f.server, newer, 256, 0, 0},
		{"another than named", host, web, third, 1, gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US},
		{"another's key", any, f.server, third, -1, gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"key of another version", any, f.server, newer, 255, gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"version unknown", any, f.server, newer, 257, gss.NoCred, ikrb5.KRB_AP_ERR_BADKEYVER},
		{"last octet of a version that is known in full", any, f.server, newer, 0, gss.NoCred, ikrb5.KRB_AP_ERR_BADKEYVER},
		{"unknown principal", any, ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{"x"}}, Realm: testRealm}, newer, 256, gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US},
		{"another realm", any, ikrb5.Principal{Name: f.server.Name, Realm: "O"}, newer, 256, gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := *f
			g.t, g.key, g.server = t, tt.key, tt.server
			tkt := g.ticket(g.ticketPart())
			tkt.EncPart.HasKVNO, tkt.EncPart.KVNO = tt.kvno >= 0, uint32(max(tt.kvno, 0))
			req := ikrb5.APReq{Ticket: tkt, Authenticator: g.encrypt(g.authenticator(allFlags, nil), g.session, ikrb5.UsageAPReqAuth)}
			out, info, err := g.accept(frame(tokAPReq, req.Append(nil)), &gss.AcceptOptions{Credentials: []gss.Credential{tt.cred}})
			refused(t, out, err, tt.major, tt.code)
			if err == nil && info.Local != mechName(tt.server) {
				t.Errorf("Local is %v", info.Local)
			}
		})
	}
	t.Run("user to user", func(t *testing.T) {
		req := ikrb5.APReq{Options: ikrb5.APUseSessionKey, Ticket: f.ticket(f.ticketPart()), Authenticator: f.encrypt(f.authenticator(allFlags, nil), f.session, ikrb5.UsageAPReqAuth)}
		out, _, err := f.accept(frame(tokAPReq, req.Append(nil)), nil)
		refused(t, out, err, gss.Unavailable, ikrb5.KRB_AP_ERR_NOKEY)
	})
	t.Run("authenticator of another usage", func(t *testing.T) {
		req := ikrb5.APReq{Ticket: f.ticket(f.ticketPart()), Authenticator: f.encrypt(f.authenticator(allFlags, nil), f.session, ikrb5.UsageTGSReqAuth)}
		req.Ticket.EncPart.KVNO = 1
		out, _, err := f.accept(frame(tokAPReq, req.Append(nil)), nil)
		refused(t, out, err, gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY)
	})
}

// Every bit of an AP-REQ that can be turned without a refusal is in a field that
// Kerberos does not protect, and means nothing here: ap-options, but for
// use-session-key, and the type of the ticket's sname.
func TestAPReqBits(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	tok := f.token(f.ticketPart(), f.authenticator(allFlags, nil))
	_, want, err := f.accept(tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A0 03 is the field's tag, 03 05 00 a bit string of 32 bits; A2 05 03 … ; and of
	// sname, after its tags, A0 03 02 01 03, NT-SRV-HST.
	options := bytes.Index(tok, []byte{0xa2, 7, 3, 5, 0}) + 5
	nameType := bytes.Index(tok, []byte{0xa0, 3, 2, 1, 3, 0xa1}) + 4
	open := map[int]bool{options: true, options + 1: true, options + 2: true, options + 3: true, nameType: true}
	turned := 0
	for i := range tok {
		for bit := range 8 {
			bad := slices.Clone(tok)
			bad[i] ^= 1 << bit
			_, info, err := f.accept(bad, nil)
			if gss.MajorOf(err) == gss.Failure {
				t.Errorf("octet %d bit %d: %v is no type of error", i, bit, err)
			}
			if err != nil {
				continue
			}
			turned++
			if !open[i] || info != want {
				t.Errorf("octet %d bit %d (%#x) turned: accepted, %+v", i, bit, tok[i], info)
			}
		}
	}
	if turned != 31+8 {
		t.Errorf("%d bits mean nothing, not 39", turned)
	}
}

func TestAPReqLengths(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	tok := f.token(f.ticketPart(), f.authenticator(allFlags, nil))
	for n := range tok {
		if _, _, err := f.accept(tok[:n], nil); gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("%d of %d octets: %v", n, len(tok), err)
		}
	}
	if _, _, err := f.accept(append(slices.Clone(tok), 0), nil); gss.MajorOf(err) != gss.DefectiveToken {
		t.Errorf("an octet more: %v", err)
	}
	_, inner, _ := gss.ParseToken(tok)
	for name, bad := range map[string][]byte{
		"nothing":            nil,
		"not framed":         inner,
		"an octet inside":    gss.AppendToken(nil, oid.Krb5, append(slices.Clone(inner), 0)),
		"another mechanism":  gss.AppendToken(nil, oid.MSKrb5, inner),
		"AP-REP's id":        frame(tokAPRep, inner[2:]),
		"KRB-ERROR's id":     frame(tokError, inner[2:]),
		"message's id":       frame(0x0504, inner[2:]),
		"identifier only":    frame(tokAPReq, nil),
		"half an identifier": gss.AppendToken(nil, oid.Krb5, []byte{1}),
		"ciphers empty":      emptyCiphers(f),
		"deep":               frame(tokAPReq, bytes.Repeat([]byte{0x30, 0x80}, 1e5)),
	} {
		if _, _, err := f.accept(bad, nil); gss.MajorOf(err) != gss.DefectiveToken && gss.MajorOf(err) != gss.BadMIC {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func emptyCiphers(f *forger) []byte {
	tkt := f.ticket(f.ticketPart())
	tkt.EncPart.Cipher = nil
	req := ikrb5.APReq{Ticket: tkt, Authenticator: ikrb5.EncryptedData{EType: f.session.EType()}}
	return frame(tokAPReq, req.Append(nil))
}

// An initiator given anything but the AP-REP to its AP-REQ fails.
func TestAPRep(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	h, tok := f.initiate(cred, nil)
	rep, _, err := f.accept(tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	// one Step per handshake: a copy of its state stands for it.
	try := func(in []byte) error {
		c := *h.(*initiator)
		key, err := copyKey(c.subkey)
		if err != nil {
			t.Fatal(err)
		}
		c.subkey, c.cred = key, c.cred.Handle()
		_, sc, err := c.Step(context.Background(), in)
		if sc != nil {
			sc.Close()
		}
		if _, _, again := c.Step(context.Background(), in); gss.MajorOf(again) != gss.NoContext {
			t.Errorf("Step after %v: %v", err, again)
		}
		return err
	}
	if err := try(rep); err != nil {
		t.Fatal(err)
	}
	for i := range rep {
		if err := try(rep[:i]); gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("%d of %d octets: %v", i, len(rep), err)
		}
		for bit := range 8 {
			bad := slices.Clone(rep)
			bad[i] ^= 1 << bit
			if m := gss.MajorOf(try(bad)); m != gss.DefectiveToken && m != gss.BadMIC {
				t.Errorf("octet %d bit %d turned: %v", i, bit, m)
			}
		}
	}
	_, other := f.initiate(cred, nil)
	otherRep, _, err := f.accept(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, inner, _ := gss.ParseToken(rep)
	kerr := ikrb5.KRBError{Code: ikrb5.KRB_AP_ERR_SKEW, STime: time.Now(), Realm: testRealm, SName: f.server.Name}
	forge := func(change func(p *ikrb5.EncAPRepPart)) []byte {
		c := h.(*initiator)
		p := ikrb5.EncAPRepPart{CTime: c.ctime.Truncate(time.Second), CUsec: c.ctime.Nanosecond() / 1000, HasSeq: true, SeqNumber: 9}
		change(&p)
		cipher, _ := f.session.Encrypt(nil, p.Append(nil), ikrb5.UsageAPRepEnc)
		rep := ikrb5.APRep{EncPart: ikrb5.EncryptedData{EType: f.session.EType(), Cipher: cipher}}
		return frame(tokAPRep, rep.Append(nil))
	}
	better, _ := ikrb5.RandomKey(ikrb5.AES256SHA2)
	for name, tt := range map[string]struct {
		in   []byte
		want gss.Major
	}{
		"nothing":                     {nil, gss.DefectiveToken},
		"its own AP-REQ":              {tok, gss.DefectiveToken},
		"not framed":                  {inner, gss.DefectiveToken},
		"AP-REP of another handshake": {otherRep, gss.BadMIC},
		"no subkey":                   {forge(func(p *ikrb5.EncAPRepPart) {}), 0},
		"no sequence number":          {forge(func(p *ikrb5.EncAPRepPart) { p.HasSeq = false }), 0},
		"better subkey":               {forge(func(p *ikrb5.EncAPRepPart) { p.Subkey = &ikrb5.EncryptionKey{EType: 20, Value: better.Bytes()} }), 0},
		"subkey of RC4":               {forge(func(p *ikrb5.EncAPRepPart) { p.Subkey = &ikrb5.EncryptionKey{EType: 23, Value: make([]byte, 16)} }), gss.Unavailable},
		"subkey too short":            {forge(func(p *ikrb5.EncAPRepPart) { p.Subkey = &ikrb5.EncryptionKey{EType: 20, Value: make([]byte, 31)} }), gss.DefectiveToken},
		"a microsecond off":           {forge(func(p *ikrb5.EncAPRepPart) { p.CUsec = (p.CUsec + 1) % 1e6 }), gss.BadMIC},
		"a second off":                {forge(func(p *ikrb5.EncAPRepPart) { p.CTime = p.CTime.Add(time.Second) }), gss.BadMIC},
		"KRB-ERROR":                   {frame(tokError, kerr.Append(nil)), gss.Failure},
		"KRB-ERROR, cut":              {frame(tokError, kerr.Append(nil)[:9]), gss.DefectiveToken},
	} {
		err := try(tt.in)
		if gss.MajorOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if e, ok := errors.AsType[*gss.Error](err); ok && e.Remote != (name == "KRB-ERROR") {
			t.Errorf("%s: Remote is %v", name, e.Remote)
		}
	}
	if e, ok := errors.AsType[*gss.Error](try(frame(tokError, kerr.Append(nil)))); !ok || e.Minor != uint32(ikrb5.KRB_AP_ERR_SKEW) {
		t.Errorf("KRB-ERROR: %v", e)
	}
}

// reflected: an initiator's token to an acceptor that is not its target.
func TestReflection(t *testing.T) {
	f, g := newForger(t, ikrb5.AES128SHA2), newForger(t, ikrb5.AES128SHA2)
	_, tok := f.initiate(f.credential(), nil)
	out, _, err := g.accept(tok, nil) // same principal, another key
	refused(t, out, err, gss.BadMIC, ikrb5.KRB_AP_ERR_BAD_INTEGRITY)
	user := testKeytab(testKey{f.client, f.key, 1, time.Now()})
	c, err := FromKeytab(user, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, _, err = f.accept(tok, &gss.AcceptOptions{Credentials: []gss.Credential{c}})
	refused(t, out, err, gss.NoCred, ikrb5.KRB_AP_ERR_NOT_US)
}

func TestReplay(t *testing.T) {
	unsure := broken{strike.ErrUnsure}
	fresh := func() strike.Store { return old{strike.NewMemory(strike.MemoryOptions{})} }
	for _, tt := range []struct {
		name          string
		store         strike.Store
		flags         gss.Flags
		first, second gss.Major
		code          ikrb5.ErrorCode
	}{
		{"mutual", fresh(), allFlags, 0, gss.DuplicateToken, ikrb5.KRB_AP_ERR_REPEAT},
		{"one-way", fresh(), allFlags &^ gss.Mutual, 0, gss.DuplicateToken, ikrb5.KRB_AP_ERR_REPEAT},
		{"unsure, mutual", unsure, allFlags, 0, 0, 0},
		{"unsure, one-way", unsure, allFlags &^ gss.Mutual, gss.Unavailable, gss.Unavailable, ikrb5.KRB_ERR_GENERIC},
		{"just started, one-way", strike.NewMemory(strike.MemoryOptions{}), allFlags &^ gss.Mutual, gss.Unavailable, gss.Unavailable, ikrb5.KRB_ERR_GENERIC},
		{"full, mutual", broken{strike.ErrFull}, allFlags, 0, 0, 0},
		{"full, one-way", broken{strike.ErrFull}, allFlags &^ gss.Mutual, gss.Unavailable, gss.Unavailable, ikrb5.KRB_ERR_GENERIC},
		{"broken", broken{errors.New("disk")}, allFlags, gss.Unavailable, gss.Unavailable, ikrb5.KRB_ERR_GENERIC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newForger(t, ikrb5.AES128SHA2)
			f.mech = New(Options{Config: &Config{DefaultRealm: testRealm}, Replay: tt.store})
			tok := f.token(f.ticketPart(), f.authenticator(tt.flags, nil))
			for i, want := range []gss.Major{tt.first, tt.second} {
				out, _, err := f.accept(tok, nil)
				if gss.MajorOf(err) != want {
					t.Fatalf("time %d: %v, want %v", i+1, err, want)
				}
				refused(t, out, err, want, tt.code)
			}
			if tt.second == gss.DuplicateToken { // also with what is in clear changed
				req, _ := ikrb5.ParseAPReq(tok[bytes.Index(tok, []byte{1, 0, 0x6e})+2:])
				req.Options ^= 1
				req.Ticket.SName.Type = 1
				if _, _, err := f.accept(frame(tokAPReq, req.Append(nil)), nil); gss.MajorOf(err) != gss.DuplicateToken {
					t.Errorf("altered in clear: %v", err)
				}
			}
		})
	}
}

// old makes a store as complete as one that has been there for ever.
type old struct{ strike.Store }

func (o old) Strike(ctx context.Context, key [32]byte, _, until time.Time) error {
	return o.Store.Strike(ctx, key, time.Now(), until)
}

// The span that a store is asked about begins when the original may have been
// made. The keytab's times say nothing: a key may be written again.
func TestReplaySpan(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	for _, tt := range []struct {
		name    string
		written time.Duration // ago
	}{
		{"written long ago", time.Hour},
		{"written just now", time.Minute},
		{"written in the future", -time.Hour},
	} {
		now := time.Now().Truncate(time.Second)
		var from, until time.Time
		f.mech = New(Options{Replay: recording{&from, &until}})
		c, err := FromKeytab(testKeytab(testKey{f.server, f.key, 1, now.Add(-tt.written)}), "")
		if err != nil {
			t.Fatal(err)
		}
		auth := f.authenticator(allFlags, nil)
		auth.CTime, auth.CUsec = now, 7
		if _, _, err := f.accept(f.token(f.ticketPart(), auth), &gss.AcceptOptions{Credentials: []gss.Credential{c}}); err != nil {
			t.Fatal(err)
		}
		stamp := now.Add(7 * time.Microsecond)
		if !from.Equal(stamp.Add(-5*time.Minute)) || !until.Equal(stamp.Add(5*time.Minute)) {
			t.Errorf("%s: %v to %v", tt.name, from.Sub(now), until.Sub(now))
		}
		c.Close()
	}
}

// A service is restarted and its keytab written again, with the same key: what was
// recorded before is still refused if it asks for no mutual authentication.
func TestReplayRewrittenKeytab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForger(t, ikrb5.AES128SHA2)
		f.mech = New(Options{Config: &Config{DefaultRealm: testRealm}})
		time.Sleep(time.Hour) // long enough for the store to vouch
		tok := f.token(f.ticketPart(), f.authenticator(allFlags&^gss.Mutual, nil))
		if _, _, err := f.accept(tok, nil); err != nil {
			t.Fatal(err)
		}
		f.mech = New(Options{Config: &Config{DefaultRealm: testRealm}})
		time.Sleep(2 * time.Second)
		c, err := FromKeytab(testKeytab(testKey{f.server, f.key, 1, time.Now()}), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _, err = f.accept(tok, &gss.AcceptOptions{Credentials: []gss.Credential{c}})
		if !errors.Is(err, strike.ErrUnsure) {
			t.Errorf("replayed: %v, want ErrUnsure", err)
		}
	})
}

// EncTypes hold for what the ticket is encrypted in too: whoever broke an old key
// of the service may put a good session key into it.
func TestTicketEncType(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA1)
	f.session, _ = ikrb5.RandomKey(ikrb5.AES256SHA2)
	for etype, major := range map[ikrb5.EType]gss.Major{ikrb5.AES128SHA1: 0, ikrb5.AES128SHA2: gss.Unavailable} {
		f.mech = New(Options{Config: &Config{EncTypes: []int32{int32(ikrb5.AES256SHA2), int32(etype)}}, Replay: vouching{}})
		out, _, err := f.accept(f.token(f.ticketPart(), f.authenticator(allFlags, nil)), nil)
		refused(t, out, err, major, ikrb5.KDC_ERR_ETYPE_NOSUPP)
	}
}

type recording struct{ from, until *time.Time }

func (r recording) Strike(_ context.Context, _ [32]byte, from, until time.Time) error {
	*r.from, *r.until = from, until
	return nil
}

// Of many acceptors of one AP-REQ, one is the first.
func TestReplayRace(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	f.mech = New(Options{Replay: old{strike.NewMemory(strike.MemoryOptions{})}})
	tok := f.token(f.ticketPart(), f.authenticator(allFlags, nil))
	var wg sync.WaitGroup
	results := make([]gss.Major, 32)
	for i := range results {
		wg.Go(func() { _, _, err := f.accept(tok, nil); results[i] = gss.MajorOf(err) })
	}
	wg.Wait()
	slices.Sort(results)
	if results[0] != 0 || results[1] != gss.DuplicateToken {
		t.Errorf("%v", results)
	}
}

func TestBindings(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	x, y := []byte("tls-server-end-point:x"), []byte("tls-server-end-point:y")
	for _, tt := range []struct {
		i, a     []byte
		optional bool
		major    gss.Major
		bound    bool
	}{
		{nil, nil, false, 0, false},
		{x, nil, false, 0, false},
		{nil, x, false, gss.BadBindings, false},
		{nil, x, true, 0, false},
		{x, x, false, 0, true},
		{x, x, true, 0, true},
		{x, y, false, gss.BadBindings, false},
		{x, y, true, gss.BadBindings, false},
		{x, x[:len(x)-1], true, gss.BadBindings, false},
	} {
		t.Run(fmt.Sprintf("%s/%s/%v", tt.i, tt.a, tt.optional), func(t *testing.T) {
			_, tok := f.initiate(cred, &gss.InitOptions{Bindings: tt.i})
			out, info, err := f.accept(tok, &gss.AcceptOptions{Bindings: tt.a, BindingsOptional: tt.optional})
			refused(t, out, err, tt.major, ikrb5.KRB_ERR_GENERIC)
			if info.Flags.Has(gss.Bound) != tt.bound {
				t.Errorf("flags %v", info.Flags)
			}
		})
	}
}

// What RFC 4121 §4.1.1.2 hashes, written out.
func TestHashBindings(t *testing.T) {
	want := md5.Sum([]byte(string(make([]byte, 16)) + "\x03\x00\x00\x00abc"))
	if got := hashBindings([]byte("abc")); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	if hashBindings(nil) != [16]byte{} || hashBindings([]byte{}) != [16]byte{} {
		t.Error("no bindings are not zero octets")
	}
}

func TestAnonymous(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	f.client = ikrb5.Principal{Name: ikrb5.PrincipalName{Type: ikrb5.NTWellknown, Components: []string{"WELLKNOWN", "ANONYMOUS"}}, Realm: "WELLKNOWN:ANONYMOUS"}
	part := f.ticketPart()
	part.Flags |= ikrb5.TicketAnonymous | ikrb5.TicketTransitedOK
	tok := f.token(part, f.authenticator(allFlags, nil))
	out, _, err := f.accept(tok, nil)
	refused(t, out, err, gss.Unauthorized, ikrb5.KRB_ERR_GENERIC)
	_, info, err := f.accept(tok, &gss.AcceptOptions{AllowAnonymous: true})
	if err != nil || !info.Peer.IsZero() || !info.Flags.Has(gss.Anon) {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := f.mech.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{newForger(t, 17).credential()}, Require: gss.Anon}); gss.MajorOf(err) != gss.Unavailable {
		t.Errorf("Anon with a name: %v", err)
	}
}

// FuzzAccept: whatever comes first, an acceptor returns a typed error.
func FuzzAccept(f *testing.F) {
	g := newForger(f, ikrb5.AES128SHA2)
	tok := g.token(g.ticketPart(), g.authenticator(allFlags, nil))
	f.Add(tok)
	f.Add(tok[:len(tok)-1])
	f.Add(frame(tokAPReq, nil))
	f.Add(emptyCiphers(g))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, _, err := g.in(t).accept(in, nil); err != nil {
			if _, ok := errors.AsType[*gss.Error](err); !ok {
				t.Errorf("%T", err)
			}
		}
	})
}

// FuzzReply: whatever comes second, an initiator returns a typed error.
func FuzzReply(f *testing.F) {
	g := newForger(f, ikrb5.AES128SHA2)
	cred := g.credential()
	_, tok := g.initiate(cred, nil)
	rep, _, err := g.accept(tok, nil)
	if err != nil {
		f.Fatal(err)
	}
	kerr := ikrb5.KRBError{Code: 37, STime: time.Now(), Realm: "R", SName: g.server.Name}
	f.Add(rep)
	f.Add(frame(tokError, kerr.Append(nil)))
	f.Add(tok)
	f.Fuzz(func(t *testing.T, in []byte) {
		h, _ := g.in(t).initiate(cred, nil)
		_, sc, err := h.Step(context.Background(), in)
		if _, ok := errors.AsType[*gss.Error](err); !ok || sc != nil {
			t.Errorf("%v, %T", sc, err)
		}
	})
}
