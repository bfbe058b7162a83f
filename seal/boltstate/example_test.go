package boltstate_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
)

// Bob books what Alice orders exactly once, though he dies in the middle of it and
// the order comes again and again: the booking and the strike are one transaction.
func ExampleFile_Once() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bob.db")
	ctx := context.Background()
	aliceToBob, bobToAlice := establish("alice", "bob")

	// Once, after the handshake.
	f, err := boltstate.Open(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := f.Add(ctx, bobToAlice); err != nil {
		log.Fatal(err)
	}
	f.Close()

	sender, err := seal.NewSender(aliceToBob)
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	order, err := sender.Seal(nil, []byte("pay Carol 10"), &seal.Options{OneTime: true})
	if err != nil {
		log.Fatal(err)
	}

	book := func(tx *bolt.Tx, m seal.Message) error {
		b, err := tx.CreateBucketIfNotExists([]byte("payments"))
		if err != nil {
			return err
		}
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, n), append([]byte(m.Originator.Text+": "), m.Body...))
	}
	died := errors.New("died before the commit")
	for life := range 3 { // of Bob's process
		f, err := boltstate.Open(path, nil)
		if err != nil {
			log.Fatal(err)
		}
		err = f.Once(ctx, order, nil, func(tx *bolt.Tx, m seal.Message) error {
			if err := book(tx, m); err != nil || life > 0 {
				return err
			}
			return died
		})
		switch {
		case err == nil:
			fmt.Println("booked")
		case errors.Is(err, gss.DuplicateToken):
			fmt.Println("booked before")
		default:
			fmt.Println(err)
		}
		f.Close()
	}

	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("payments")).ForEach(func(_, v []byte) error {
			fmt.Printf("%s\n", v)
			return nil
		})
	})
	// Output:
	// died before the commit
	// booked
	// booked before
	// mail:alice@example.org: pay Carol 10
}
