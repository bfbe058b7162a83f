package krb5

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

func benchSizes(b *testing.B, f func(b *testing.B, i, a *secContext, msg []byte)) {
	for _, e := range allETypes {
		for _, s := range []struct {
			name string
			n    int
		}{{"64B", 64}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
			b.Run(fmt.Sprintf("%v/%s", e, s.name), func(b *testing.B) {
				i, a := contextPair(b, e, unsequenced)
				b.SetBytes(int64(s.n))
				b.ReportAllocs()
				f(b, i, a, make([]byte, s.n))
			})
		}
	}
}

func BenchmarkWrap(b *testing.B) {
	benchSizes(b, func(b *testing.B, i, _ *secContext, msg []byte) {
		dst := make([]byte, 0, len(msg)+i.info.Overhead)
		for b.Loop() {
			i.Wrap(dst, msg, gss.Confidential)
		}
	})
}

func BenchmarkUnwrap(b *testing.B) {
	benchSizes(b, func(b *testing.B, i, a *secContext, msg []byte) {
		tok := must[[]byte](b)(i.Wrap(nil, msg, gss.Confidential))
		dst := make([]byte, 0, len(tok))
		for b.Loop() {
			if _, _, err := a.Unwrap(dst, tok); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMIC(b *testing.B) {
	benchSizes(b, func(b *testing.B, i, _ *secContext, msg []byte) {
		dst := make([]byte, 0, 64)
		for b.Loop() {
			i.MIC(dst, msg)
		}
	})
}

func BenchmarkVerifyMIC(b *testing.B) {
	benchSizes(b, func(b *testing.B, i, a *secContext, msg []byte) {
		mic := must[[]byte](b)(i.MIC(nil, msg))
		for b.Loop() {
			if err := a.VerifyMIC(msg, mic); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPRF(b *testing.B) {
	for _, e := range allETypes {
		b.Run(e.String(), func(b *testing.B) {
			i, _ := contextPair(b, e, unsequenced)
			in := make([]byte, 32)
			b.ReportAllocs()
			for b.Loop() {
				i.PRF(gss.PRFFull, in, 32)
			}
		})
	}
}

func BenchmarkWrapParallel(b *testing.B) {
	i, _ := contextPair(b, ikrb5.AES256SHA1, unsequenced)
	msg := make([]byte, 1<<10)
	b.SetBytes(int64(len(msg)))
	b.RunParallel(func(pb *testing.PB) {
		dst := make([]byte, 0, len(msg)+i.info.Overhead)
		for pb.Next() {
			i.Wrap(dst, msg, gss.Confidential)
		}
	})
}

// What a context that has sealed in both directions keeps alive.
func BenchmarkMemory(b *testing.B) {
	for _, e := range allETypes {
		b.Run(e.String(), func(b *testing.B) {
			const n = 2000
			var before, after runtime.MemStats
			for b.Loop() {
				kept := make([]*secContext, 0, n)
				runtime.GC()
				runtime.ReadMemStats(&before)
				for range n {
					i := newContext(contextParams{info: gss.Info{Flags: unsequenced}, initiator: true, key: fixedKey(b, e, 0), partial: fixedKey(b, e, 1)})
					a := newContext(contextParams{info: gss.Info{Flags: unsequenced}, key: fixedKey(b, e, 0), partial: fixedKey(b, e, 1)})
					i.Unwrap(nil, must[[]byte](b)(a.Wrap(nil, nil, gss.Confidential)))
					i.Wrap(nil, nil, gss.Confidential)
					kept = append(kept, i)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/context")
				runtime.KeepAlive(kept)
			}
		})
	}
}
