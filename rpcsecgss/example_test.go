package rpcsecgss_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/rpcsecgss"
)

func mechanisms() (initiator, acceptor gss.Mechanism) {
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
	return mechanism(pkixtest.Template{Emails: []string{"alice@example.org"}}), mechanism(pkixtest.Template{DNS: []string{"localhost"}})
}

// A program of one procedure, over certificates.
func Example() {
	initiator, acceptor := mechanisms()

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

// A client that is bound to its TLS connection, which then protects its calls. When
// the connection is lost, it makes another, and binds again.
func Example_channel() {
	initiator, acceptor := mechanisms()
	cert := selfSigned("localhost")
	bindings := func(c net.Conn) [][]byte {
		b, err := gssnet.TLSExporter(c.(*tls.Conn).ConnectionState())
		if err != nil {
			return nil
		}
		return [][]byte{b}
	}

	const program, version, greet = 0x20000001, 1, 1
	server := rpcsecgss.NewServer(rpcsecgss.ServerOptions{
		Accept:     func() (gss.Handshake, error) { return acceptor.Accept(nil) },
		MinService: rpcsecgss.Channel,
		Bindings:   bindings,
	})
	defer server.Close()
	server.Handle(program, version, func(_ context.Context, c *rpcsecgss.Call) ([]byte, error) {
		fmt.Println(c.Info.Peer.Text, "by", c.Service, "in version", c.Version)
		return nil, nil
	})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(l)

	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	client := rpcsecgss.NewClient(nil, program, version, rpcsecgss.ClientOptions{
		Mech:     initiator,
		Target:   gss.Service("rpc", "localhost"),
		Service:  rpcsecgss.Channel,
		Bindings: bindings,
		Dial: func(ctx context.Context) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
			return d.DialContext(ctx, "tcp", l.Addr().String())
		},
	})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := client.Call(ctx, greet, nil); err != nil {
		log.Fatal(err)
	}
	// Output: mail:alice@example.org by channel in version 3
}

// A client that claims a privilege, which the server grants for what is in it.
func Example_assertions() {
	initiator, acceptor := mechanisms()
	const program, version, remove = 0x20000001, 1, 1
	server := rpcsecgss.NewServer(rpcsecgss.ServerOptions{
		Accept: func() (gss.Handshake, error) { return acceptor.Accept(nil) },
		Assertions: rpcsecgss.AssertionPolicy{
			Privileges: map[string]func(context.Context, gss.Info, []byte) (bool, error){
				"PRIV_remove": func(_ context.Context, who gss.Info, what []byte) (bool, error) {
					return who.Peer.Text == "mail:alice@example.org" && string(what) == "drafts", nil
				},
			},
		},
	})
	defer server.Close()
	server.Handle(program, version, func(_ context.Context, c *rpcsecgss.Call) ([]byte, error) {
		for _, a := range c.Assertions {
			fmt.Printf("%s: %s\n", a.Name, a.Data)
		}
		return nil, nil
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
		Assertions: []rpcsecgss.Assertion{
			{Kind: rpcsecgss.PrivilegeAssertion, Name: "PRIV_remove", Data: []byte("drafts")},
			{Kind: rpcsecgss.PrivilegeAssertion, Name: "PRIV_remove", Data: []byte("everything")},
		},
	})
	defer client.Close()
	if _, err := client.Call(context.Background(), remove, nil); err != nil {
		log.Fatal(err)
	}
	// Output: PRIV_remove: drafts
}

func selfSigned(host string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
