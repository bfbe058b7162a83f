// Hello says hello to an echo service (examples/echo) over any mechanism.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/oid"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: hello OID HOST")
	}
	mech, err := oid.Parse(os.Args[1])
	check(err)
	ms, err := mechs.System() // Kerberos and certificates, as this host is set up
	check(err)
	h, err := ms.Initiate(mech, gss.Service("host", os.Args[2]), nil)
	check(err)
	nc, err := net.Dial("tcp", net.JoinHostPort(os.Args[2], "7007"))
	check(err)
	c := gssnet.Client(nc, h)
	defer c.Close()
	check(c.Handshake(context.Background()))
	fmt.Println("talking to", c.SecContext().Info().Peer)
	fmt.Fprintln(c, "hello") // wrapped: encrypted, authenticated, in order
	line, err := bufio.NewReader(c).ReadString('\n')
	check(err)
	fmt.Print(line)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
