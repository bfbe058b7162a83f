package reauth

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"testing"
)

func TestHash(t *testing.T) {
	b := bytes.Repeat([]byte("0123456789"), 300)
	for _, n := range []int{0, 1, 1023, 1024, 1025, 3000} {
		want := sha256.Sum256(b[:n])
		if got := hash(b[:n/3], b[n/3:n]); !bytes.Equal(got, want[:]) {
			t.Errorf("%d octets: %x", n, got)
		}
	}
}

// Our HMAC and HKDF against the standard library's, at all lengths that matter.
func TestHMAC(t *testing.T) {
	pattern := make([]byte, 700)
	for i := range pattern {
		pattern[i] = byte(i * 7)
	}
	for key := range 140 {
		for _, n := range []int{0, 1, 32, 55, 56, 64, 96, 352, 447, 448, 449, 600} {
			k, in := pattern[1:1+key], pattern[3:3+n]
			h := hmac.New(sha256.New, k)
			h.Write(in)
			want := h.Sum(nil)
			for _, cut := range []int{0, n / 2, n} {
				if got := mac(k, in[:cut], in[cut:]); !bytes.Equal(got, want) {
					t.Fatalf("key of %d, %d octets, in two at %d: %x, want %x", key, n, cut, got, want)
				}
			}
			if !bytes.Equal(extract(k, in), want) {
				t.Fatalf("extract: %d, %d", key, n)
			}
			if key < sha256.Size {
				continue
			}
			want, err := hkdf.Expand(sha256.New, k, "label"+string(in), sha256.Size)
			if got := expand(k, "label", in[:n/3], in[n/3:]); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("expand: key of %d, %d octets: %x, want %x, %v", key, n, got, want, err)
			}
		}
	}
	if !bytes.Equal(pattern[:3], []byte{0, 7, 14}) {
		t.Error("the input was changed")
	}
}
