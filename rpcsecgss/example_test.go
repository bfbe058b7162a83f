package rpcsecgss_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/rpcsecgss"
)

// A program of one procedure, over certificates.
func Example() {
	ca := pkixtest.NewCA("example")
	mechanism := func(t pkixtest.Template) *pkix.Mechanism {
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
	acceptor := mechanism(pkixtest.Template{DNS: []string{"localhost"}})
	initiator := mechanism(pkixtest.Template{Emails: []string{"alice@example.org"}})

	const program, version, greet = 0x20000001, 1, 1
	server := rpcsecgss.NewServer(rpcsecgss.ServerOptions{
		Accept: func() (gss.Handshake, error) { return acceptor.Accept(nil) },
	})
	defer server.Close()
	server.Handle(program, version, func(_ context.Context, c *rpcsecgss.Call) ([]byte, error) {
		if c.Proc != greet {
			return nil, rpcsecgss.ProcUnavail
		}
		d := rpcsecgss.NewDecoder(c.Args)
		word := d.String(100)
		if d.Done() != nil {
			return nil, rpcsecgss.GarbageArgs
		}
		var e rpcsecgss.Encoder
		e.String(word + ", " + c.Info.Peer.Text)
		return e.Bytes(), nil
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(l)

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := rpcsecgss.NewClient(conn, program, version, rpcsecgss.ClientOptions{
		Mech:   initiator,
		Target: gss.Service("rpc", "localhost"),
	})
	defer client.Close()
	var e rpcsecgss.Encoder
	e.String("hello")
	results, err := client.Call(context.Background(), greet, e.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rpcsecgss.NewDecoder(results).String(100))
	// Output: hello, mail:alice@example.org
}
