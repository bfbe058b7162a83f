package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/gsseal/gss/seal"
)

// A body that is too large for memory goes in chunks. What is read of it is authentic;
// that it is whole only its end says.
func ExampleSender_SealStream() {
	aliceToBob, bobToAlice := establish("alice", "bob")
	sender, err := seal.NewSender(aliceToBob)
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	recipient := seal.NewRecipient(nil)
	defer recipient.Close()
	if _, err := recipient.Add(bobToAlice); err != nil {
		log.Fatal(err)
	}

	// Alice writes to a file, or to whoever carries it.
	var wire bytes.Buffer
	w, err := sender.SealStream(&wire, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(w, strings.NewReader(strings.Repeat("all work and no play ", 10000))); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(wire.Len(), "octets")
	whole := wire.Bytes()

	// Bob reads.
	for _, in := range [][]byte{whole, whole[:200000]} {
		r, m, err := recipient.UnsealStream(context.Background(), bytes.NewReader(in), nil)
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		fmt.Println(n, "octets from", m.Originator, "- whole:", err == nil, "- truncated:", errors.Is(err, seal.ErrTruncated))
	}
	// Output:
	// 213392 octets
	// 210000 octets from mail:alice@example.org - whole: true - truncated: false
	// 196599 octets from mail:alice@example.org - whole: false - truncated: true
}
