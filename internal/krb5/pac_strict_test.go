package krb5

import (
	"encoding/binary"
	"errors"
	"testing"
)

// A signature says of which type it is: of the key's, whatever its octets are.
func TestPACChecksumType(t *testing.T) {
	key, err := RandomKey(AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	var b PACBuilder
	b.Add(PACClientInfoType, (&PACClientInfo{Name: "alice"}).Append(nil))
	list, err := b.Sign(&EncTicketPart{}, key, key, false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := FindPAC(list)
	if err != nil {
		t.Fatal(err)
	}
	from, to, _ := p.signature(PACServerChecksum, key)
	for _, typ := range []int32{AES256SHA1.ChecksumType(), AES128SHA1.ChecksumType()} { // of one length
		binary.LittleEndian.PutUint32(p.raw[from-4:], uint32(typ))
		copy(p.raw[from:to], key.Checksum(nil, p.cleared(PACServerChecksum, PACKDCChecksum), usagePAC))
		if err := p.Verify(key, nil); (err == nil) != (typ == AES256SHA1.ChecksumType()) || err != nil && !errors.Is(err, ErrPACChecksum) {
			t.Errorf("type %d: %v", typ, err)
		}
	}
}

// Counts that contradict each other, one at a time.
func TestNDRCounts(t *testing.T) {
	const head = 16 + 4 // the headers, and the pointer to the structure
	d := (&DelegationInfo{Target: "host/h"}).Append(nil)
	most := d[head+8+4+4:] // behind the head of the string, and that of the list
	if binary.LittleEndian.Uint32(most) != 6 {
		t.Fatalf("% x", d)
	}
	if _, err := ParseDelegationInfo(d); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(most, 5)
	if _, err := ParseDelegationInfo(d); !errors.Is(err, ErrMalformed) {
		t.Errorf("longer than its maximum: %v", err)
	}

	sid := SID{Authority: 5, Sub: []uint32{21, 1}}
	for name, tt := range map[string]struct {
		l  LogonInfo
		at int // of a count of 0, before a null pointer
	}{
		"groups":          {LogonInfo{Domain: sid, UserID: 1}, head + 48 + 48 + 4 + 8},
		"SIDs":            {LogonInfo{Domain: sid, UserID: 1}, head + 48 + 48 + 4 + 8 + 8 + 4 + 16 + 16 + 4 + 8 + 4 + 28},
		"resource groups": {LogonInfo{Domain: sid, UserID: 1, ResourceDomain: sid}, head + 48 + 48 + 4 + 8 + 8 + 4 + 16 + 16 + 4 + 8 + 4 + 28 + 8 + 4},
	} {
		b := tt.l.Append(nil)
		if _, err := ParseLogonInfo(b); err != nil || binary.LittleEndian.Uint64(b[tt.at:]) != 0 {
			t.Fatalf("%s: %v, % x", name, err, b[tt.at:tt.at+8])
		}
		binary.LittleEndian.PutUint32(b[tt.at:], 1)
		if _, err := ParseLogonInfo(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s that are not there: %v", name, err)
		}
	}
}

// So does the checksum that says whom a service asks a ticket for.
func TestS4UChecksumType(t *testing.T) {
	key, err := RandomKey(AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPAS4UX509User(S4UUserID{Nonce: 1, CRealm: "R"}, key, UsageS4UX509UserReply)
	if !p.Verify(key, UsageS4UX509UserReply) || p.Verify(key, UsageS4UX509UserRequest) {
		t.Error("not as it was made")
	}
	for _, typ := range []int32{AES128SHA1.ChecksumType(), ChecksumHMACMD5, 0, 1, 7} {
		p.Cksum.Type = typ
		if p.Verify(key, UsageS4UX509UserReply) {
			t.Errorf("type %d", typ)
		}
	}
}
