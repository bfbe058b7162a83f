package record

import (
	"fmt"
	"testing"

	"github.com/gsseal/gss"
)

// BenchmarkWrap against BenchmarkBareAEAD is what the format costs.
func BenchmarkWrap(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 1 << 20} {
		i, _ := pair(b, nil)
		msg, dst := make([]byte, size), make([]byte, 0, size+64)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := i.Wrap(dst, msg, gss.Confidential); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnwrap(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 1 << 20} {
		i, a := pair(b, func(p *Params) { p.Info.Flags &^= gss.Replay | gss.Sequence })
		msg, dst := make([]byte, size), make([]byte, 0, size+64)
		tok, _ := i.Wrap(nil, msg, gss.Confidential)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, _, err := a.Unwrap(dst, tok); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBareAEAD(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 1 << 20} {
		aead, err := AES256GCM(make([]byte, 32))
		if err != nil {
			b.Fatal(err)
		}
		nonce, msg, dst := make([]byte, 12), make([]byte, size), make([]byte, 0, size+64)
		aad := make([]byte, 18)
		sealed := aead.Seal(nil, nonce, msg, aad)
		b.Run(fmt.Sprintf("seal/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				aead.Seal(dst, nonce, msg, aad)
			}
		})
		b.Run(fmt.Sprintf("open/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := aead.Open(dst, nonce, sealed, aad); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMIC(b *testing.B) {
	i, _ := pair(b, nil)
	msg, dst := make([]byte, 1024), make([]byte, 0, 128)
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := i.MIC(dst, msg); err != nil {
			b.Fatal(err)
		}
	}
}
