package seal

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/gsseal/gss"
)

// BenchmarkSeal seals and unseals; BenchmarkHPKE, its rival, does what comes next
// to it in the standard library: a recipient's public key, base mode, and nobody
// knows who sent it. Compare them within one run.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			alice, bob := pair("alice", "bob")
			s := mustSender(b, alice)
			r := mustRecipient(b, nil, bob)
			body := make([]byte, size)
			sealed, opened := make([]byte, 0, Size(size)), make([]byte, 0, Size(size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				m, err := s.Seal(sealed, body, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.Unseal(context.Background(), opened, m, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSealOneTime adds a relay by name and the strike, in memory.
func BenchmarkSealOneTime(b *testing.B) {
	alice, bob := pair("alice", "bob")
	carol, _ := pair("carol", "bob")
	s := mustSender(b, alice)
	r := mustRecipient(b, &RecipientOptions{Quota: 1 << 30}, bob)
	body := make([]byte, 1<<10)
	sealed, opened := make([]byte, 0, Size(len(body))), make([]byte, 0, Size(len(body)))
	o := &Options{OneTime: true, Relay: mn("carol")}
	u := &UnsealOptions{RelayNames: []gss.Name{carol.info.Local}}
	b.ReportAllocs()
	for b.Loop() {
		m, err := s.Seal(sealed, body, o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Unseal(context.Background(), opened, m, u); err != nil && gss.MajorOf(err) != gss.Unavailable {
			b.Fatal(err)
		}
	}
}

func BenchmarkHPKE(b *testing.B) {
	for _, kem := range []struct {
		name string
		kem  hpke.KEM
	}{{"X25519", hpke.DHKEM(ecdh.X25519())}, {"MLKEM768X25519", hpke.MLKEM768X25519()}} {
		b.Run(kem.name+"/1024", func(b *testing.B) {
			priv, err := kem.kem.GenerateKey()
			if err != nil {
				b.Fatal(err)
			}
			body := make([]byte, 1<<10)
			b.SetBytes(1 << 10)
			b.ReportAllocs()
			for b.Loop() {
				m, err := hpke.Seal(priv.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, body)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := hpke.Open(priv, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnsealAmong unseals expected messages among many contexts, and what a
// scan of all of them costs.
func BenchmarkUnsealAmong(b *testing.B) {
	for _, n := range []int{1e3, 1e5} {
		r := mustRecipient(b, &RecipientOptions{ScanRate: math.MaxInt})
		for i := range n {
			_, sc := pair(fmt.Sprint(i), "bob")
			if _, err := r.Add(sc); err != nil {
				b.Fatal(err)
			}
		}
		alice, bob := pair("alice", "bob")
		if _, err := r.Add(bob); err != nil {
			b.Fatal(err)
		}
		s := mustSender(b, alice)
		b.Run(fmt.Sprintf("expected/%d", n), func(b *testing.B) {
			var sealed, opened [2048]byte
			for b.Loop() {
				m, err := s.Seal(sealed[:0], make([]byte, 1024), nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.Unseal(context.Background(), opened[:0], m, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("garbage/%d", n), func(b *testing.B) {
			var m [1280]byte
			for i := uint64(0); b.Loop(); i++ {
				h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
				copy(m[:], h[:])
				if _, err := r.Unseal(context.Background(), nil, m[:], nil); gss.MajorOf(err) != gss.BadMIC {
					b.Fatal(err)
				}
			}
		})
	}
}
