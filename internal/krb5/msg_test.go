package krb5

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// message is any type of this package that has a DER form of its own.
type message interface{ Append(dst []byte) []byte }

// Slices that are a message.
type (
	methodData []PAData
	etypeInfo2 []ETypeInfo2Entry
	authData   []AuthDataEntry
	pacOptions uint32
)

func (l methodData) Append(dst []byte) []byte { return AppendMethodData(dst, l) }
func (l etypeInfo2) Append(dst []byte) []byte { return AppendETypeInfo2(dst, l) }
func (l authData) Append(dst []byte) []byte   { return AppendAuthData(dst, l) }

func (f pacOptions) Append(dst []byte) []byte { return AppendPACOptions(dst, uint32(f)) }

func as[T message](v T, err error) (message, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// parsers has every message by the name that its errors use.
var parsers = map[string]func(b []byte) (message, error){
	"Ticket":            func(b []byte) (message, error) { return as(ParseTicket(b)) },
	"EncTicketPart":     func(b []byte) (message, error) { return as(ParseEncTicketPart(b)) },
	"AP-REQ":            func(b []byte) (message, error) { return as(ParseAPReq(b)) },
	"Authenticator":     func(b []byte) (message, error) { return as(ParseAuthenticator(b)) },
	"AP-REP":            func(b []byte) (message, error) { return as(ParseAPRep(b)) },
	"EncAPRepPart":      func(b []byte) (message, error) { return as(ParseEncAPRepPart(b)) },
	"KRB-ERROR":         func(b []byte) (message, error) { return as(ParseKRBError(b)) },
	"KRB-CRED":          func(b []byte) (message, error) { return as(ParseCred(b)) },
	"EncKrbCredPart":    func(b []byte) (message, error) { return as(ParseEncCredPart(b)) },
	"KDC-REQ":           func(b []byte) (message, error) { return as(ParseKDCReq(b)) },
	"KDC-REP":           func(b []byte) (message, error) { return as(ParseKDCRep(b)) },
	"EncKDCRepPart":     func(b []byte) (message, error) { return as(ParseEncKDCRepPart(b)) },
	"PA-ENC-TS-ENC":     func(b []byte) (message, error) { return as(ParsePAEncTSEnc(b)) },
	"EncryptedData":     func(b []byte) (message, error) { return as(ParseEncryptedData(b)) },
	"METHOD-DATA":       func(b []byte) (message, error) { v, err := ParseMethodData(b); return as(methodData(v), err) },
	"ETYPE-INFO2":       func(b []byte) (message, error) { v, err := ParseETypeInfo2(b); return as(etypeInfo2(v), err) },
	"KRB-PRIV":          func(b []byte) (message, error) { return as(ParsePriv(b)) },
	"EncKrbPrivPart":    func(b []byte) (message, error) { return as(ParseEncPrivPart(b)) },
	"PA-FOR-USER":       func(b []byte) (message, error) { return as(ParsePAForUser(b)) },
	"PA-S4U-X509-USER":  func(b []byte) (message, error) { return as(ParsePAS4UX509User(b)) },
	"PA-PAC-OPTIONS":    func(b []byte) (message, error) { v, err := ParsePACOptions(b); return as(pacOptions(v), err) },
	"AuthorizationData": func(b []byte) (message, error) { v, err := ParseAuthData(b); return as(authData(v), err) },
}

// A vector is a file of testdata/msg: its first line names the message and where
// the octets are from, the others are hexadecimal.
type vector struct {
	name, kind string
	der        []byte
}

func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("testdata/msg/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors in testdata/msg", err)
	}
	var vs []vector
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(b), "\n")
		kind, _, ok := strings.Cut(strings.TrimPrefix(head, "# "), ",")
		der, err := hex.DecodeString(strings.ReplaceAll(body, "\n", ""))
		if !ok || err != nil || len(der) == 0 || parsers[kind] == nil {
			t.Fatalf("%s: not a vector of a known message: %v", f, err)
		}
		vs = append(vs, vector{strings.TrimSuffix(filepath.Base(f), ".hex"), kind, der})
	}
	return vs
}

// What we read of MIT's reference encodings we write again, octet for octet, but
// for these, where MIT has a signed or an absent integer.
var rewritten = map[string]string{
	"enc_dataMSBSetkvno": "3027a003020100a107020500ff000000a21704156b726241534e2e312074657374206d657373616765",
	"enc_dataKVNONegOne": "3027a003020100a107020500ffffffffa21704156b726241534e2e312074657374206d657373616765",
	"pa_enc_tsNoUsec":    "3018a011180f31393934303631303036303331375aa103020100",
}

func TestMessageVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			m, err := parsers[v.kind](v.der)
			if err != nil {
				t.Fatal(err)
			}
			want := hex.EncodeToString(v.der)
			if w, ok := rewritten[v.name]; ok {
				want = w
			}
			if got := hex.EncodeToString(m.Append(nil)); got != want {
				t.Errorf("wrote\n%s, want\n%s", got, want)
			}
			if got := m.Append([]byte("before")); !strings.HasPrefix(string(got), "before") || hex.EncodeToString(got[6:]) != want {
				t.Error("Append does not append")
			}
			noRaw(m)
			if got := hex.EncodeToString(m.Append(nil)); got != want {
				t.Errorf("wrote from parsed fields\n%s, want\n%s", got, want)
			}
		})
	}
}

// noRaw makes Append write what was parsed rather than what was kept as it came.
func noRaw(m message) {
	switch m := m.(type) {
	case *KDCReq:
		m.RawBody = nil
	case *KDCRep:
		m.RawTicket = nil
	case *PAS4UX509UserData:
		m.RawUserID = nil
	}
}

// MIT's sample values, by which its reference encodings are known.
func TestMessageValues(t *testing.T) {
	when := time.Date(1994, 6, 10, 6, 3, 17, 0, time.UTC)
	name := PrincipalName{NTPrincipal, []string{"hftsai", "extra"}}
	const realm = "ATHENA.MIT.EDU"
	enc := EncryptedData{EType: 0, KVNO: 5, HasKVNO: true, Cipher: []byte("krbASN.1 test message")}
	key := EncryptionKey{1, []byte("12345678")}
	ticket := Ticket{realm, name, enc}
	ad := []AuthDataEntry{{1, []byte("foobar")}, {1, []byte("foobar")}}
	addrs := []HostAddress{{2, []byte{0x12, 0xd0, 0, 0x23}}, {2, []byte{0x12, 0xd0, 0, 0x23}}}
	pa := []PAData{{13, []byte("pa-data")}, {13, []byte("pa-data")}}
	const flags = 0xfedcba98
	s4u := S4UUserID{0xca149a, name, realm, []byte("pa_s4u_x509_user"), 0x80000000, true}
	want := map[string]message{
		"ticket":                     &ticket,
		"ap_req":                     &APReq{Options: flags, Ticket: ticket, Authenticator: enc},
		"ap_rep":                     &APRep{enc},
		"ap_rep_enc_part":            &EncAPRepPart{when, 123456, &key, 17, true},
		"authenticatorOptionalsNULL": &Authenticator{CRealm: realm, CName: name, CUsec: 123456, CTime: when},
		"authenticator": &Authenticator{realm, name, &Checksum{1, []byte("1234")}, 123456, when,
			&key, 17, true, ad},
		"enc_tkt_part": &EncTicketPart{flags, key, realm, name, 1, []byte("EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS."),
			when, when, when, when, addrs, ad},
		"error": &KRBError{when, 123456, when, 123456, KRB_ERR_GENERIC, realm, name, realm, name, "krb5data", []byte("krb5data")},
		"tgs_rep": &KDCRep{TGS: true, PAData: pa, CRealm: realm, CName: name, Ticket: ticket,
			RawTicket: ticket.Append(nil), EncPart: enc},
		"enc_kdc_rep_part": &EncKDCRepPart{true, key, []LastReq{{-5, when}, {-5, when}}, 42, when, flags,
			when, when, when, when, realm, name, addrs, nil},
		"pa_enc_ts":        &PAEncTSEnc{when, 123456},
		"padata_sequence":  methodData(pa),
		"etype_info2Only1": etypeInfo2{{0, "Morton's #0", true, []byte("s2k: 0")}},
		"pa_for_user":      &PAForUserData{Principal{name, realm}, Checksum{1, []byte("1234")}, "krb5data"},
		"pa_s4u_x509_user": &PAS4UX509UserData{s4u, build(nil, s4u.add), Checksum{1, []byte("1234")}},
		"priv":             &Priv{enc},
		"enc_priv_part":    &EncPrivPart{[]byte("krb5data"), when, 123456, 17, true, true, addrs[0], &addrs[1]},
		"cred":             &Cred{Tickets: []Ticket{ticket, ticket}, EncPart: enc},
	}
	for _, v := range vectors(t) {
		w, ok := want[v.name]
		if !ok {
			continue
		}
		delete(want, v.name)
		if m, err := parsers[v.kind](v.der); err != nil || !reflect.DeepEqual(m, w) {
			t.Errorf("%s: read\n%+v, %v, want\n%+v", v.name, m, err, w)
		}
	}
	for name := range want {
		t.Errorf("no vector %s", name)
	}
}

// Every prefix of a message, and every message with an octet too many at any level,
// is refused with ErrMalformed.
func TestMessageTruncated(t *testing.T) {
	for _, v := range vectors(t) {
		p := parsers[v.kind]
		for n := range v.der {
			if m, err := p(v.der[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %d of %d octets: %+v, %v", v.name, n, len(v.der), m, err)
			}
		}
		if _, err := p(append(bytes.Clone(v.der), 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: a trailing octet: %v", v.name, err)
		}
	}
}

// Another octet anywhere gives an error or another message: never a panic, never
// the same meaning from other octets.
func TestMessageMutated(t *testing.T) {
	for _, v := range vectors(t) {
		p := parsers[v.kind]
		for i := range v.der {
			for bit := range 8 {
				b := bytes.Clone(v.der)
				b[i] ^= 1 << bit
				checkParse(t, v.kind, p, b)
			}
		}
	}
}

// checkParse is the property that holds for any octets: refused with ErrMalformed,
// or read so that what is written from it reads the same.
func checkParse(t *testing.T, kind string, p func([]byte) (message, error), b []byte) {
	t.Helper()
	in := bytes.Clone(b)
	m, err := p(b)
	if !bytes.Equal(in, b) {
		t.Fatalf("%s: parsing changed its input", kind)
	}
	if err != nil {
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("%s %x: %v", kind, in, err)
		}
		return
	}
	clear(b) // whatever is kept is a copy
	noRaw(m)
	out := m.Append(nil)
	again, err := p(out)
	if err != nil {
		t.Fatalf("%s %x: wrote what it does not read: %x", kind, in, out)
	}
	noRaw(again)
	if !reflect.DeepEqual(m, again) {
		t.Fatalf("%s %x: read\n%+v, then\n%+v", kind, in, m, again)
	}
	if !bytes.Equal(again.Append(nil), out) {
		t.Fatalf("%s %x: unstable encoding", kind, in)
	}
}

func FuzzMessages(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.der)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind, p := range parsers {
			checkParse(t, kind, p, bytes.Clone(b))
		}
	})
}
