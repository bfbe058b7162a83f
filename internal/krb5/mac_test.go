package krb5

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"testing"
)

// The padding is our own: every length around every border, in one part and in
// several, against the standard library's hashes and HMAC.
func TestDigest(t *testing.T) {
	msg := make([]byte, 2*maxGather+300)
	for i := range msg {
		msg[i] = byte(i*7 + 1)
	}
	for name, h := range map[string]func() hash.Hash{"SHA-1": sha1.New, "SHA-256": sha256.New, "SHA-384": sha512.New384} {
		pool := newScratchPool(h)
		s := pool.Get().(*scratch)
		key := newMACKey(s, msg[:20])
		for n := range len(msg) {
			m := msg[:n]
			want := h()
			want.Write(m)
			mac := hmac.New(h, msg[:20])
			mac.Write(m)
			for _, parts := range [][][]byte{{m}, {m[:n/2], m[n/2:]}, {nil, m[:min(n, 16)], m[min(n, 16):]}, {m[:n-n/100], m[n-n/100:], nil}} {
				s.h.Reset()
				if got := s.digest(0, parts...); !bytes.Equal(got, want.Sum(nil)) {
					t.Fatalf("%s of %d octets: %x", name, n, got)
				}
				if got := s.mac(key, parts...); !bytes.Equal(got, mac.Sum(nil)) {
					t.Fatalf("HMAC-%s of %d octets: %x", name, n, got)
				}
			}
		}
		if s.digest(0, msg[:100]); bytes.Contains(s.gather[:], msg[:4]) || bytes.Contains(s.gather[:], msg[96:100]) {
			t.Errorf("%s: the message is still there", name)
		}
	}
}
