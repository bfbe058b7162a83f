package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
)

// people are who the demonstration needs: Mallory has credentials as good as the
// others', and no part in it.
var people = []string{"alice", "bob", "carol", "mallory"}

const (
	demoRealm  = "DEMO.TEST"
	demoDomain = "demo.test"
	demoMaxAge = time.Minute
)

// A world has a KDC, an authority, and everybody's credentials.
type world struct {
	realm *kdctest.Realm
	who   map[string]*person
}

// A person is user@DEMO.TEST and post/user.demo.test@DEMO.TEST to Kerberos, and
// mail:user@demo.test and svc:post@user.demo.test to pkix.
type person struct {
	name  string
	ms    mechglue.Mechanisms
	creds []gss.Credential // to initiate and accept with
}

func newWorld() (_ *world, err error) {
	w := &world{who: map[string]*person{}}
	if w.realm, err = kdctest.Start(kdctest.Options{Realm: demoRealm, Enctypes: []int32{18}}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	config, err := krb5.ParseConfig(w.realm.Krb5Conf())
	if err != nil {
		return nil, err
	}
	config.Domains = map[string]string{"." + demoDomain: demoRealm}
	ca := pkixtest.NewCA("demo")
	for _, name := range people {
		if w.who[name], err = newPerson(name, w.realm, config, ca); err != nil {
			return nil, fmt.Errorf("credentials of %s: %w", name, err)
		}
	}
	return w, nil
}

func newPerson(name string, realm *kdctest.Realm, config *krb5.Config, ca *pkixtest.CA) (*person, error) {
	// Kerberos: a password to initiate with, a keytab to accept with.
	password := "password of " + name
	service := "post/" + name + "." + demoDomain
	if err := errors.Join(realm.AddUser(name, password), realm.AddService(service)); err != nil {
		return nil, err
	}
	keytab, err := realm.Keytab(service)
	if err != nil {
		return nil, err
	}
	user, err := krb5.FromPassword(name+"@"+demoRealm, password)
	if err != nil {
		return nil, err
	}
	post, err := krb5.FromKeytab(keytab, service+"@"+demoRealm)
	if err != nil {
		return nil, err
	}
	k := krb5.New(krb5.Options{Config: config, Initiator: user.Source(), Acceptor: post.Source()})

	// Certificates: one to do both with.
	cert, err := pkix.FromTLS(ca.Issue(pkixtest.Template{Emails: []string{name + "@" + demoDomain}, DNS: []string{name + "." + demoDomain}}))
	if err != nil {
		return nil, err
	}
	p, err := pkix.New(pkix.Config{Roots: ca.Pool(), Credential: cert})
	if err != nil {
		return nil, err
	}
	return &person{name, mechglue.Mechanisms{k, p}, []gss.Credential{user, post, cert}}, nil
}

func (w *world) person(name string) *person { return w.who[name] }

func (w *world) close() {
	w.realm.Close()
	for _, p := range w.who {
		for _, c := range p.creds {
			c.Close()
		}
	}
}

// dial connects to another person's host and proves both ends to each other.
func (p *person) dial(ctx context.Context, mech oid.OID, to *host) (*gssnet.Conn, error) {
	h, err := p.ms.Initiate(mech, gss.Service("post", to.person.name+"."+demoDomain), nil)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", to.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	c := gssnet.Client(nc, h)
	if err := c.Handshake(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// A host is somebody who listens.
type host struct {
	person   *person
	listener net.Listener
	serve    func(context.Context, *gssnet.Conn) // one connection
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []*gssnet.Conn // all there were; to close at the end
}

func (h *host) listen(ctx context.Context) (err error) {
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	h.wg.Go(func() {
		for {
			nc, err := h.listener.Accept()
			if err != nil {
				return
			}
			c := gssnet.Server(nc, h.person.ms.Accept(&gss.AcceptOptions{Require: gss.DefaultFlags}))
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
			h.wg.Go(func() {
				if c.Handshake(ctx) == nil {
					h.serve(ctx, c)
				}
			})
		}
	})
	return nil
}

func (h *host) close() {
	if h.listener == nil {
		return
	}
	h.listener.Close()
	h.mu.Lock()
	for _, c := range h.conns {
		c.NetConn().Close()
		c.Close()
	}
	h.mu.Unlock()
	h.wg.Wait()
}

// What goes over a connection: u8 kind | u32 length | octets.
const (
	askSeal  = 'S' // Alice to Bob: I may seal to you. Answer: askSeal
	askGrant = 'G' // Carol to Alice: is there something to carry? Answer: a grant
	askBring = 'B' // anyone to Bob: a presentation. Answer: one octet, 1 if he took it
)

func send(w io.Writer, kind byte, b []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(b)))
	_, err := w.Write(append(head, b...))
	return err
}

func receive(r io.Reader) (kind byte, b []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > 2*maxDemoFile {
		return 0, nil, errors.New("too long")
	}
	b = make([]byte, n)
	_, err = io.ReadFull(r, b)
	return head[0], b, err
}

// ask sends a question and returns the answer.
func ask(ctx context.Context, c net.Conn, kind byte, question []byte) (answer []byte, err error) {
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if err := send(c, kind, question); err != nil {
		return nil, err
	}
	got, answer, err := receive(c)
	if err == nil && got != kind {
		err = errors.New("another answer than was asked for")
	}
	return answer, err
}

// who describes a context for the reader.
func who(i gss.Info) string {
	return fmt.Sprintf("%s: %s and %s", mechName(i.Mech), i.Local, i.Peer)
}
