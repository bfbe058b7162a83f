package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/rpcsecgss"
	"github.com/gsseal/gss/strike/boltstore"
)

// tallyEnv makes "gss demo reauth" a server of that demonstration.
const tallyEnv = "GSS_DEMO_TALLY"

// The program that the server serves: tallyAdd adds a number to an account of the
// caller's.
//
//	struct { unsigned int account; unsigned hyper amount; }                        arguments
//	struct { string who<>; unsigned hyper total; bool again; unsigned int pid; unsigned hyper ops; }  results
//
// who and total are kept with the effect, and the same whenever the call comes.
const (
	tallyProgram = 0x20000002
	tallyVersion = 1
	tallyAdd     = 1
)

// A tallyConfig is what a server is told on its standard input, in JSON. Behind it
// come tallyOrders.
type tallyConfig struct {
	Folder string        // for the ring, and the file of totals and strikes
	Keytab []byte        // Kerberos
	Chain  [][]byte      // certificates, DER, leaf first
	Key    []byte        // PKCS #8
	Root   []byte        // DER
	Shared bool          // with another server, so that the file is nobody's for long
	Linger time.Duration // between a commit and the answer: it is then that a crash hurts
}

func (c *tallyConfig) ring() string   { return filepath.Join(c.Folder, "ring") }
func (c *tallyConfig) totals() string { return filepath.Join(c.Folder, "totals.db") }

// A tallyOrder is "rotate". The server says with a line that it has obeyed.
type tallyOrder string

const tallyRotate tallyOrder = "rotate"

// serveTally is a server, until it is killed or its standard input ends. It prints
// a line with its address when it is ready.
func serveTally(ctx context.Context, sh *shell) error {
	in := json.NewDecoder(sh.stdin)
	var c tallyConfig
	if err := in.Decode(&c); err != nil {
		return err
	}
	ring, err := reauth.OpenRing(c.ring())
	if err != nil {
		return err
	}
	store, err := boltstore.Open(c.totals(), boltstore.Options{Shared: c.Shared})
	if err != nil {
		return err
	}
	defer store.Close()
	ops := new(publicKeyOps)
	ms, err := c.mechanisms(ring, store, ops)
	if err != nil {
		return err
	}
	t := &tally{store: store, ops: ops, linger: c.Linger, log: sh.stderr}
	s := rpcsecgss.NewServer(rpcsecgss.ServerOptions{
		Accept: func() (gss.Handshake, error) { return ms.Accept(nil), nil },
	})
	defer s.Close()
	s.Handle(tallyProgram, tallyVersion, t.handle)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go s.Serve(l)
	fmt.Fprintln(sh.stdout, l.Addr())
	ended := make(chan error, 1)
	go func() { // nobody is left behind if the demonstration is killed
		for {
			var o tallyOrder
			if in.Decode(&o) != nil {
				ended <- nil
				return
			}
			err := fmt.Errorf("an unknown order %q", o)
			if o == tallyRotate {
				err = ring.Rotate(time.Now())
			}
			if err != nil {
				ended <- err
				return
			}
			fmt.Fprintln(sh.stdout, o)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// mechanisms are Kerberos and certificates, with tickets under one ring.
func (c *tallyConfig) mechanisms(ring *reauth.Ring, store *boltstore.Store, ops *publicKeyOps) (mechglue.Mechanisms, error) {
	post, err := krb5.FromKeytab(c.Keytab, "")
	if err != nil {
		return nil, err
	}
	k := krb5.New(krb5.Options{Acceptor: post.Source(), Replay: store})
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(c.Root)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	p, err := ops.pkix(pool, tls.Certificate{Certificate: c.Chain, PrivateKey: key}, pkix.Config{})
	if err != nil {
		return nil, err
	}
	o := reauth.Options{Ring: ring, Store: store, StoreDomain: ring.Domain()}
	return mechglue.Mechanisms{reauth.New(k, o), reauth.New(p, o)}, nil
}

// A tally keeps totals.
type tally struct {
	store  *boltstore.Store
	ops    *publicKeyOps
	linger time.Duration
	log    io.Writer
}

func (t *tally) handle(ctx context.Context, c *rpcsecgss.Call) ([]byte, error) {
	if c.Proc != tallyAdd {
		return nil, rpcsecgss.ProcUnavail
	}
	d := rpcsecgss.NewDecoder(c.Args)
	account, amount := d.Uint32(), d.Uint64()
	if d.Done() != nil {
		return nil, rpcsecgss.GarbageArgs
	}
	reply, again, err := t.once(ctx, c, account, amount)
	if err != nil {
		fmt.Fprintln(t.log, "adding:", err)
		return nil, err
	}
	time.Sleep(t.linger)
	var e rpcsecgss.Encoder
	e.Fixed(reply)
	e.Bool(again)
	e.Uint32(uint32(os.Getpid()))
	e.Uint64(uint64(t.ops.total()))
	return e.Bytes(), nil
}

var bucketReplies, bucketTotals = []byte("replies"), []byte("totals")

// once adds, and keeps what it answers under the call's key, in one transaction: or
// it finds the key, and answers as before. The keys are kept for ever; a real
// service would drop them when no client repeats such a call any more.
func (t *tally) once(ctx context.Context, c *rpcsecgss.Call, account uint32, amount uint64) (reply []byte, again bool, err error) {
	key, ok := c.Key()
	if !ok {
		return nil, false, errors.New("nobody knows who calls")
	}
	who, err := c.Info.Peer.Export()
	if err != nil {
		return nil, false, err
	}
	tx, err := t.store.Begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer tx.Rollback()
	err = tx.Do(func(tx *bolt.Tx) error {
		replies, err := tx.CreateBucketIfNotExists(bucketReplies)
		if err != nil {
			return err
		}
		if kept := replies.Get(key[:]); kept != nil {
			reply, again = append(reply, kept...), true
			return nil
		}
		totals, err := tx.CreateBucketIfNotExists(bucketTotals)
		if err != nil {
			return err
		}
		name := accountName(who, account)
		total := amount
		if v := totals.Get(name); v != nil {
			total += binary.BigEndian.Uint64(v)
		}
		var e rpcsecgss.Encoder
		e.String(c.Info.Peer.String())
		e.Uint64(total)
		reply = e.Bytes()
		return errors.Join(
			totals.Put(name, binary.BigEndian.AppendUint64(nil, total)),
			replies.Put(key[:], reply))
	})
	if err != nil || again {
		return reply, again, err
	}
	return reply, false, tx.Commit()
}

// accountName is an account of who, an exported name.
func accountName(who []byte, account uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(nil), who...), account)
}

// A tallyBook is what a file of totals says.
type tallyBook struct {
	totals  map[string]uint64 // by accountName
	effects int               // how many calls took one
}

// read reads it, when the servers are gone.
func (c *tallyConfig) read() (*tallyBook, error) {
	db, err := bolt.Open(c.totals(), 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	b := &tallyBook{totals: map[string]uint64{}}
	err = db.View(func(tx *bolt.Tx) error {
		replies, totals := tx.Bucket(bucketReplies), tx.Bucket(bucketTotals)
		if replies == nil || totals == nil {
			return nil
		}
		b.effects = replies.Stats().KeyN
		return totals.ForEach(func(k, v []byte) error {
			b.totals[string(k)] = binary.BigEndian.Uint64(v)
			return nil
		})
	})
	return b, err
}
