package redisstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"sync/atomic"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
)

// An end is one of a context's that is nothing but a PRF and two names.
type end struct {
	info gss.Info
}

func (e end) Claim(string) bool { return true }

func (e end) Info() gss.Info { return e.info }

func (e end) PRF(_ gss.PRFKey, in []byte, n int) ([]byte, error) {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		h := hmac.New(sha256.New, []byte("a context's key"))
		h.Write([]byte{i})
		h.Write(in)
		out = h.Sum(out)
	}
	return out[:n], nil
}

// BenchmarkUnseal is what one-time messages cost whose strikes are in Redis: 16
// callers and one connection pool, messages of 1 KiB.
func BenchmarkUnseal(b *testing.B) {
	server := startServer(b)
	store := server.open(b, Options{})
	alice, bob := gss.Name{Mech: oid.PKIX, Text: "dns:alice.test"}, gss.Name{Mech: oid.PKIX, Text: "dns:bob.test"}
	s, err := seal.NewSender(end{info: gss.Info{Mech: oid.PKIX, Local: alice, Peer: bob, Initiator: true}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := seal.NewRecipient(&seal.RecipientOptions{Store: store, Quota: b.N + 1})
	defer r.Close()
	if _, err := r.Add(end{info: gss.Info{Mech: oid.PKIX, Local: bob, Peer: alice}}); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 1024)
	messages := make([][]byte, b.N)
	for i := range messages {
		if messages[i], err = s.Seal(nil, body, &seal.Options{OneTime: true}); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	b.SetParallelism(8) // 16 callers on 2 processors
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Unseal(context.Background(), nil, messages[next.Add(1)-1], nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "unseals/s")
}
