package krb5

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// field decodes hexadecimal and puts [0] around it.
func field(t *testing.T, value string) cryptobyte.String {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(value, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return build(nil, func(bb *builder) { addField(bb, 0, func(bb *builder) { bb.octets(b) }) })
}

// The builder writes what cryptobyte's does.
func TestBuilder(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 1<<31 - 1, -1 << 31, 1<<32 - 1, 1<<63 - 1, -1 << 63} {
		want := cryptobyte.NewBuilder(nil)
		want.AddASN1Int64(v)
		if got := build(nil, func(b *builder) { b.integer(v) }); !bytes.Equal(got, want.BytesOrPanic()) {
			t.Errorf("%d: %x", v, got)
		}
	}
	for _, n := range []int{0, 1, 100, 127, 128, 129, 250, 255, 256, 65535, 65536, 1 << 20} {
		v := bytes.Repeat([]byte{7}, n)
		want := cryptobyte.NewBuilder([]byte("before"))
		want.AddASN1(explicit(3), func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
		if got := build([]byte("before"), func(b *builder) { addOctets(b, 3, v) }); !bytes.Equal(got, want.BytesOrPanic()) {
			t.Errorf("%d octets: %.20x", n, got)
		}
	}
}

func TestIntegers(t *testing.T) {
	type result struct {
		v  int64
		ok bool
	}
	no := result{}
	for _, c := range []struct {
		der      string
		i32, u32 result
		usec     result
	}{
		{"02 01 00", result{0, true}, result{0, true}, result{0, true}},
		{"02 01 7f", result{127, true}, result{127, true}, result{127, true}},
		{"02 03 0f423f", result{999999, true}, result{999999, true}, result{999999, true}},
		{"02 03 0f4240", result{1000000, true}, result{1000000, true}, no},
		{"02 04 7fffffff", result{1<<31 - 1, true}, result{1<<31 - 1, true}, no},
		{"02 05 0080000000", no, result{1 << 31, true}, no},
		{"02 05 00ffffffff", no, result{1<<32 - 1, true}, no},
		{"02 05 0100000000", no, no, no},
		{"02 01 ff", result{-1, true}, result{1<<32 - 1, true}, no}, // a signed sequence number
		{"02 04 80000000", result{-1 << 31, true}, result{1 << 31, true}, no},
		{"02 05 ff7fffffff", no, no, no},
		{"02 08 7fffffffffffffff", no, no, no},
		{"02 09 00ffffffffffffffff", no, no, no},
		{"02 00", no, no, no},
		{"02 02 0001", no, no, no}, // not minimal
		{"02 02 ffff", no, no, no},
		{"02 81 01 01", no, no, no}, // long form
		{"02 80 01 00 00", no, no, no},
		{"0a 01 01", no, no, no},
		{"02 01 01 00", no, no, no},
		{"02 02 01", no, no, no},
	} {
		s := field(t, c.der)
		var i int32
		if ok := readInt32(&s, 0, &i); ok != c.i32.ok || ok && int64(i) != c.i32.v {
			t.Errorf("%s: Int32 %d, %v", c.der, i, ok)
		}
		s = field(t, c.der)
		var u uint32
		if ok := readUint32(&s, 0, &u); ok != c.u32.ok || ok && int64(u) != c.u32.v {
			t.Errorf("%s: UInt32 %d, %v", c.der, u, ok)
		}
		s = field(t, c.der)
		var us int
		if ok := readMicroseconds(&s, 0, &us); ok != c.usec.ok || ok && int64(us) != c.usec.v {
			t.Errorf("%s: Microseconds %d, %v", c.der, us, ok)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		der  string
		want uint32
		ok   bool
	}{
		{"03 05 00 40000000", APUseSessionKey, true},
		{"03 05 00 00000001", 1, true},
		{"03 06 00 80000001 ff", 1<<31 | 1, true}, // more bits, which mean nothing yet
		{"03 06 07 80000001 80", 1<<31 | 1, true},
		{"03 09 00 00000000 00000000", 0, true},
		{"03 0a 00 00000000 00000000 00", 0, false},
		{"03 05 01 00000000", 0, false}, // 31 bits
		{"03 04 00 000000", 0, false},
		{"03 06 07 80000001 40", 0, false}, // unused bits set
		{"03 06 08 80000001 00", 0, false},
		{"03 01 00", 0, false},
		{"03 00", 0, false},
		{"04 05 00 40000000", 0, false},
		{"23 05 00 40000000", 0, false},
	} {
		s := field(t, c.der)
		var v uint32
		if ok := readFlags(&s, 0, &v); ok != c.ok || ok && v != c.want {
			t.Errorf("%s: %#x, %v", c.der, v, ok)
		}
	}
}

func TestTime(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Time // zero: refused
	}{
		{"20300102030405Z", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
		{"19700101000000Z", time.Unix(0, 0)},
		{"20240229000000Z", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"99991231235959Z", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"19691231235959Z", time.Time{}},
		{"00010101000000Z", time.Time{}},
		{"20230229000000Z", time.Time{}},
		{"20300001000000Z", time.Time{}},
		{"20301301000000Z", time.Time{}},
		{"20300100000000Z", time.Time{}},
		{"20300132000000Z", time.Time{}},
		{"20300101240000Z", time.Time{}},
		{"20300101006000Z", time.Time{}},
		{"20300101000060Z", time.Time{}},
		{"2030010203040Z", time.Time{}},
		{"20300102030405", time.Time{}},
		{"20300102030405.5Z", time.Time{}},
		{"20300102030405+0100", time.Time{}},
		{"20300102030405z", time.Time{}},
		{"+0300102030405Z", time.Time{}},
		{"2030010203040 Z", time.Time{}},
		{"203001020304-5Z", time.Time{}},
		{"", time.Time{}},
	} {
		b := build(nil, func(b *builder) {
			addField(b, 0, func(b *builder) {
				b.add(asn1.GeneralizedTime, func(b *builder) { b.octets([]byte(c.text)) })
			})
		})
		s := cryptobyte.String(b)
		var got time.Time
		ok := readTime(&s, 0, &got)
		if ok != !c.want.IsZero() || ok && !got.Equal(c.want) {
			t.Errorf("%q: %v, %v", c.text, got, ok)
		}
		if ok && !bytes.Equal(build(nil, func(b *builder) { addTime(b, 0, got) }), b) {
			t.Errorf("%q is written otherwise", c.text)
		}
	}
	for _, c := range []struct {
		in   time.Time
		want string
	}{
		{time.Date(2030, 1, 2, 3, 4, 5, 999999999, time.FixedZone("", 3600)), "20300102020405Z"},
		{time.Time{}, "19700101000000Z"},
		{time.Unix(1<<40, 0), "99991231235959Z"},
	} {
		if b := build(nil, func(b *builder) { addTime(b, 0, c.in) }); string(b[4:]) != c.want {
			t.Errorf("%v is written %q", c.in, b[4:])
		}
	}
}

func TestStrings(t *testing.T) {
	for _, s := range []string{"", "x", "EXAMPLE.ORG", "jürgen", strings.Repeat("a", maxString)} {
		b := cryptobyte.String(build(nil, func(b *builder) { addString(b, 0, s) }))
		var got string
		if !readString(&b, 0, &got) || got != s || !b.Empty() {
			t.Errorf("%.20q: %.20q", s, got)
		}
	}
	for _, s := range []string{"a\x00", "\x00", "\xff", "a\xc0\x80", strings.Repeat("a", maxString+1)} {
		b := cryptobyte.String(build(nil, func(b *builder) { addString(b, 0, s) }))
		var got string
		if readString(&b, 0, &got) {
			t.Errorf("%.20q was read", s)
		}
	}
	for _, tag := range []string{"0c", "16", "04", "3b"} { // UTF8String, IA5String, OCTET STRING, constructed
		s := field(t, tag+" 01 41")
		var got string
		if readString(&s, 0, &got) {
			t.Errorf("tag %s was read", tag)
		}
	}
}

// Each list has a bound, and what is one over is refused.
func TestBounds(t *testing.T) {
	req := func(change func(*KDCReqBody)) message {
		r := &KDCReq{Body: KDCReqBody{Realm: "R", Till: someTime}}
		change(&r.Body)
		return r
	}
	for _, c := range []struct {
		name  string
		limit int
		make  func(n int) message
	}{
		{"KDC-REQ", maxETypes, func(n int) message { return req(func(r *KDCReqBody) { r.ETypes = make([]EType, n) }) }},
		{"KDC-REQ", maxAddresses, func(n int) message { return req(func(r *KDCReqBody) { r.Addresses = make([]HostAddress, n) }) }},
		{"KDC-REQ", maxTickets, func(n int) message {
			return req(func(r *KDCReqBody) { r.Tickets = slices.Repeat([]Ticket{someTicket}, n) })
		}},
		{"KDC-REQ", maxComponents, func(n int) message {
			return req(func(r *KDCReqBody) { r.SName.Components = make([]string, n) })
		}},
		{"METHOD-DATA", maxPAData, func(n int) message { return methodData(make([]PAData, n)) }},
		{"AuthorizationData", maxAuthData, func(n int) message { return authData(make([]AuthDataEntry, n)) }},
		{"ETYPE-INFO2", maxETypes, func(n int) message { return etypeInfo2(make([]ETypeInfo2Entry, n)) }},
		{"KRB-CRED", maxTickets, func(n int) message { return &Cred{Tickets: slices.Repeat([]Ticket{someTicket}, n)} }},
		{"EncKrbCredPart", maxTickets, func(n int) message { return &EncCredPart{Infos: make([]CredInfo, n)} }},
		{"EncKDCRepPart", maxLastReqs, func(n int) message {
			return &EncKDCRepPart{LastReq: make([]LastReq, n), SRealm: "R", SName: someName}
		}},
	} {
		if _, err := parsers[c.name](c.make(c.limit).Append(nil)); err != nil {
			t.Errorf("%s with %d: %v", c.name, c.limit, err)
		}
		if _, err := parsers[c.name](c.make(c.limit + 1).Append(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with %d: %v", c.name, c.limit+1, err)
		}
	}
	// None where one is needed.
	for name, m := range map[string]message{
		"ETYPE-INFO2": etypeInfo2{}, "Ticket": &Ticket{Realm: "R"}, "Authenticator": &Authenticator{CName: someName},
	} {
		if _, err := parsers[name](m.Append(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s without a name, a realm or an entry: %v", name, err)
		}
	}
}

// Nesting, lengths in other forms, versions and message types that are not ours.
func TestNotDER(t *testing.T) {
	good := (&APRep{someEnc}).Append(nil)
	for name, b := range map[string][]byte{
		"empty":             {},
		"deep":              bytes.Repeat([]byte{0x6f, 0x80}, 1e5),
		"deep, definite":    bytes.Repeat([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, 1e5),
		"indefinite length": slices.Concat([]byte{0x6f, 0x80}, good[2:], []byte{0, 0}),
		"long form":         slices.Concat([]byte{0x6f, 0x81}, good[1:]),
		"4 GiB":             slices.Concat([]byte{0x6f, 0x84, 0xff, 0xff, 0xff, 0xff}, good[2:]),
		"version 4":         bytes.Replace(good, []byte{0xa0, 3, 2, 1, 5}, []byte{0xa0, 3, 2, 1, 4}, 1),
		"another type":      bytes.Replace(good, []byte{0xa1, 3, 2, 1, 15}, []byte{0xa1, 3, 2, 1, 14}, 1),
		"another tag":       slices.Concat([]byte{0x6e}, good[1:]),
	} {
		for kind, p := range parsers {
			if m, err := p(b); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s as %s: %+v, %v", name, kind, m, err)
			}
		}
	}
	if _, err := ParseAPRep(good); err != nil {
		t.Error(err)
	}
}

// A ticket travels as it came, also where we would have written it otherwise.
func TestRawTicket(t *testing.T) {
	raw := slices.Clone(someTicket.Append(nil))
	i := bytes.Index(raw, []byte{0xa1, 3, 2, 1, 7}) // key version 7 as -1
	raw[i+4] = 0xff
	ticket, err := ParseTicket(raw)
	if err != nil || ticket.EncPart.KVNO != 1<<32-1 || bytes.Equal(ticket.Append(nil), raw) {
		t.Fatalf("%+v, %v", ticket, err)
	}
	for kind, m := range map[string]message{
		"AP-REQ":   &APReq{RawTicket: raw, Authenticator: someEnc},
		"KDC-REP":  &KDCRep{RawTicket: raw, CRealm: "R", CName: someName, EncPart: someEnc},
		"KRB-CRED": &Cred{RawTickets: [][]byte{raw}, EncPart: someEnc},
	} {
		der := m.Append(nil)
		if _, err := parsers[kind](der); err != nil || !bytes.Contains(der, raw) {
			t.Errorf("%s: %v, %x", kind, err, der)
		}
	}
	if rep, err := ParseKDCRep((&KDCRep{RawTicket: raw, CRealm: "R", CName: someName}).Append(nil)); err != nil || !bytes.Equal(rep.RawTicket, raw) {
		t.Errorf("%+v, %v", rep, err)
	}
}

// No verb of fmt shows a key.
func TestKeyPrinted(t *testing.T) {
	k := EncryptionKey{AES128SHA1, []byte("secret secret 16")}
	a := Authenticator{Subkey: &k}
	p := EncTicketPart{Key: k}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{k, &k, a, p, &p, []EncryptionKey{k}} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, "secret") || strings.Contains(out, hex.EncodeToString(k.Value)) || strings.Contains(out, "115 101 99") {
				t.Errorf("%s of %T: %s", verb, v, out)
			}
		}
	}
	key, err := k.Key()
	if err != nil || key.EType() != AES128SHA1 {
		t.Error(err)
	}
	if k.Erase(); !bytes.Equal(k.Value, make([]byte, 16)) {
		t.Error("not erased")
	}
}

func TestErrorCodes(t *testing.T) {
	e := &KRBError{Code: KRB_AP_ERR_SKEW, EText: "clock\nskew \x1b[31m" + strings.Repeat("x", 1000)}
	if !errors.Is(e, KRB_AP_ERR_SKEW) || errors.Is(e, KRB_AP_ERR_REPEAT) || strings.ContainsAny(e.Error(), "\n\x1b") || len(e.Error()) > 500 {
		t.Errorf("%q", e.Error())
	}
	if got := (&KRBError{Code: KDC_ERR_PREAUTH_REQUIRED}).Error(); got != "KDC_ERR_PREAUTH_REQUIRED (25)" {
		t.Error(got)
	}
	if got := ErrorCode(99).Error(); got != "Kerberos error 99" {
		t.Error(got)
	}
}
