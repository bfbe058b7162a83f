package krb5

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(t []byte) (err error) {
	*h, err = hex.DecodeString(string(t))
	return err
}

func readVectors(t testing.TB, file string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(file, err)
	}
}

func newKey(t testing.TB, e EType, value []byte) *Key {
	t.Helper()
	k, err := NewAnyKey(e, value)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// RFC 3961 A.1.
func TestNFold(t *testing.T) {
	var vs []struct {
		In   string
		Bits int
		Out  hexBytes
	}
	readVectors(t, "crypto-nfold.json", &vs)
	if len(vs) != 11 {
		t.Fatal(len(vs), "vectors")
	}
	for _, v := range vs {
		if got := nfold([]byte(v.In), v.Bits/8); !bytes.Equal(got, v.Out) {
			t.Errorf("%d-fold(%q) = %x, want %x", v.Bits, v.In, got, v.Out)
		}
	}
}

type s2kVector struct {
	EType          EType
	Iterations     uint32
	Password, Salt hexBytes
	Key            hexBytes
}

func testS2K(t *testing.T, vs []s2kVector, want int) {
	if len(vs) != want {
		t.Fatal(len(vs), "vectors")
	}
	for _, v := range vs {
		k, err := stringToKey(v.EType, string(v.Password), string(v.Salt), binary.BigEndian.AppendUint32(nil, v.Iterations))
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Bytes(); !bytes.Equal(got, v.Key) {
			t.Errorf("%v %q: %x, want %x", v.EType, v.Password, got, v.Key)
		}
		if d, _ := S2KIterations(v.EType, nil); uint32(d) == v.Iterations {
			k, err := stringToKey(v.EType, string(v.Password), string(v.Salt), nil)
			if err != nil || !bytes.Equal(k.Bytes(), v.Key) {
				t.Error("default parameters:", err)
			}
		}
	}
}

// RFC 3962 B.
func TestRFC3962(t *testing.T) {
	var v struct {
		S2K []s2kVector
		CTS []struct{ Key, In, Out hexBytes }
	}
	readVectors(t, "crypto-rfc3962.json", &v)
	testS2K(t, v.S2K, 14)
	if len(v.CTS) != 6 {
		t.Fatal(len(v.CTS), "vectors")
	}
	for _, c := range v.CTS {
		b, err := aes.NewCipher(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		s := new(scratch)
		got := bytes.Clone(c.In)
		ctsEncrypt(b, s, got)
		if !bytes.Equal(got, c.Out) {
			t.Errorf("%x encrypts to %x, want %x", c.In, got, c.Out)
		}
		out := make([]byte, len(got)-blockSize)
		ctsDecrypt(b, s, out, got)
		if all := append(s.confounder[:], out...); !bytes.Equal(all, c.In) {
			t.Errorf("%x decrypts to %x, want %x", got, all, c.In)
		}
	}
}

// encryptWith is Encrypt with a known confounder.
func encryptWith(t *testing.T, k *Key, confounder, plaintext []byte, usage uint32) []byte {
	t.Helper()
	d, err := k.acquire(useEncrypt, usage)
	if err != nil {
		t.Fatal(err)
	}
	defer k.mu.RUnlock()
	n := len(confounder) + len(plaintext)
	out := append(append(make([]byte, 0, n+k.p.macLen), confounder...), plaintext...)[:n+k.p.macLen]
	s := k.p.suite.scratch()
	defer k.p.suite.release(s)
	k.p.suite.seal(d, s, out[:n], out[n:], nil)
	return out
}

// RFC 8009 A.
func TestRFC8009(t *testing.T) {
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
		PRF []struct {
			EType        EType
			Key, In, Out hexBytes
		}
	}
	readVectors(t, "crypto-rfc8009.json", &v)
	testS2K(t, v.S2K, 2)
	if len(v.Derive) != 2 || len(v.Encrypt) != 8 || len(v.Checksum) != 2 || len(v.PRF) != 2 {
		t.Fatal(len(v.Derive), len(v.Encrypt), len(v.Checksum), len(v.PRF), "vectors")
	}
	for _, c := range v.Derive {
		a := c.EType.profile().suite.(*aesSHA2)
		for _, w := range []struct {
			use  byte
			want []byte
		}{{forChecksum, c.Kc}, {forEncryption, c.Ke}, {forIntegrity, c.Ki}} {
			if got := a.kdf(c.Key, wellKnown(c.Usage, w.use), len(w.want)); !bytes.Equal(got, w.want) {
				t.Errorf("%v %x: %x, want %x", c.EType, w.use, got, w.want)
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
		if got := k.Checksum(nil, c.Msg, c.Usage); !bytes.Equal(got, c.Sum) {
			t.Errorf("%v: %x, want %x", c.EType, got, c.Sum)
		}
		if !k.VerifyChecksum(c.Msg, c.Sum, c.Usage) {
			t.Errorf("%v: a known checksum is refused", c.EType)
		}
	}
	for _, c := range v.PRF {
		if got := newKey(t, c.EType, c.Key).PRF(nil, c.In); !bytes.Equal(got, c.Out) {
			t.Errorf("%v: %x, want %x", c.EType, got, c.Out)
		}
	}
}

// RFC 7802 A and, for the SHA-2 types, the test program of MIT krb5.
func TestPRFPlus(t *testing.T) {
	var vs []struct {
		Enctype    string
		Key        hexBytes
		InputHex   hexBytes `json:"input_hex"`
		InputASCII string   `json:"input_ascii"`
		Out        hexBytes `json:"prfplus_44"`
	}
	readVectors(t, "crypto-prfplus.json", &vs)
	names := map[string]EType{
		"DES3_CBC_SHA1": DES3SHA1, "ARCFOUR_HMAC": RC4HMAC, "CAMELLIA128_CTS_CMAC": Camellia128, "CAMELLIA256_CTS_CMAC": Camellia256,
		"AES128_CTS_HMAC_SHA1_96": AES128SHA1, "AES256_CTS_HMAC_SHA1_96": AES256SHA1,
		"AES128_CTS_HMAC_SHA256_128": AES128SHA2, "AES256_CTS_HMAC_SHA384_192": AES256SHA2,
	}
	done := 0
	for _, v := range vs {
		e, ok := names[v.Enctype]
		if !ok {
			t.Fatal(v.Enctype)
		}
		done++
		k := newKey(t, e, v.Key)
		in := append(v.InputHex, v.InputASCII...)
		for n := range len(v.Out) + 1 {
			if got := k.PRFPlus([]byte("x"), in, n); string(got) != "x"+string(v.Out[:n]) {
				t.Errorf("%v: %d octets are %x, want %x", e, n, got[1:], v.Out[:n])
			}
		}
	}
	if done != 16 {
		t.Fatal(done, "vectors")
	}
}
