// Echo sends back what its clients (examples/hello) say, over whatever mechanism
// their first token names.
package main

import (
	"context"
	"io"
	"log"
	"net"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs"
)

func main() {
	ms, err := mechs.System()
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "localhost:7007")
	if err != nil {
		log.Fatal(err)
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(ms, nc)
	}
}

func serve(ms mechglue.Mechanisms, nc net.Conn) {
	c := gssnet.Server(nc, ms.Accept(&gss.AcceptOptions{Require: gss.Conf | gss.Replay | gss.Sequence}))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Handshake(ctx); err != nil {
		log.Print(err) // the peer was told what it may know
		return
	}
	log.Print(c.SecContext().Info().Peer, " is here")
	io.Copy(c, c)
}
