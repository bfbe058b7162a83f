package krb5_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

func Example() {
	// A realm in this process; elsewhere there is a krb5.conf, for LoadConfig, and a
	// keytab, for FromKeytabFile.
	realm, err := kdctest.Start(kdctest.Options{Realm: "EXAMPLE.ORG"})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	realm.AddUser("alice", "secret")
	realm.AddService("host/files.example.org")
	keytab, err := realm.Keytab("host/files.example.org")
	if err != nil {
		log.Fatal(err)
	}
	config, err := krb5.ParseConfig(realm.Krb5Conf())
	if err != nil {
		log.Fatal(err)
	}

	mech := krb5.New(krb5.Options{Config: config})
	alice, err := krb5.FromPassword("alice@EXAMPLE.ORG", "secret")
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	service, err := krb5.FromKeytab(keytab, "")
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	initiator, err := mech.Initiate(gss.Service("host", "files.example.org"), &gss.InitOptions{Credentials: []gss.Credential{alice}})
	if err != nil {
		log.Fatal(err)
	}
	defer initiator.Close()
	acceptor, err := mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{service}})
	if err != nil {
		log.Fatal(err)
	}
	defer acceptor.Close()

	ctx := context.Background()
	request, _, err := initiator.Step(ctx, nil) // asks the KDC
	if err != nil {
		log.Fatal(err)
	}
	reply, server, err := acceptor.Step(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	_, client, err := initiator.Step(ctx, reply)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	token, err := client.Wrap(nil, []byte("hello"), gss.Confidential)
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := server.Unwrap(nil, token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v says %s to %v\n", server.Info().Peer, message, client.Info().Peer)
	// Output: alice@EXAMPLE.ORG says hello to host/files.example.org@EXAMPLE.ORG
}
