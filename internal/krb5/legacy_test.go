package krb5

import (
	"bytes"
	"errors"
	"testing"
)

var legacyTypes = []EType{DES3SHA1, RC4HMAC, Camellia128, Camellia256}

// They are off: nothing that asks Supported takes them, and no name in a configuration
// means one.
func TestLegacyIsOff(t *testing.T) {
	for _, e := range legacyTypes {
		if e.Supported() || !e.Legacy() || e.Old() != (e == DES3SHA1 || e == RC4HMAC) {
			t.Errorf("%v", e)
		}
		if _, err := RandomKey(e); !errors.Is(err, ErrEType) {
			t.Errorf("%v: %v", e, err)
		}
		value := make([]byte, e.KeyLen())
		if _, err := NewKey(e, value); !errors.Is(err, ErrEType) {
			t.Errorf("%v: %v", e, err)
		}
		if _, err := (&EncryptionKey{e, value}).Key(); !errors.Is(err, ErrEType) {
			t.Errorf("%v: %v", e, err)
		}
		if _, err := ParseEType(e.String()); !errors.Is(err, ErrEType) {
			t.Errorf("%v: %v", e, err)
		}
	}
	for e := range EType(40) {
		if e.Supported() && e.Legacy() || e.Legacy() != (e == 16 || e == 23 || e == 25 || e == 26) {
			t.Errorf("%v", e)
		}
	}
}

// RFC 6803 §10.
func TestRFC6803(t *testing.T) {
	var v struct {
		S2K    []s2kVector
		Derive []struct {
			EType           EType
			Usage           uint32
			Key, Kc, Ke, Ki hexBytes
		}
		Encrypt []struct {
			EType                                  EType
			Usage                                  uint32
			Key, Plaintext, Confounder, Ciphertext hexBytes
		}
		Checksum []struct {
			EType         EType
			Usage         uint32
			Key, Msg, Sum hexBytes
		}
	}
	readVectors(t, "crypto-rfc6803.json", &v)
	testS2K(t, v.S2K, 14)
	if len(v.Derive) != 2 || len(v.Encrypt) != 10 || len(v.Checksum) != 4 {
		t.Fatal(len(v.Derive), len(v.Encrypt), len(v.Checksum), "vectors")
	}
	for _, c := range v.Derive {
		for _, w := range []struct {
			use  byte
			want []byte
		}{{forChecksum, c.Kc}, {forEncryption, c.Ke}, {forIntegrity, c.Ki}} {
			if got, err := (camelliaCMAC{}).kdf(c.Key, wellKnown(c.Usage, w.use)); err != nil || !bytes.Equal(got, w.want) {
				t.Errorf("%v %x: %x, %v, want %x", c.EType, w.use, got, err, w.want)
			}
		}
	}
	for _, c := range v.Encrypt {
		k := newKey(t, c.EType, c.Key)
		if got := encryptWith(t, k, c.Confounder, c.Plaintext, c.Usage); !bytes.Equal(got, c.Ciphertext) {
			t.Errorf("%v: %x, want %x", c.EType, got, c.Ciphertext)
		}
		if got, err := k.Decrypt(nil, c.Ciphertext, c.Usage); err != nil || !bytes.Equal(got, c.Plaintext) {
			t.Errorf("%v: %x, %v, want %x", c.EType, got, err, c.Plaintext)
		}
	}
	for _, c := range v.Checksum {
		k := newKey(t, c.EType, c.Key)
		if got := k.Checksum(nil, c.Msg, c.Usage); !bytes.Equal(got, c.Sum) || !k.VerifyChecksum(c.Msg, c.Sum, c.Usage) {
			t.Errorf("%v: %x, want %x", c.EType, got, c.Sum)
		}
	}
}

// RFC 3961 A.3.
func TestDES3Derive(t *testing.T) {
	var vs []struct{ Key, Constant, DK hexBytes }
	readVectors(t, "crypto-des3-dk.json", &vs)
	if len(vs) != 9 {
		t.Fatal(len(vs), "vectors")
	}
	for _, v := range vs {
		if got, err := (des3SHA1{}).key(v.Key, v.Constant); err != nil || !bytes.Equal(got, v.DK) {
			t.Errorf("DK(%x, %x) = %x, %v, want %x", v.Key, v.Constant, got, err, v.DK)
		}
	}
}

// Every length, whole and in parts; every bit; every prefix.
func TestLegacyEncrypt(t *testing.T) {
	for _, e := range legacyTypes {
		k := newKey(t, e, make([]byte, e.KeyLen())).Another()
		for n := range 50 {
			msg := bytes.Repeat([]byte{0xa5}, n)
			ct, err := k.EncryptParts([]byte("x"), 7, msg[:n/3], msg[n/3:])
			if err != nil || len(ct)-1 > n+k.Overhead() {
				t.Fatalf("%v: %d octets, %v", e, len(ct), err)
			}
			ct = ct[1:]
			for _, parts := range [][][]byte{{ct}, {ct[:len(ct)/2], ct[len(ct)/2:]}} {
				got, err := k.DecryptParts([]byte("x"), 7, parts...)
				if err != nil || string(bytes.TrimRight(got, "\x00")) != "x"+string(msg) || e != DES3SHA1 && len(got) != n+1 {
					t.Fatalf("%v: %x, %v", e, got, err)
				}
			}
			if _, err := k.Decrypt(nil, ct, 8); err != ErrIntegrity {
				t.Errorf("%v: another usage: %v", e, err)
			}
			if n%10 != 3 {
				continue
			}
			for bit := range 8 * len(ct) {
				ct[bit/8] ^= 1 << (bit % 8)
				if got, err := k.Decrypt([]byte("x"), ct, 7); err != ErrIntegrity || string(got) != "x" {
					t.Fatalf("%v: bit %d: %x, %v", e, bit, got, err)
				}
				ct[bit/8] ^= 1 << (bit % 8)
			}
			for i := range ct {
				if _, err := k.Decrypt(nil, ct[:i], 7); err != ErrIntegrity {
					t.Fatalf("%v: prefix %d: %v", e, i, err)
				}
			}
		}
		sum := k.Checksum(nil, []byte("message"), 7)
		if len(sum) != e.ChecksumLen() || !k.VerifyChecksum([]byte("message"), sum, 7) || k.VerifyChecksum([]byte("Message"), sum, 7) || k.VerifyChecksum([]byte("message"), sum, 8) {
			t.Errorf("%v: checksum", e)
		}
		k.Erase()
		if _, err := k.Encrypt(nil, nil, 7); err != ErrErased {
			t.Errorf("%v: %v", e, err)
		}
	}
}
