package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/rpcsecgss"
)

const (
	tallyService = "tally"
	tallyHost    = "server.demo.test"
)

// A stand is a KDC, an authority, a folder for what servers share, the port that
// they are behind, and credentials for them.
type stand struct {
	realm  *kdctest.Realm
	asked  atomic.Int64 // how many requests the KDC got
	config *krb5.Config
	ca     *pkixtest.CA
	port   *port
	tally  tallyConfig
}

// newStand makes one for so many servers at a time.
func newStand(folder string, servers int, linger time.Duration) (_ *stand, err error) {
	s := &stand{ca: pkixtest.NewCA("demo"), tally: tallyConfig{Folder: folder, Shared: servers > 1, Linger: linger}}
	if _, err := reauth.OpenRing(s.tally.ring()); err != nil { // not everywhere
		return nil, err
	}
	s.realm, err = kdctest.Start(kdctest.Options{
		Realm: demoRealm, Enctypes: []int32{18},
		Logf: func(string, ...any) { s.asked.Add(1) }, // a line for each request
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.config, err = krb5.ParseConfig(s.realm.Krb5Conf()); err != nil {
		return nil, err
	}
	s.config.Domains = map[string]string{"." + demoDomain: demoRealm}
	service := tallyService + "/" + tallyHost
	if err = s.realm.AddService(service); err != nil {
		return nil, err
	}
	if s.tally.Keytab, err = s.realm.Keytab(service); err != nil {
		return nil, err
	}
	cert := s.ca.Issue(pkixtest.Template{DNS: []string{tallyHost}})
	s.tally.Chain, s.tally.Root = cert.Certificate, s.ca.Certificate.Raw
	if s.tally.Key, err = x509.MarshalPKCS8PrivateKey(cert.PrivateKey); err != nil {
		return nil, err
	}
	s.port, err = openPort()
	return s, err
}

func (s *stand) close() {
	s.realm.Close()
	if s.port != nil {
		s.port.close()
	}
}

// A caller is a client with a credential of its own, and knows what the server must
// answer. Its fields are for one goroutine, but for what is under mu.
type caller struct {
	name  string   // alice
	mech  oid.OID  // oid.Krb5 or oid.PKIX
	who   gss.Name // whom the server must see
	cred  gss.Credential
	cache string // the file of its tickets
	ops   *publicKeyOps
	rpc   *rpcsecgss.Client

	mu      sync.Mutex
	ended   []handshakeCount // complete handshakes since the last answer
	refused int              // tickets that a server did not honour, ever
	inFull  int              // complete handshakes without a ticket, ever
	resumed int              // and with one
	conn    net.Conn         // the present one
}

// kerberos returns user@DEMO.TEST, who has just typed the password.
func (s *stand) kerberos(user, cache string) (*caller, error) {
	password := "password of " + user
	if err := s.realm.AddUser(user, password); err != nil {
		return nil, err
	}
	cred, err := krb5.FromPassword(user+"@"+demoRealm, password)
	if err != nil {
		return nil, err
	}
	c := &caller{name: user, mech: oid.Krb5, who: cred.Name(), cred: cred, cache: cache, ops: new(publicKeyOps)}
	return c, s.connect(c, krb5.New(krb5.Options{Config: s.config, Initiator: cred.Source()}))
}

// certified returns mail:user@demo.test.
func (s *stand) certified(user, cache string) (*caller, error) {
	c := &caller{name: user, mech: oid.PKIX, cache: cache, ops: new(publicKeyOps)}
	cert := s.ca.Issue(pkixtest.Template{Emails: []string{user + "@" + demoDomain}})
	m, err := c.ops.pkix(s.ca.Pool(), cert, pkix.Config{})
	if err != nil {
		return nil, err
	}
	if c.who, err = pkix.ParseName("mail:" + user + "@" + demoDomain); err != nil {
		return nil, err
	}
	return c, s.connect(c, m)
}

// connect makes the client, which has neither a connection nor a context yet.
func (s *stand) connect(c *caller, inner gss.Mechanism) error {
	cache, err := reauth.OpenCache(c.cache, reauth.CacheOptions{})
	if err != nil {
		return err
	}
	c.rpc = rpcsecgss.NewClient(nil, tallyProgram, tallyVersion, rpcsecgss.ClientOptions{
		Mech:   &countedMech{reauth.New(inner, reauth.Options{Cache: cache}), c.ops, c.count},
		Target: gss.Service(tallyService, tallyHost),
		Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := s.port.dial(ctx)
			if err == nil {
				c.mu.Lock()
				c.conn = conn
				c.mu.Unlock()
			}
			return conn, err
		},
	})
	return nil
}

func (c *caller) count(h handshakeCount, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.refused {
		c.refused++
	}
	if !complete {
		return
	}
	if h.resumed {
		c.resumed++
	} else {
		c.inFull++
	}
	c.ended = append(c.ended, h)
}

// refusals is how many tickets a server did not honour.
func (c *caller) refusals() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// cut ends the connection, as a network does.
func (c *caller) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
	}
}

// state returns how many octets the client has to keep to come back.
func (c *caller) state() (int64, error) {
	i, err := os.Stat(c.cache)
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

func (c *caller) close() {
	if c.rpc != nil {
		c.rpc.Close()
	}
	if c.cred != nil {
		c.cred.Close()
	}
}

// A tallied is the answer to a call.
type tallied struct {
	caller *caller
	amount uint64
	who    string
	total  uint64
	again  bool  // taken from the store: the call had taken effect before
	pid    int   // of the server
	ops    int64 // that the server has done with public keys, since it started
	at     time.Time
	since  []handshakeCount // handshakes since the last answer
	err    error
}

// add calls, whatever happens to servers and connections meanwhile, until ctx ends.
func (c *caller) add(ctx context.Context, account uint32, amount uint64) tallied {
	var e rpcsecgss.Encoder
	e.Uint32(account)
	e.Uint64(amount)
	results, err := c.rpc.Call(ctx, tallyAdd, e.Bytes())
	t := tallied{caller: c, amount: amount, at: time.Now(), err: err}
	if err != nil {
		return t
	}
	d := rpcsecgss.NewDecoder(results)
	t.who, t.total, t.again, t.pid, t.ops = d.String(1024), d.Uint64(), d.Bool(), int(d.Uint32()), int64(d.Uint64())
	t.err = d.Done()
	c.mu.Lock()
	t.since, c.ended = c.ended, nil
	c.mu.Unlock()
	return t
}

// check compares an answer with what it must be, when the account had so much before.
func (t *tallied) check(before uint64) error {
	switch c := t.caller; {
	case t.err != nil:
		return t.err
	case t.who != c.who.String():
		return fmt.Errorf("the server took %s for %s", c.who, t.who)
	case t.total < before+t.amount:
		return fmt.Errorf("a call of %s was lost: %d and %d make %d", c.who, before, t.amount, t.total)
	case t.total > before+t.amount:
		return fmt.Errorf("a call of %s was counted more than once: %d and %d make %d", c.who, before, t.amount, t.total)
	}
	return nil
}
