package krb5_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// A web server that knows its users by other means talks to a file server in their names, as
// far as the KDC lets it.
func ExampleMech_Impersonate() {
	realm, err := kdctest.Start(kdctest.Options{Realm: "EXAMPLE.ORG"})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	realm.AddUser("alice", "secret")
	realm.AddService("HTTP/www.example.org", kdctest.ServiceOptions{Impersonate: true, DelegateTo: []string{"host/files.example.org"}})
	realm.AddService("host/files.example.org")
	config, err := krb5.ParseConfig(realm.Krb5Conf())
	if err != nil {
		log.Fatal(err)
	}
	keytab, err := realm.Keytab("HTTP/www.example.org")
	if err != nil {
		log.Fatal(err)
	}
	web, err := krb5.FromKeytab(keytab, "HTTP/www.example.org@EXAMPLE.ORG")
	if err != nil {
		log.Fatal(err)
	}
	defer web.Close()

	ctx := context.Background()
	mech := krb5.New(krb5.Options{Config: config})
	alice, err := mech.Impersonate(ctx, web, gss.User("alice"))
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	h, err := mech.Initiate(gss.Service("host", "files.example.org"), &gss.InitOptions{Credentials: []gss.Credential{alice}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	token, _, err := h.Step(ctx, nil)
	fmt.Println("in the name of", alice.Name().Text)
	fmt.Println("a token to send:", len(token) > 0, err)
	// Output:
	// in the name of alice@EXAMPLE.ORG
	// a token to send: true <nil>
}
