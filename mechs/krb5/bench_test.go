package krb5

import (
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/strike"
)

// BenchmarkEstablish is both sides of a handshake with a cached ticket, mutual, with
// a replay cache.
func BenchmarkEstablish(b *testing.B) {
	for _, e := range defaultEncTypes {
		b.Run(e.String(), func(b *testing.B) {
			f := newForger(b, e)
			f.mech = New(Options{Config: &Config{DefaultRealm: testRealm}, Replay: strike.NewMemory(strike.MemoryOptions{Entries: 1 << 24})})
			io := &gss.InitOptions{Credentials: []gss.Credential{f.credential()}}
			ao := &gss.AcceptOptions{Credentials: []gss.Credential{f.service}}
			target := gss.Service("host", "h.test")
			b.ReportAllocs()
			for b.Loop() {
				ih, err := f.mech.Initiate(target, io)
				if err != nil {
					b.Fatal(err)
				}
				ah, err := f.mech.Accept(ao)
				if err != nil {
					b.Fatal(err)
				}
				tok, _, err := ih.Step(b.Context(), nil)
				if err != nil {
					b.Fatal(err)
				}
				tok, a, err := ah.Step(b.Context(), tok)
				if err != nil {
					b.Fatal(err)
				}
				_, i, err := ih.Step(b.Context(), tok)
				if err != nil {
					b.Fatal(err)
				}
				i.Close()
				a.Close()
				ih.Close()
				ah.Close()
			}
		})
	}
}
