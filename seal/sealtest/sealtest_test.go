package sealtest_test

import (
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal/sealtest"
)

// The suite over the contexts that pkix and reauth hand out.
func TestRun(t *testing.T) {
	sealtest.Run(t, func(t *testing.T) sealtest.Parties {
		var p sealtest.Parties
		p.AliceBob, p.BobAlice = pair(t, oid.PKIX, "mail:alice@example.org", "svc:host@bob.example.org")
		p.CarolAlice, p.AliceCarol = pair(t, oid.PKIX, "mail:carol@example.org", "mail:alice@example.org")
		p.CarolBob, p.BobCarol = pair(t, oid.Krb5, "carol@EXAMPLE.ORG", "host/bob.example.org@EXAMPLE.ORG")
		return p
	})
}

func pair(t *testing.T, mech oid.OID, initiator, acceptor string) (i, a gss.Context) {
	ms := make([]byte, 32)
	rand.Read(ms)
	end := func(local, peer string, isInitiator bool) gss.Context {
		sc, err := record.New(record.Params{
			Info: gss.Info{
				Mech: mech, Local: gss.Name{Mech: mech, Text: local}, Peer: gss.Name{Mech: mech, Text: peer},
				Initiator: isInitiator, Flags: gss.DefaultFlags,
			},
			MS: ms, Hash: sha256.New, AEAD: record.AES256GCM,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sc.Close() })
		return sc
	}
	return end(initiator, acceptor, true), end(acceptor, initiator, false)
}
