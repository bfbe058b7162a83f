package kdctest_test

import (
	"fmt"
	"log"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"

	"github.com/gsseal/gss/kdctest"
)

// A demo starts a realm, and a client logs in and gets a ticket for a service.
func Example() {
	realm, err := kdctest.Start(kdctest.Options{Realm: "EXAMPLE.ORG"})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	if err := realm.AddUser("alice", "secret"); err != nil {
		log.Fatal(err)
	}
	if err := realm.AddService("HTTP/localhost"); err != nil {
		log.Fatal(err)
	}

	cfg, err := config.NewFromString(realm.Krb5Conf())
	if err != nil {
		log.Fatal(err)
	}
	alice := client.NewWithPassword("alice", realm.Realm(), "secret", cfg)
	defer alice.Destroy()
	ticket, key, err := alice.GetServiceTicket("HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a ticket for", ticket.SName.PrincipalNameString(), "in", ticket.Realm)
	fmt.Println("session key of etype", key.KeyType)
	// Output:
	// a ticket for HTTP/localhost in EXAMPLE.ORG
	// session key of etype 18
}
