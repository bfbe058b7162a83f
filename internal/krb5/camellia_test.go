package krb5

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// RFC 3713 appendix A.
func TestCamellia(t *testing.T) {
	for _, tt := range []struct{ key, plain, cipher string }{
		{"0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210", "67673138549669730857065648eabe43"},
		{"0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff", "0123456789abcdeffedcba9876543210", "9acc237dff16d76c20ef7c919e3a7509"},
	} {
		key, _ := hex.DecodeString(tt.key)
		plain, _ := hex.DecodeString(tt.plain)
		want, _ := hex.DecodeString(tt.cipher)
		c, err := newCamellia(key)
		if err != nil {
			t.Fatal(err)
		}
		got := bytes.Clone(plain)
		c.Encrypt(got, got)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bits: %x", 8*len(key), got)
		}
		c.Decrypt(got, got)
		if !bytes.Equal(got, plain) {
			t.Errorf("%d bits, back: %x", 8*len(key), got)
		}
	}
	if _, err := newCamellia(make([]byte, 24)); err != ErrKeyLength {
		t.Error(err)
	}
}
