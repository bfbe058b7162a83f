package reauth_test

import (
	"context"
	"fmt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/mechs/reauth"
)

// The second handshake resumes the first, though the acceptor kept nothing but its
// ring.
func Example() {
	ring := reauth.NewRing()
	client := reauth.New(&toy.Krb{Party: toy.NewParty("alice")}, reauth.Options{Group: reauth.X25519})
	for range 2 {
		server := reauth.New(&toy.Krb{Party: toy.NewParty("files")}, reauth.Options{Ring: ring})
		i, err := client.Initiate(gss.Service("host", "files.example.org"), nil)
		if err != nil {
			panic(err)
		}
		a, err := server.Accept(nil)
		if err != nil {
			panic(err)
		}
		t := conformance.Pump(context.Background(), i, a) // or package gssnet, over a connection
		if err := t.Err(); err != nil {
			panic(err)
		}
		_, resumed := t.Acceptor.(*reauth.Context)
		fmt.Println(t.Acceptor.Info().Peer, resumed)
		t.Close()
	}
	// Output:
	// user:alice false
	// user:alice true
}
