package reauth_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/seal"
)

// Alice has a context with Bob, and one with Carol. She introduces Carol to Bob, who does not
// know Carol: nobody else does, and no KDC or certificate is asked.
func ExampleIntroduced() {
	aliceToBob, bobToAlice := meet(&toy.Krb{Party: toy.NewParty("alice")}, "bob")
	carolToAlice, aliceToCarol := meet(&toy.Krb{Party: toy.NewParty("carol")}, "alice")

	// Bob takes introductions by Alice.
	alice := bobToAlice.Info().Peer
	recipient := seal.NewRecipient(nil)
	defer recipient.Close()
	if _, err := recipient.Add(bobToAlice); err != nil {
		log.Fatal(err)
	}
	bob := reauth.Introduced(recipient, reauth.IntroducedOptions{
		Introduce: func(introducer, _ gss.Name) bool { return introducer == alice },
	})

	// Alice makes a grant, and sends it to Carol, encrypted: it names Bob.
	toBob, err := seal.NewSender(aliceToBob)
	if err != nil {
		log.Fatal(err)
	}
	defer toBob.Close()
	toCarol, err := seal.NewSender(aliceToCarol)
	if err != nil {
		log.Fatal(err)
	}
	defer toCarol.Close()
	grant, err := toBob.Introduce(nil, []byte("she may read"), toCarol, &seal.Options{Relay: aliceToCarol.Info().Peer})
	if err != nil {
		log.Fatal(err)
	}
	wrapped, err := aliceToCarol.Wrap(nil, grant, gss.Confidential)
	if err != nil {
		log.Fatal(err)
	}

	// Carol makes a credential of it. It came from Alice, to whom she had come as to a host: she
	// knows that user.
	herself := gss.Name{Mech: toy.KrbOID, Text: "user:alice"}
	if grant, _, err = carolToAlice.Unwrap(nil, wrapped); err != nil {
		log.Fatal(err)
	}
	relay, err := seal.NewRelay(carolToAlice)
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	held, err := relay.Accept(grant)
	if err != nil {
		log.Fatal(err)
	}
	defer held.Close()
	cred, err := reauth.FromGrant(held, herself, carolToAlice.Info().Local)
	if err != nil {
		log.Fatal(err)
	}

	// The first handshake redeems the grant; the second one needs a ticket only.
	carol := reauth.Introduced(nil, reauth.IntroducedOptions{})
	for range 2 {
		i, err := carol.Initiate(cred.Target(), &gss.InitOptions{Credentials: []gss.Credential{cred}})
		if err != nil {
			log.Fatal(err)
		}
		a, err := bob.Accept(nil)
		if err != nil {
			log.Fatal(err)
		}
		t := conformance.Pump(context.Background(), i, a) // or package gssnet, over a connection
		if err := t.Err(); err != nil {
			log.Fatal(err)
		}
		introducer, who, _ := reauth.SplitIntroduced(t.Acceptor.Info().Peer)
		fmt.Printf("%v says that this is %v", introducer, who)
		for name, a := range t.Acceptor.(gss.Attributed).PeerAttributes() {
			fmt.Printf(" (%s: %s)", name, a.Value)
		}
		fmt.Println()
		t.Close()
	}
	// Output:
	// user:alice says that this is user:carol (introduction: she may read)
	// user:alice says that this is user:carol (introduction: she may read)
}

// meet stands for a handshake of any mechanism.
func meet(from gss.Mechanism, to string) (i, a gss.Context) {
	ih, err := from.Initiate(gss.Service("host", to+".example.org"), nil)
	if err != nil {
		log.Fatal(err)
	}
	ah, err := (&toy.Krb{Party: toy.NewParty(to)}).Accept(nil)
	if err != nil {
		log.Fatal(err)
	}
	t := conformance.Pump(context.Background(), ih, ah)
	if err := t.Err(); err != nil {
		log.Fatal(err)
	}
	return t.Initiator, t.Acceptor
}
