package krb5

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/pac"
	"github.com/jcmturner/gokrb5/v8/test/testdata"
	"github.com/jcmturner/gokrb5/v8/types"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sid(t testing.TB, s string) SID {
	t.Helper()
	v, err := ParseSID(s)
	if err != nil || v.String() != s {
		t.Fatalf("%s: %v, %v", s, v, err)
	}
	return v
}

// The example of MS-PAC §3, as Windows made it.
func TestLogonInfoPublished(t *testing.T) {
	l, err := ParseLogonInfo(unhex(t, testdata.MarshaledPAC_Kerb_Validation_Info_MS))
	if err != nil {
		t.Fatal(err)
	}
	if l.Name != "lzhu" || l.FullName != "Liqiang(Larry) Zhu" || l.Script != "ntds2.bat" || l.HomeDrive != "" ||
		!l.LogonTime.Equal(time.Date(2006, 4, 28, 1, 42, 50, 925640100, time.UTC)) || !l.LogoffTime.IsZero() || !l.KickOffTime.IsZero() ||
		!l.PasswordCanChange.Equal(time.Date(2006, 3, 19, 10, 44, 54, 837147900, time.UTC)) ||
		l.LogonCount != 4180 || l.UserID != 2914711 || l.PrimaryGroup != 513 || l.UserFlags != 32 || l.AccountControl != 16 ||
		l.Server != "NTDEV-DC-05" || l.DomainName != "NTDEV" || l.User().String() != "S-1-5-21-397955417-626881126-188441444-2914711" {
		t.Errorf("%+v", l)
	}
	if len(l.Groups) != 26 || l.Groups[0] != (GroupMembership{3392609, 7}) || l.Groups[25] != (GroupMembership{3018354, 7}) {
		t.Errorf("groups %v", l.Groups)
	}
	if len(l.ExtraSIDs) != 13 || l.ExtraSIDs[0].SID.String() != "S-1-5-21-773533881-1816936887-355810188-513" || l.ExtraSIDs[0].Attributes != 7 ||
		l.ExtraSIDs[11].SID.String() != "S-1-5-21-397955417-626881126-188441444-3248111" || l.ExtraSIDs[11].Attributes != 536870919 {
		t.Errorf("further SIDs %v", l.ExtraSIDs)
	}
	l, err = ParseLogonInfo(unhex(t, testdata.MarshaledPAC_Kerb_Validation_Info_Trust))
	if err != nil || l.Name == "" || l.ResourceDomain.IsZero() || len(l.ResourceGroups) == 0 {
		t.Errorf("with resource groups: %+v, %v", l, err)
	}
}

// A whole PAC of Windows', with the key of the service that it was for.
func TestPACOfWindows(t *testing.T) {
	p, err := ParsePAC(unhex(t, testdata.MarshaledPAC_AD_WIN2K_PAC))
	if err != nil {
		t.Fatal(err)
	}
	kt := keytab.New()
	if err := kt.Unmarshal(unhex(t, testdata.KEYTAB_SYSHTTP_TEST_GOKRB5)); err != nil {
		t.Fatal(err)
	}
	name, _ := types.ParseSPNString("sysHTTP")
	ek, _, err := kt.GetEncryptionKey(name, "TEST.GOKRB5", 2, 18)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey(AES256SHA1, ek.KeyValue)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(key, nil); err != nil {
		t.Error(err)
	}
	// The KDC's signature is of RC4's type: not by a key of ours.
	if err := p.Verify(key, key); !errors.Is(err, ErrPACChecksum) {
		t.Errorf("KDC's signature: %v", err)
	}
	u, err := p.UPN()
	if err != nil || u.UPN != "testuser1@test.gokrb5" || u.DNSDomain != "TEST.GOKRB5" || u.Flags != 0 || !u.SID.IsZero() {
		t.Errorf("%+v, %v", u, err)
	}
	l, err := p.Logon()
	if err != nil || l.Name != "testuser1" {
		t.Errorf("%+v, %v", l, err)
	}
	b, _ := p.Buffer(PACClientInfoType)
	info, err := ParsePACClientInfo(b)
	if err != nil || info.Name != "testuser1" || !info.AuthTime.Equal(time.Date(2017, 5, 6, 15, 53, 11, 0, time.UTC)) {
		t.Errorf("%+v, %v", info, err)
	}
	ticket := &EncTicketPart{CName: PrincipalName{1, []string{"testuser1"}}, CRealm: "TEST.GOKRB5", AuthTime: info.AuthTime}
	if err := p.checkClient(ticket); err != nil {
		t.Error(err)
	}
	// Every bit of it is signed but for the KDC's signature, whose key is not here.
	free := 0
	for i := range p.raw {
		for bit := range 8 {
			b := bytes.Clone(p.raw)
			b[i] ^= 1 << bit
			if q, err := ParsePAC(b); err == nil && q.Verify(key, nil) == nil {
				free++
			}
		}
	}
	if kdc, _ := p.Buffer(PACKDCChecksum); free != 8*(len(kdc)-4) {
		t.Errorf("%d bits are free, want the %d of the KDC's checksum", free, 8*(len(kdc)-4))
	}
}

// aLogon has something in every field.
func aLogon(t testing.TB) *LogonInfo {
	when := time.Date(2030, 1, 2, 3, 4, 5, 678901200, time.UTC)
	return &LogonInfo{
		LogonTime: when, PasswordLastSet: when, PasswordCanChange: when,
		Name: "alice", FullName: "Älice Ω 😀", Script: "x", ProfilePath: "p", HomeDirectory: "h", HomeDrive: "Z:",
		LogonCount: 3, BadPasswords: 1, UserID: 1001, PrimaryGroup: 513,
		Groups: []GroupMembership{{513, 7}, {1002, 7}}, UserFlags: 0x220, Server: "DC", DomainName: "GSS",
		Domain: sid(t, "S-1-5-21-1-2-4294967295"), AccountControl: 16,
		ExtraSIDs:      []SIDAttributes{{sid(t, "S-1-18-1"), 7}, {sid(t, "S-1-5-21-9-8-7-6"), 7}},
		ResourceDomain: sid(t, "S-1-5-21-5-5-5"), ResourceGroups: []GroupMembership{{2001, 7}},
	}
}

// pacFields are what a test's PAC is made of, and may be changed before.
type pacFields struct {
	logon       *LogonInfo
	upn         *UPNInfo
	client      *PACClientInfo
	requestor   SID
	server, kdc *Key
	name        PrincipalName // in the ticket
	service     bool
}

func (f *pacFields) ticket(t testing.TB) *EncTicketPart {
	t.Helper()
	part := &EncTicketPart{
		Flags: TicketForwardable, Key: EncryptionKey{AES128SHA1, make([]byte, 16)}, CRealm: "GSS.TEST", CName: f.name,
		TransitedType: 1, AuthTime: someTime, EndTime: someTime, AuthData: []AuthDataEntry{{ADIfRelevant, AppendAuthData(nil, nil)}},
	}
	var b PACBuilder
	if f.logon != nil {
		b.Add(PACLogonInfo, f.logon.Append(nil))
	}
	if f.client != nil {
		b.Add(PACClientInfoType, f.client.Append(nil))
	}
	if f.upn != nil {
		b.Add(PACUPNInfoType, f.upn.Append(nil))
	}
	if !f.requestor.IsZero() {
		b.Add(PACRequestor, f.requestor.Append(nil))
	}
	var err error
	if part.AuthData, err = b.Sign(part, f.server, f.kdc, f.service); err != nil {
		t.Fatal(err)
	}
	return part
}

func newPACFields(t testing.TB, server, kdc EType) *pacFields {
	t.Helper()
	f := &pacFields{logon: aLogon(t), client: &PACClientInfo{someTime, "alice"}, name: PrincipalName{1, []string{"alice"}}, service: true}
	f.upn = &UPNInfo{UPN: "alice@gss.test", DNSDomain: "GSS.TEST", Account: "alice", SID: f.logon.User()}
	f.requestor = f.logon.User()
	var err, err2 error
	f.server, err = RandomKey(server)
	f.kdc, err2 = RandomKey(kdc)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return f
}

func TestPAC(t *testing.T) {
	all := []EType{AES128SHA1, AES256SHA1, AES128SHA2, AES256SHA2}
	for _, server := range all {
		for _, kdc := range all {
			f := newPACFields(t, server, kdc)
			part := f.ticket(t)
			p, err := VerifyPAC(part, f.server, f.kdc)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.VerifyTicket(part, f.kdc); err != nil {
				t.Error(err)
			}
			if _, err := VerifyPAC(part, f.server, nil); err != nil {
				t.Error(err)
			}
			if l, err := p.Logon(); err != nil || !reflect.DeepEqual(l, f.logon) {
				t.Errorf("%+v, %v", l, err)
			}
			if u, err := p.UPN(); err != nil || u.UPN != f.upn.UPN || u.DNSDomain != f.upn.DNSDomain || u.Account != "alice" || !u.SID.Equal(f.upn.SID) {
				t.Errorf("%+v, %v", u, err)
			}
			part.Flags |= TicketProxy
			if err := p.VerifyTicket(part, f.kdc); !errors.Is(err, ErrPACChecksum) {
				t.Errorf("a ticket that was changed: %v", err)
			}
		}
	}
}

// gokrb5, and the NDR library that it uses, read what we write.
func TestPACGokrb5(t *testing.T) {
	f := newPACFields(t, AES256SHA1, AES256SHA1)
	f.logon.FullName = "Älice Ω" // it reads no surrogates
	ours, err := FindPAC(f.ticket(t).AuthData)
	if err != nil {
		t.Fatal(err)
	}
	var p pac.PACType
	if err := p.Unmarshal(ours.raw); err != nil {
		t.Fatal(err)
	}
	if err := p.ProcessPACInfoBuffers(types.EncryptionKey{KeyType: 18, KeyValue: f.server.Bytes()}, log.New(io.Discard, "", 0)); err != nil {
		t.Fatal(err)
	}
	k, l := p.KerbValidationInfo, f.logon
	if k.EffectiveName.String() != l.Name || k.FullName.String() != l.FullName || k.HomeDirectoryDrive.String() != l.HomeDrive ||
		!k.LogOnTime.Time().Equal(l.LogonTime) || k.LogonCount != l.LogonCount || k.BadPasswordCount != l.BadPasswords ||
		k.UserID != l.UserID || k.PrimaryGroupID != l.PrimaryGroup || k.UserFlags != l.UserFlags || k.UserAccountControl != l.AccountControl ||
		k.LogonServer.String() != l.Server || k.LogonDomainName.String() != l.DomainName || k.LogonDomainID.String() != l.Domain.String() ||
		len(k.GroupIDs) != 2 || k.GroupIDs[1].RelativeID != 1002 || len(k.ExtraSIDs) != 2 || k.ExtraSIDs[1].SID.String() != "S-1-5-21-9-8-7-6" ||
		k.ResourceGroupDomainSID.String() != "S-1-5-21-5-5-5" || len(k.ResourceGroupIDs) != 1 || k.ResourceGroupIDs[0].RelativeID != 2001 {
		t.Errorf("gokrb5 read %+v", k)
	}
	if p.ClientInfo.Name != "alice" || !p.ClientInfo.ClientID.Time().Equal(someTime) || p.UPNDNSInfo.UPN != f.upn.UPN || p.UPNDNSInfo.DNSDomain != f.upn.DNSDomain {
		t.Errorf("gokrb5 read %+v, %+v", p.ClientInfo, p.UPNDNSInfo)
	}
}

func TestDelegationInfo(t *testing.T) {
	for _, d := range []*DelegationInfo{
		{Target: "host/back", Transited: []string{"HTTP/front@GSS.TEST", "x", "HTTP/Ü@GSS.TEST"}},
		{Target: "odd"},
	} {
		b := d.Append(nil)
		if got, err := ParseDelegationInfo(b); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%+v, %v", got, err)
		}
		for n := range b {
			if _, err := ParseDelegationInfo(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%d of %d octets: %v", n, len(b), err)
			}
		}
		var theirs pac.S4UDelegationInfo
		if err := theirs.Unmarshal(b); err != nil || theirs.S4U2proxyTarget.String() != d.Target || len(theirs.S4UTransitedServices) != len(d.Transited) {
			t.Fatalf("gokrb5 read %+v, %v", theirs, err)
		}
		for i, s := range theirs.S4UTransitedServices {
			if s.String() != d.Transited[i] {
				t.Errorf("gokrb5 read %q", s.String())
			}
		}
	}
	if _, err := ParseDelegationInfo((&DelegationInfo{Transited: make([]string, maxDelegations+1)}).Append(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too many: %v", err)
	}
}

// rawPAC is a PACTYPE of any header.
func rawPAC(count uint32, rest ...byte) []byte {
	return append(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, count), 0), rest...)
}

func pacEntry(typ, size uint32, offset uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, typ)
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint64(b, offset)
}

// CVE-2022-42898: numbers of buffers, sizes and offsets that overflow when they are
// added or multiplied. What is allocated is bounded by what was received.
func TestCVE_2022_42898(t *testing.T) {
	two := func(a, b []byte) []byte {
		return append(rawPAC(2, append(slices.Clone(a), b...)...), make([]byte, 64)...)
	}
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"half a header":         {1, 0, 0, 0},
		"no buffers":            rawPAC(0),
		"no buffers, octets":    rawPAC(0, make([]byte, 64)...),
		"2²⁸ buffers":           rawPAC(1<<28, make([]byte, 64)...),
		"2²⁸+1 buffers":         rawPAC(1<<28+1, pacEntry(1, 0, 24)...),
		"2³²-1 buffers":         rawPAC(1<<32-1, make([]byte, 64)...),
		"65 buffers":            rawPAC(65, make([]byte, 2048)...),
		"one too many":          rawPAC(3, make([]byte, 40)...),
		"version 1":             append([]byte{1, 0, 0, 0, 1, 0, 0, 0}, pacEntry(1, 0, 24)...),
		"into the header":       two(pacEntry(1, 8, 32), pacEntry(2, 8, 48)),
		"overlapping":           two(pacEntry(1, 16, 40), pacEntry(2, 8, 48)),
		"the same":              two(pacEntry(1, 8, 40), pacEntry(2, 8, 40)),
		"the same type":         two(pacEntry(1, 8, 40), pacEntry(1, 8, 48)),
		"not aligned":           two(pacEntry(1, 8, 40), pacEntry(2, 8, 49)),
		"too long":              two(pacEntry(1, 8, 40), pacEntry(2, 65, 48)),
		"size 2³²-1":            two(pacEntry(1, 8, 40), pacEntry(2, 1<<32-1, 48)),
		"offset 2⁶⁴-8":          two(pacEntry(1, 8, 40), pacEntry(2, 16, 1<<64-8)),
		"offset 2³²+40":         two(pacEntry(1, 8, 1<<32+40), pacEntry(2, 8, 48)),
		"offset beyond the end": two(pacEntry(1, 0, 112), pacEntry(2, 8, 48)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := ParsePAC(b)
		runtime.ReadMemStats(&after)
		if p != nil || !errors.Is(err, ErrMalformed) || after.TotalAlloc-before.TotalAlloc > 1<<16 {
			t.Errorf("%s: %v, %v, %d octets allocated", name, p, err, after.TotalAlloc-before.TotalAlloc)
		}
	}
	if _, err := ParsePAC(two(pacEntry(1, 8, 40), pacEntry(2, 56, 48))); err != nil {
		t.Error(err)
	}

	// The same of what is inside: announced numbers that are not there.
	good := aLogon(t).Append(nil)
	for at := 0; at+4 <= len(good); at += 4 {
		for _, n := range []uint32{0, 1 << 28, 1 << 31, 1<<32 - 1} {
			b := bytes.Clone(good)
			binary.LittleEndian.PutUint32(b[at:], n)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ParseLogonInfo(b)
			runtime.ReadMemStats(&after)
			if after.TotalAlloc-before.TotalAlloc > 1<<17 {
				t.Errorf("%#x at %d: %d octets allocated", n, at, after.TotalAlloc-before.TotalAlloc)
			}
		}
	}
	// And where what is announced twice agrees.
	var twos []int
	for at := 0; at+4 <= len(good); at += 4 {
		if binary.LittleEndian.Uint32(good[at:]) == 2 {
			twos = append(twos, at)
		}
	}
	for i, a := range twos {
		for _, b := range twos[i+1:] {
			for _, n := range []uint32{200, maxGroups, 1 << 28, 1<<32 - 1} {
				bad := bytes.Clone(good)
				binary.LittleEndian.PutUint32(bad[a:], n)
				binary.LittleEndian.PutUint32(bad[b:], n)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := ParseLogonInfo(bad)
				runtime.ReadMemStats(&after)
				if !errors.Is(err, ErrMalformed) || after.TotalAlloc-before.TotalAlloc > 1<<14 {
					t.Errorf("%d at %d and %d: %v, %d octets allocated", n, a, b, err, after.TotalAlloc-before.TotalAlloc)
				}
			}
		}
	}
	many := aLogon(t)
	many.Groups = make([]GroupMembership, maxGroups)
	if _, err := ParseLogonInfo(many.Append(nil)); err != nil {
		t.Errorf("%d groups: %v", maxGroups, err)
	}
	many.Groups = make([]GroupMembership, maxGroups+1)
	if _, err := ParseLogonInfo(many.Append(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d groups: %v", maxGroups+1, err)
	}
	for n := range good {
		if _, err := ParseLogonInfo(good[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("logon info of %d of %d octets: %v", n, len(good), err)
		}
	}
}

// CVE-2014-6324: a checksum that anybody can make (CRC-32, MD5, SHA-1) is not a
// signature, nor one that is cut short.
func TestCVE_2014_6324(t *testing.T) {
	f := newPACFields(t, AES256SHA1, AES128SHA2)
	part := f.ticket(t)
	good, err := FindPAC(part.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []uint32{PACServerChecksum, PACKDCChecksum, PACFullChecksum} {
		i := slices.IndexFunc(good.buffers, func(b pacBuffer) bool { return b.typ == typ })
		for _, sumType := range []int32{1, 2, 7, 8, 14, 0, -138, 15, 20, -1} { // CRC-32, MD4, MD5, SHA-1, RC4, others of AES
			b := bytes.Clone(good.raw)
			binary.LittleEndian.PutUint32(b[good.buffers[i].from:], uint32(sumType))
			if p, err := ParsePAC(b); err != nil || !errors.Is(p.Verify(f.server, f.kdc), ErrPACChecksum) {
				t.Errorf("buffer %d of checksum type %d: accepted", typ, sumType)
			}
		}
		for _, size := range []uint32{0, 3, 4, 5, uint32(good.buffers[i].to-good.buffers[i].from) - 1} {
			b := bytes.Clone(good.raw)
			binary.LittleEndian.PutUint32(b[pacHeaderLen+i*pacBufferHeaderLen+4:], size)
			if p, err := ParsePAC(b); err != nil || !errors.Is(p.Verify(f.server, f.kdc), ErrPACChecksum) {
				t.Errorf("buffer %d of %d octets: accepted", typ, size)
			}
		}
	}
}

// CVE-2022-37967: a service, which can make its own signature, changes what the KDC
// signed, or leaves signatures out.
func TestCVE_2022_37967(t *testing.T) {
	f := newPACFields(t, AES256SHA1, AES256SHA2)
	part := f.ticket(t)
	good, err := FindPAC(part.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	resign := func(p *PAC) {
		clear1 := p.cleared(PACServerChecksum, PACKDCChecksum)
		if from, to, ok := p.signature(PACServerChecksum, f.server); ok {
			copy(p.raw[from:to], f.server.Checksum(nil, clear1, usagePAC))
		}
	}
	forged, _ := ParsePAC(good.raw)
	b, _ := forged.Buffer(PACLogonInfo)
	b[len(b)-10] ^= 1
	resign(forged)
	if err := forged.Verify(f.server, nil); err != nil {
		t.Fatalf("the test's forgery is none: %v", err)
	}
	if err := forged.Verify(f.server, f.kdc); !errors.Is(err, ErrPACChecksum) {
		t.Errorf("forged by the service: %v", err)
	}
	// The signature over the signature is kept and the rest too: only the whole PAC's
	// tells, as in the attack.
	forged.raw[forged.buffers[slices.IndexFunc(forged.buffers, func(b pacBuffer) bool { return b.typ == PACFullChecksum })].from+4] ^= 1
	resign(forged)
	from, to, _ := forged.signature(PACServerChecksum, f.server)
	kfrom, kto, _ := forged.signature(PACKDCChecksum, f.kdc)
	copy(forged.raw[kfrom:kto], f.kdc.Checksum(nil, forged.raw[from:to], usagePAC))
	if err := forged.Verify(f.server, f.kdc); !errors.Is(err, ErrPACChecksum) {
		t.Errorf("full checksum wrong: %v", err)
	}
	for _, missing := range []uint32{PACServerChecksum, PACKDCChecksum} {
		var q PACBuilder
		for _, b := range good.buffers {
			if b.typ != missing {
				q.Add(b.typ, good.raw[b.from:b.to])
			}
		}
		p, err := ParsePAC(q.layout())
		if err != nil {
			t.Fatal(err)
		}
		resign(p)
		if err := p.Verify(f.server, nil); !errors.Is(err, ErrPACChecksum) {
			t.Errorf("buffer %d missing: %v", missing, err)
		}
	}
	f.service = false
	tgt := f.ticket(t)
	p, err := VerifyPAC(tgt, f.server, f.kdc)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.VerifyTicket(tgt, f.kdc); !errors.Is(err, ErrPACChecksum) {
		t.Errorf("evidence without a signature over the ticket: %v", err)
	}
}

// CVE-2021-42287: a PAC is of the ticket's client, and says so throughout.
func TestCVE_2021_42287(t *testing.T) {
	for name, change := range map[string]func(f *pacFields){
		"another name":             func(f *pacFields) { f.client.Name = "bob" },
		"another name's beginning": func(f *pacFields) { f.client.Name = "alic" },
		"with a dollar":            func(f *pacFields) { f.client.Name = "alice$" },
		"another case":             func(f *pacFields) { f.client.Name = "Alice" },
		"another realm":            func(f *pacFields) { f.client.Name = "alice@OTHER" },
		"another time":             func(f *pacFields) { f.client.AuthTime = f.client.AuthTime.Add(time.Second) },
		"no client":                func(f *pacFields) { f.client = nil },
		"another requestor":        func(f *pacFields) { f.requestor = f.logon.Domain.With(500) },
		"another domain's":         func(f *pacFields) { f.requestor = sid(t, "S-1-5-21-1-2-3-1001") },
		"another SID in UPN":       func(f *pacFields) { f.upn.SID = f.logon.Domain.With(500) },
		"another ticket":           func(f *pacFields) { f.name.Components = []string{"bob"} },
	} {
		f := newPACFields(t, AES128SHA2, AES256SHA1)
		change(f)
		if _, err := VerifyPAC(f.ticket(t), f.server, f.kdc); !errors.Is(err, ErrPACClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newPACFields(t, AES128SHA2, AES256SHA1)
	f.client.Name = "alice@GSS.TEST"
	part := f.ticket(t)
	if _, err := VerifyPAC(part, f.server, f.kdc); err != nil {
		t.Errorf("with the realm: %v", err)
	}
	part.AuthData = append(part.AuthData, part.AuthData[0])
	if _, err := VerifyPAC(part, f.server, f.kdc); !errors.Is(err, ErrMalformed) {
		t.Errorf("two PACs: %v", err)
	}
	if p, err := VerifyPAC(&EncTicketPart{}, f.server, f.kdc); p != nil || err != nil {
		t.Errorf("none: %v, %v", p, err)
	}
}

// Every bit of a PAC is signed, that of padding too, if both keys are there.
func TestPACBits(t *testing.T) {
	f := newPACFields(t, AES128SHA1, AES256SHA2)
	p, err := FindPAC(f.ticket(t).AuthData)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.raw {
		for bit := range 8 {
			b := bytes.Clone(p.raw)
			b[i] ^= 1 << bit
			if q, err := ParsePAC(b); err == nil && q.Verify(f.server, f.kdc) == nil {
				t.Errorf("octet %d bit %d turned: accepted", i, bit)
			}
		}
	}
}

func TestSID(t *testing.T) {
	for _, s := range []string{"S-1-5-18", "S-1-0", "S-1-0x100000000000-1", "S-1-5-21-4294967295-0-1-500"} {
		v := sid(t, s)
		if w, ok := parseSID(v.Append(nil)); !ok || !w.Equal(v) {
			t.Errorf("%s: %v", s, w)
		}
	}
	for _, s := range []string{"", "S-1", "S-2-5", "S-1-x", "S-1-5-4294967296", "S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15-16", "s-1-5", "S-1-5--1"} {
		if v, err := ParseSID(s); err == nil {
			t.Errorf("%q: %v", s, v)
		}
	}
	for _, b := range [][]byte{nil, {1, 0, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0, 0, 5}, {1, 1, 0, 0, 0, 0, 0, 5}, {1, 16, 0, 0, 0, 0, 0, 5}, append([]byte{1, 16, 0, 0, 0, 0, 0, 5}, make([]byte, 64)...)} {
		if v, ok := parseSID(b); ok {
			t.Errorf("%x: %v", b, v)
		}
	}
}

func FuzzPAC(f *testing.F) {
	for _, h := range []string{testdata.MarshaledPAC_AD_WIN2K_PAC, testdata.MarshaledPAC_Kerb_Validation_Info_MS,
		testdata.MarshaledPAC_Kerb_Validation_Info_Trust, testdata.MarshaledPAC_UPN_DNS_Info, testdata.MarshaledPAC_Client_Info} {
		f.Add(unhex(f, h))
	}
	fields := newPACFields(f, AES256SHA1, AES128SHA2)
	part := fields.ticket(f)
	p, err := FindPAC(part.AuthData)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.raw)
	f.Add((&DelegationInfo{Target: "host/back", Transited: []string{"HTTP/front@GSS.TEST"}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLogonInfo(b); err == nil {
			if again, err := ParseLogonInfo(l.Append(nil)); err != nil || !reflect.DeepEqual(l, again) {
				t.Fatalf("read %+v, then %+v, %v", l, again, err)
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if d, err := ParseDelegationInfo(b); err == nil {
			if again, err := ParseDelegationInfo(d.Append(nil)); err != nil || !reflect.DeepEqual(d, again) {
				t.Fatalf("read %+v, then %+v, %v", d, again, err)
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if u, err := ParseUPNInfo(b); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(u, err)
		}
		if c, err := ParsePACClientInfo(b); err == nil {
			if !bytes.Equal(c.Append(nil)[8:], b[8:]) {
				t.Fatalf("%+v", c)
			}
		}
		p, err := ParsePAC(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if err := p.Verify(fields.server, fields.kdc); err != nil && !errors.Is(err, ErrPACChecksum) {
			t.Fatal(err)
		}
		for _, e := range []error{p.VerifyTicket(part, fields.kdc), p.checkClient(part)} {
			if e != nil && !errors.Is(e, ErrPACChecksum) && !errors.Is(e, ErrPACClient) && !errors.Is(e, ErrMalformed) {
				t.Fatal(e)
			}
		}
	})
}
