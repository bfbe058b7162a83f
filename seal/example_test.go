package seal_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
)

// Alice seals an order to Bob. It may be handed over by Carol, within a minute, once.
func Example() {
	aliceToBob, bobToAlice := establish("alice", "bob")
	_, bobToCarol := establish("carol", "bob")

	// Alice.
	sender, err := seal.NewSender(aliceToBob)
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	carol := gss.Name{Mech: oid.PKIX, Text: "mail:carol@example.org"}
	sealed, err := sender.Seal(nil, []byte("pay Carol 10"), &seal.Options{
		OneTime: true, Relay: carol, Lifetime: time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}

	// Carol sees this many octets, and hands them to Bob.
	fmt.Println(len(sealed), "octets")

	// Bob.
	recipient := seal.NewRecipient(nil)
	defer recipient.Close()
	if _, err := recipient.Add(bobToAlice); err != nil {
		log.Fatal(err)
	}
	o := &seal.UnsealOptions{Relay: bobToCarol, Require: seal.OneTime | seal.RelayByName, MaxAge: time.Minute}
	m, err := recipient.Unseal(context.Background(), nil, sealed, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, through %s: %s\n", m.Originator, m.Relay, m.Body)
	_, err = recipient.Unseal(context.Background(), nil, sealed, o)
	fmt.Println("again:", errors.Is(err, gss.DuplicateToken))
	// Output:
	// 336 octets
	// mail:alice@example.org, through mail:carol@example.org: pay Carol 10
	// again: true
}

// Alice gives Carol a grant: the message, and what it takes to prove that she is its
// relay, on a channel that is no GSS-API context at all.
func ExampleSender_Grant() {
	aliceToBob, bobToAlice := establish("alice", "bob")
	aliceToCarol, carolToAlice := establish("alice", "carol")
	bindings := []byte("tls-exporter:of the connection between Carol and Bob")

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
	grant, err := toBob.Grant(nil, []byte("Carol is with me"), toCarol, nil)
	if err != nil {
		log.Fatal(err)
	}
	wrapped, err := aliceToCarol.Wrap(nil, grant, gss.Confidential) // it names Bob
	if err != nil {
		log.Fatal(err)
	}

	// Carol.
	grant, _, err = carolToAlice.Unwrap(nil, wrapped)
	if err != nil {
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
	presentation, err := held.Present(nil, []byte("hello from Carol"), seal.Channel{Bindings: bindings})
	if err != nil {
		log.Fatal(err)
	}

	// Bob.
	recipient := seal.NewRecipient(nil)
	defer recipient.Close()
	if _, err := recipient.Add(bobToAlice); err != nil {
		log.Fatal(err)
	}
	m, err := recipient.Unseal(context.Background(), nil, presentation, &seal.UnsealOptions{
		Bindings: bindings, Require: seal.RelayByKey,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s (%s)\n", m.Originator, m.Body, m.Payload)
	// Output:
	// mail:alice@example.org: Carol is with me (hello from Carol)
}

// establish stands for a handshake of any mechanism; its contexts are those that
// certificates give.
func establish(initiator, acceptor string) (i, a gss.Context) {
	ms := make([]byte, 32)
	rand.Read(ms)
	name := func(who string) gss.Name { return gss.Name{Mech: oid.PKIX, Text: "mail:" + who + "@example.org"} }
	end := func(local, peer string, isInitiator bool) gss.Context {
		sc, err := record.New(record.Params{
			Info: gss.Info{Mech: oid.PKIX, Local: name(local), Peer: name(peer), Initiator: isInitiator, Flags: gss.DefaultFlags},
			MS:   ms, Hash: sha256.New, AEAD: record.AES256GCM,
		})
		if err != nil {
			log.Fatal(err)
		}
		return sc
	}
	return end(initiator, acceptor, true), end(acceptor, initiator, false)
}
