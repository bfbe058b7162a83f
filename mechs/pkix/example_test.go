package pkix_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
)

// Alice and the host bob.example have certificates of the same authority. Here
// their tokens do not travel far.
func Example() {
	ca := pkixtest.NewCA("Example CA")
	side := func(t pkixtest.Template) *pkix.Mechanism {
		cred, err := pkix.FromTLS(ca.Issue(t))
		if err != nil {
			log.Fatal(err)
		}
		m, err := pkix.New(pkix.Config{Roots: ca.Pool(), Credential: cred})
		if err != nil {
			log.Fatal(err)
		}
		return m
	}
	alice := side(pkixtest.Template{Emails: []string{"alice@example.org"}})
	bob := side(pkixtest.Template{DNS: []string{"bob.example"}})

	initiator, err := alice.Initiate(gss.Service("files", "bob.example"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer initiator.Close()
	acceptor, err := bob.Accept(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer acceptor.Close()

	var atAlice, atBob gss.Context
	var token []byte
	for atBob == nil {
		if token, atAlice, err = initiator.Step(context.Background(), token); err != nil {
			log.Fatal(err)
		}
		if token, atBob, err = acceptor.Step(context.Background(), token); err != nil {
			log.Fatal(err)
		}
	}
	sealed, err := atAlice.Wrap(nil, []byte("hello"), gss.Confidential)
	if err != nil {
		log.Fatal(err)
	}
	msg, _, err := atBob.Unwrap(nil, sealed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, from %v to %v\n", msg, atBob.Info().Peer, atBob.Info().Local)
	// Output: hello, from mail:alice@example.org to svc:files@bob.example
}
