package krb5

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// gokrb5 is the second implementation: it reads what we write, and writes it again
// as the same octets, for each message that it can write. Where it cannot
// (specifics below), its structure is compared.

var (
	someTime   = time.Date(2030, 12, 31, 23, 59, 59, 0, time.UTC)
	someName   = PrincipalName{NTSrvHst, []string{"host", "files.example.org"}}
	someTicket = Ticket{"EXAMPLE.ORG", someName, EncryptedData{AES256SHA2, 7, true, bytes.Repeat([]byte{0xa5}, 300)}}
	someKey    = EncryptionKey{AES256SHA1, bytes.Repeat([]byte{0x5a}, 32)}
	someAddrs  = []HostAddress{{2, []byte{127, 0, 0, 1}}, {24, make([]byte, 16)}}
	someAD     = []AuthDataEntry{{ADIfRelevant, []byte{0x30, 0}}, {128, bytes.Repeat([]byte{1}, 1000)}}
	someEnc    = EncryptedData{AES128SHA2, 0, false, []byte("authenticator")}
	somePA     = []PAData{{PAEncTimestamp, []byte("x")}, {PAReqEncPARep, []byte{}}}
)

func TestGokrb5Reads(t *testing.T) {
	type goMessage interface{ Unmarshal([]byte) error }
	type goWriter interface{ Marshal() ([]byte, error) }
	user := PrincipalName{NTPrincipal, []string{"alice"}}
	body := KDCReqBody{
		Options: KDCForwardable | KDCCanonicalize | KDCRenewableOK, CName: user, Realm: "EXAMPLE.ORG", SName: someName,
		From: someTime, Till: someTime, RTime: someTime, Nonce: math.MaxInt32, ETypes: []EType{20, 19, 18, 17, 23},
		Addresses: someAddrs, EncAuthData: &someEnc, Tickets: []Ticket{someTicket},
	}
	for _, c := range []struct {
		name string
		ours message
		gos  goMessage
	}{
		{"ticket", &someTicket, &messages.Ticket{}},
		{"ap-req", &APReq{Options: APMutualRequired, Ticket: someTicket, Authenticator: someEnc}, &messages.APReq{}},
		{"authenticator", &Authenticator{"EXAMPLE.ORG", user, &Checksum{0x8003, make([]byte, 24)}, 999999, someTime, &someKey,
			math.MaxUint32, true, someAD}, &types.Authenticator{}},
		{"authenticator, short", &Authenticator{CRealm: "EXAMPLE.ORG", CName: user, CUsec: 1, CTime: someTime}, &types.Authenticator{}},
		{"as-req", &KDCReq{PAData: somePA, Body: body}, &messages.ASReq{}},
		{"tgs-req", &KDCReq{TGS: true, PAData: somePA, Body: body}, &messages.TGSReq{}},
		{"as-rep", &KDCRep{PAData: somePA, CRealm: "EXAMPLE.ORG", CName: user, Ticket: someTicket, EncPart: someEnc}, &messages.ASRep{}},
		{"tgs-rep", &KDCRep{TGS: true, CRealm: "EXAMPLE.ORG", CName: user, Ticket: someTicket, EncPart: someEnc}, &messages.TGSRep{}},
		{"enc-as-rep-part", &EncKDCRepPart{false, someKey, []LastReq{{0, someTime}}, 1, someTime, TicketInitial, someTime,
			someTime, someTime, someTime, "EXAMPLE.ORG", someName, someAddrs, somePA}, &messages.EncKDCRepPart{}},
		{"krb-error", &KRBError{someTime, 1, someTime, 999999, KRB_AP_ERR_SKEW, "EXAMPLE.ORG", user, "EXAMPLE.ORG", someName,
			"clock", []byte{1, 2, 3}}, &messages.KRBError{}},
		{"krb-error, short", &KRBError{STime: someTime, SUsec: 1, Code: KDC_ERR_PREAUTH_REQUIRED, Realm: "EXAMPLE.ORG", SName: someName}, &messages.KRBError{}},
		{"encrypted data", &EncryptedData{AES128SHA2, 3, true, []byte("x")}, &types.EncryptedData{}},
		// Those that gokrb5 cannot write.
		{"ap-rep", &APRep{someEnc}, &messages.APRep{}},
		{"enc-ap-rep-part", &EncAPRepPart{someTime, 999999, &someKey, math.MaxUint32, true}, &messages.EncAPRepPart{}},
		{"enc-ticket-part", &EncTicketPart{TicketForwardable | TicketInitial, someKey, "EXAMPLE.ORG", user, 1, []byte("X"), someTime,
			someTime, someTime, someTime, someAddrs, someAD}, &messages.EncTicketPart{}},
		{"pa-enc-ts", &PAEncTSEnc{someTime, 999999}, &types.PAEncTSEnc{}},
		{"etype-info2", etypeInfo2{{AES256SHA2, "EXAMPLE.ORGalice", true, []byte{0, 0, 0x80, 0}}, {17, "", false, nil}}, &types.ETypeInfo2{}},
		{"authorization data", authData(someAD), &types.AuthorizationData{}},
		{"enc-cred-part", &EncCredPart{Infos: []CredInfo{{Key: someKey, PRealm: "EXAMPLE.ORG", PName: user, Flags: TicketForwarded,
			HasFlags: true, EndTime: someTime, SRealm: "EXAMPLE.ORG", SName: someName}}}, &messages.EncKrbCredPart{}},
		{"krb-cred", &Cred{Tickets: []Ticket{someTicket}, EncPart: someEnc}, &messages.KRBCred{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			der := c.ours.Append(nil)
			if err := c.gos.Unmarshal(der); err != nil {
				t.Fatal(err)
			}
			if w, ok := c.gos.(goWriter); ok {
				again, err := w.Marshal()
				if err != nil || !bytes.Equal(again, der) {
					t.Errorf("gokrb5 writes\n%x, %v, we\n%x", again, err, der)
				}
			}
		})
	}
}

// The fields that gokrb5 finds in messages which it cannot write.
func TestGokrb5Fields(t *testing.T) {
	name := types.PrincipalName{NameType: NTSrvHst, NameString: []string{"host", "files.example.org"}}
	key := types.EncryptionKey{KeyType: 18, KeyValue: someKey.Value}

	var rep messages.EncAPRepPart
	err := rep.Unmarshal((&EncAPRepPart{someTime, 999999, &someKey, math.MaxUint32, true}).Append(nil))
	if want := (messages.EncAPRepPart{CTime: someTime, Cusec: 999999, Subkey: key, SequenceNumber: math.MaxUint32}); err != nil || !reflect.DeepEqual(rep, want) {
		t.Errorf("EncAPRepPart %+v, %v", rep, err)
	}

	var part messages.EncTicketPart
	err = part.Unmarshal((&EncTicketPart{Flags: TicketForwardable | TicketInitial, Key: someKey, CRealm: "EXAMPLE.ORG", CName: someName,
		TransitedType: 1, Transited: []byte("X"), AuthTime: someTime, EndTime: someTime.Add(time.Second), RenewTill: someTime.Add(time.Minute),
		CAddr: someAddrs[:1], AuthData: someAD[:1]}).Append(nil))
	want := messages.EncTicketPart{
		Flags: asn1.BitString{Bytes: []byte{0x40, 0x40, 0, 0}, BitLength: 32}, Key: key, CRealm: "EXAMPLE.ORG", CName: name,
		Transited: messages.TransitedEncoding{TRType: 1, Contents: []byte("X")},
		AuthTime:  someTime, EndTime: someTime.Add(time.Second), RenewTill: someTime.Add(time.Minute),
		CAddr:             types.HostAddresses{{AddrType: 2, Address: []byte{127, 0, 0, 1}}},
		AuthorizationData: types.AuthorizationData{{ADType: 1, ADData: []byte{0x30, 0}}},
	}
	if err != nil || !reflect.DeepEqual(part, want) {
		t.Errorf("EncTicketPart\n%+v, %v, want\n%+v", part, err, want)
	}
}

// What gokrb5 writes of its own accord, we read.
func TestGokrb5Writes(t *testing.T) {
	name := types.PrincipalName{NameType: NTPrincipal, NameString: []string{"alice", "admin"}}
	a, err := types.NewAuthenticator("EXAMPLE.ORG", name)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.GenerateSeqNumberAndSubKey(20, 32); err != nil {
		t.Fatal(err)
	}
	a.Cksum = types.Checksum{CksumType: 0x8003, Checksum: make([]byte, 24)}
	der, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ParseAuthenticator(der)
	if err != nil || ours.CRealm != "EXAMPLE.ORG" || ours.CName.String() != "alice/admin" || int64(ours.SeqNumber) != a.SeqNumber ||
		!ours.HasSeq || ours.Cksum.Type != 0x8003 || ours.Subkey.EType != 20 || !bytes.Equal(ours.Subkey.Value, a.SubKey.KeyValue) ||
		!ours.CTime.Equal(a.CTime.Truncate(time.Second)) || ours.CUsec != a.Cusec {
		t.Errorf("%+v, %v", ours, err)
	}
	e := messages.NewKRBError(name, "EXAMPLE.ORG", int32(KRB_AP_ERR_REPEAT), "again")
	if der, err = e.Marshal(); err != nil {
		t.Fatal(err)
	}
	if ke, err := ParseKRBError(der); err != nil || ke.Code != KRB_AP_ERR_REPEAT || ke.EText != "again" || ke.SName.String() != "alice/admin" {
		t.Errorf("%+v, %v", ke, err)
	}
	if der, err = types.GetPAEncTSEncAsnMarshalled(); err != nil {
		t.Fatal(err)
	}
	if ts, err := ParsePAEncTSEnc(der); err != nil || time.Since(ts.Time).Abs() > time.Minute {
		t.Errorf("%+v, %v", ts, err)
	}
}
