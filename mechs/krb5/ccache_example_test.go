package krb5_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// What kinit does, and what a program does that uses its tickets.
func ExampleCache() {
	realm, err := kdctest.Start(kdctest.Options{Realm: "EXAMPLE.ORG"})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	realm.AddUser("alice", "secret")
	config, err := krb5.ParseConfig(realm.Krb5Conf())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	mech := krb5.New(krb5.Options{Config: config})

	// "FILE:/tmp/krb5cc_1000", "DIR:/run/user/1000/krb5cc", "KCM:" and "KEYRING:persistent:1000"
	// are shared with other programs; this one is in memory.
	cache, err := krb5.OpenCache("MEMORY:example", &krb5.CacheOptions{Memory: new(krb5.MemoryCaches), StoreTickets: true})
	if err != nil {
		log.Fatal(err)
	}
	alice, err := krb5.FromPassword("alice@EXAMPLE.ORG", "secret")
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	if err := mech.Login(ctx, alice); err != nil {
		log.Fatal(err)
	}
	if err := cache.Store(ctx, alice); err != nil {
		log.Fatal(err)
	}

	cred, err := cache.Credential(ctx) // or Options{Initiator: cache.Source()}
	if err != nil {
		log.Fatal(err)
	}
	defer cred.Close()
	fmt.Println(cache, "is", cred.Name())
	// Output: MEMORY:example is alice@EXAMPLE.ORG
}

// Nobody is a local user unless the policy says so.
func ExampleLocalUser() {
	policy := &krb5.LocalPolicy{
		Users:  map[string]string{"alice/admin@EXAMPLE.ORG": "root"},
		Realms: []string{"EXAMPLE.ORG"},
		Rules:  []string{"DEFAULT"},
	}
	for _, principal := range []string{"alice@EXAMPLE.ORG", "alice/admin@EXAMPLE.ORG", "alice@ELSEWHERE.ORG"} {
		name, err := krb5.ParseName(principal) // of a context: Info().Peer
		if err != nil {
			log.Fatal(err)
		}
		user, err := krb5.LocalUser(name, policy)
		if err != nil {
			fmt.Println(principal, "is nobody here")
			continue
		}
		fmt.Println(principal, "is", user)
	}
	// Output:
	// alice@EXAMPLE.ORG is alice
	// alice/admin@EXAMPLE.ORG is root
	// alice@ELSEWHERE.ORG is nobody here
}
