package kdctest_test

import (
	"errors"
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

// Users of one realm get tickets for services of another that trusts theirs.
func ExampleRealm_Trust() {
	here, err := kdctest.Start(kdctest.Options{Realm: "HERE.EXAMPLE"})
	if err != nil {
		log.Fatal(err)
	}
	defer here.Close()
	there, err := kdctest.Start(kdctest.Options{Realm: "THERE.EXAMPLE"})
	if err != nil {
		log.Fatal(err)
	}
	defer there.Close()
	if err := errors.Join(here.AddUser("alice", "secret"), there.AddService("HTTP/www.there.example"), there.Trust(here)); err != nil {
		log.Fatal(err)
	}

	cfg, err := config.NewFromString(here.Krb5Conf())
	if err != nil {
		log.Fatal(err)
	}
	alice := client.NewWithPassword("alice", here.Realm(), "secret", cfg)
	defer alice.Destroy()
	ticket, _, err := alice.GetServiceTicket("HTTP/www.there.example")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a ticket for", ticket.SName.PrincipalNameString(), "in", ticket.Realm)
	// Output:
	// a ticket for HTTP/www.there.example in THERE.EXAMPLE
}

// A KDC that is out of order for a while.
func ExampleRealm_FailNext() {
	realm, err := kdctest.Start(kdctest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	if err := realm.AddUser("alice", "secret"); err != nil {
		log.Fatal(err)
	}
	cfg, err := config.NewFromString(realm.Krb5Conf())
	if err != nil {
		log.Fatal(err)
	}
	alice := client.NewWithPassword("alice", realm.Realm(), "secret", cfg)
	defer alice.Destroy()
	realm.FailNext(60) // KRB_ERR_GENERIC
	fmt.Println("first:", alice.Login() == nil)
	fmt.Println("then:", alice.Login() == nil)
	// Output:
	// first: false
	// then: true
}
