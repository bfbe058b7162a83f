package krb5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A passwordReply is an honest one of a password server, in parts.
type passwordReply struct {
	session, subkey *ikrb5.Key
	stamp           time.Time
	ap              ikrb5.EncAPRepPart
	priv            ikrb5.EncPrivPart
}

func newPasswordReply(t testing.TB) *passwordReply {
	t.Helper()
	session, err := ikrb5.NewKey(ikrb5.AES128SHA2, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	subkey, err := ikrb5.NewKey(ikrb5.AES128SHA2, bytes.Repeat([]byte{1}, 16))
	if err != nil {
		t.Fatal(err)
	}
	stamp := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	return &passwordReply{session, subkey, stamp,
		ikrb5.EncAPRepPart{CTime: stamp.Truncate(time.Second), CUsec: 6, SeqNumber: 77, HasSeq: true},
		ikrb5.EncPrivPart{UserData: []byte("\x00\x00Password changed"), SeqNumber: 77, HasSeq: true, SAddress: ikrb5.HostAddress{Type: 2, Address: []byte{127, 0, 0, 1}}}}
}

func (r *passwordReply) message(t testing.TB) []byte {
	t.Helper()
	seal := func(k *ikrb5.Key, plain []byte, usage uint32) ikrb5.EncryptedData {
		cipher, err := k.Encrypt(nil, plain, usage)
		if err != nil {
			t.Fatal(err)
		}
		return ikrb5.EncryptedData{EType: k.EType(), Cipher: cipher}
	}
	ap := (&ikrb5.APRep{EncPart: seal(r.session, r.ap.Append(nil), ikrb5.UsageAPRepEnc)}).Append(nil)
	priv := (&ikrb5.Priv{EncPart: seal(r.subkey, r.priv.Append(nil), ikrb5.UsagePrivEncPart)}).Append(nil)
	var b []byte
	for _, n := range []int{6 + len(ap) + len(priv), 1, len(ap)} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return slices.Concat(b, ap, priv)
}

func TestPasswordReply(t *testing.T) {
	r := newPasswordReply(t)
	good := r.message(t)
	if err := openPasswordReply(good, r.session, r.subkey, r.stamp); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if err := openPasswordReply(good[:n], r.session, r.subkey, r.stamp); err == nil {
			t.Errorf("%d of %d octets: changed", n, len(good))
		}
		for bit := range 8 {
			b := bytes.Clone(good)
			b[n] ^= 1 << bit
			if err := openPasswordReply(b, r.session, r.subkey, r.stamp); err == nil {
				t.Errorf("octet %d bit %d turned: changed", n, bit)
			}
		}
	}
	unsigned := ikrb5.KRBError{Code: ikrb5.KRB_ERR_GENERIC, STime: time.Now(), Realm: testRealm, SName: ikrb5.PrincipalName{Components: []string{"x"}}, EData: []byte{0, 0}}
	framed := append([]byte{0, 0, 0, 1, 0, 0}, unsigned.Append(nil)...)
	binary.BigEndian.PutUint16(framed, uint16(len(framed)))
	for name, b := range map[string][]byte{"error": unsigned.Append(nil), "error, framed": framed} {
		if e, ok := errors.AsType[*gss.Error](openPasswordReply(b, r.session, r.subkey, r.stamp)); !ok || !e.Remote || e.Major != gss.Failure {
			t.Errorf("%s: %v", name, e)
		}
	}
	for name, change := range map[string]func(r *passwordReply){
		"to another request":   func(r *passwordReply) { r.ap.CUsec++ },
		"our own message":      func(r *passwordReply) { r.priv.SeqNumber = 3 },
		"without a number":     func(r *passwordReply) { r.priv.HasSeq = false },
		"no number in AP-REP":  func(r *passwordReply) { r.ap.HasSeq = false },
		"no result":            func(r *passwordReply) { r.priv.UserData = []byte{0} },
		"refused":              func(r *passwordReply) { r.priv.UserData[1] = passwordSoftError },
		"denied":               func(r *passwordReply) { r.priv.UserData[1] = passwordAccessDenied },
		"malformed":            func(r *passwordReply) { r.priv.UserData[1] = 1 },
		"a result of 256":      func(r *passwordReply) { r.priv.UserData[0] = 1 },
		"under another key":    func(r *passwordReply) { r.subkey = r.session },
		"AP-REP of a stranger": func(r *passwordReply) { r.session = r.subkey },
	} {
		r, keys := newPasswordReply(t), newPasswordReply(t)
		change(r)
		err := openPasswordReply(r.message(t), keys.session, keys.subkey, keys.stamp)
		if refused := name == "refused" || name == "denied"; err == nil || refused != (gss.MajorOf(err) == gss.Unauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
	key, _ := ikrb5.NewKey(ikrb5.AES256SHA1, make([]byte, 32))
	r.ap.Subkey = &ikrb5.EncryptionKey{EType: key.EType(), Value: key.Bytes()}
	ours := r.subkey
	r.subkey = key
	if err := openPasswordReply(r.message(t), r.session, ours, r.stamp); err != nil {
		t.Errorf("under the server's subkey: %v", err)
	}
}

func FuzzPasswordReply(f *testing.F) {
	r := newPasswordReply(f)
	f.Add(r.message(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := openPasswordReply(b, r.session, r.subkey, r.stamp); err == nil && !bytes.Contains(b, []byte{0, 1}) {
			t.Fatalf("%x: changed", b)
		}
	})
}
