package kdctest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// Options shape a realm. The zero value is the realm GSS.TEST as described below.
type Options struct {
	Realm string // default "GSS.TEST"

	// Enctypes are the numbers of the encryption types of the realm's keys, most
	// preferred first. The default is 18, 17, 20, 19, MIT's order.
	Enctypes []int32

	Lifetime      time.Duration // longest life of a ticket; default 10 h
	RenewLifetime time.Duration // longest life of a ticket with its renewals; default 7 days
	Skew          time.Duration // how far clients' clocks may be off; default 5 min

	Clock func() time.Time // default time.Now

	// MaxUDPReply is the largest reply, in octets, that goes out over UDP. Clients
	// are told to come back over TCP for a larger one. Default 4096, as MIT's.
	MaxUDPReply int

	// PAC gives every ticket a PAC (MS-PAC), as MIT's KDC (from 1.20) and Windows' do.
	// SetLogon says what is in it; the KDC then wants to see one in what it is shown.
	PAC bool

	// Transit, if not nil, says which realms may be between a client's realm and this
	// one; nil: all that trust on the way.
	Transit func(realm string) bool

	// Logf, if not nil, gets one line about each request. It may be a test's Logf.
	Logf func(format string, args ...any)
}

// A Realm is a running KDC with its database. It is safe for concurrent use.
type Realm struct {
	o      Options // defaults filled in
	etypes []krb5.EType
	tb     TB // nil unless made by New
	server server

	shift atomic.Int64 // of the clock, ns

	mu         sync.RWMutex
	principals map[string]principal // by their name without realm
	trusts     map[string]incoming  // by their realm
	trustedBy  []*Realm
	fault      func(Request) Fault // nil: none
	asked      [2]int              // AS and TGS requests
}

// TB is what New needs of a testing.TB.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// New starts a realm that is closed when the test ends. At most one Options may be
// given. What goes wrong in New or in a method of the realm fails the test, so that
// errors need not be looked at; those methods are then for the test's goroutine.
func New(t TB, o ...Options) *Realm {
	t.Helper()
	if len(o) > 1 {
		t.Fatal("kdctest: more than one Options")
	}
	r, err := Start(append(o, Options{})[0])
	if err != nil {
		t.Fatal(err)
	}
	r.tb = t
	t.Cleanup(r.Close)
	return r
}

// Start starts a realm, which the caller closes.
func Start(o Options) (*Realm, error) {
	if o.Realm == "" {
		o.Realm = "GSS.TEST"
	}
	if strings.ContainsFunc(o.Realm, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`{}[]#;"`, c) }) {
		return nil, fmt.Errorf("kdctest: realm %q cannot be written into a krb5.conf", o.Realm)
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 10 * time.Hour
	}
	if o.RenewLifetime <= 0 {
		o.RenewLifetime = 7 * 24 * time.Hour
	}
	if o.Skew <= 0 {
		o.Skew = 5 * time.Minute
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxUDPReply <= 0 {
		o.MaxUDPReply = 4096
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	r := &Realm{o: o, principals: map[string]principal{}, trusts: map[string]incoming{}}
	var err error
	if r.etypes, err = etypes(o.Enctypes, supportedETypes()); err != nil {
		return nil, err
	}
	if err := r.add("krbtgt/"+quoteRealm(o.Realm), "", principal{service: true}, nil); err != nil {
		return nil, err
	}
	if err := r.server.start(r); err != nil {
		return nil, err
	}
	return r, nil
}

// Close stops the KDC. When it returns, its goroutines are gone and its port is
// free. It can be called twice.
func (r *Realm) Close() { r.server.close() }

// Realm returns the realm's name.
func (r *Realm) Realm() string { return r.o.Realm }

// Addr returns the address, such as "127.0.0.1:40123", UDP and TCP.
func (r *Realm) Addr() string { return r.server.addr }

// AddUser adds a client, such as "alice" or "alice/admin". Its keys come from the
// password, or are random if that is empty: then Keytab is the only way to them.
func (r *Realm) AddUser(name, password string) error {
	return r.check(r.add(name, password, principal{}, nil))
}

// ServiceOptions shape a service. The zero value is good.
type ServiceOptions struct {
	// Enctypes are those of the service's keys. The first encrypts its tickets.
	// Default: the realm's.
	Enctypes []int32

	// SessionEnctypes are those of session keys for the service; the client's
	// request decides among them. Default: those of its keys. With a single one,
	// a test knows what it gets.
	SessionEnctypes []int32

	OKAsDelegate bool // tickets say that credentials may be delegated to it

	// DelegateTo are the services, such as "HTTP/localhost", for which it may get
	// tickets of users who came to it (S4U2Proxy, "constrained delegation"). They need
	// not be there yet.
	DelegateTo []string

	// Impersonate lets it do so for users who never came, too: the tickets to itself
	// that it gets in the name of others (S4U2Self, which every service may ask for) are
	// forwardable ("protocol transition").
	Impersonate bool
}

// AddService adds a service, such as "host/localhost", with random keys. It can be a
// client too. At most one ServiceOptions may be given.
func (r *Realm) AddService(name string, o ...ServiceOptions) error {
	if len(o) > 1 {
		return r.check(errors.New("kdctest: more than one ServiceOptions"))
	}
	so := append(o, ServiceOptions{})[0]
	p := principal{service: true, okAsDelegate: so.OKAsDelegate, impersonates: so.Impersonate}
	keys, err := etypes(so.Enctypes, r.etypes)
	if err == nil {
		p.session, err = etypes(so.SessionEnctypes, keys)
	}
	for _, to := range so.DelegateTo {
		var target krb5.Principal
		if err == nil {
			target, err = krb5.ParsePrincipal(to, r.o.Realm)
		}
		p.delegateTo = append(p.delegateTo, target.Name.String())
	}
	if err != nil {
		return r.check(err)
	}
	return r.check(r.add(name, "", p, keys))
}

// Rekey gives a principal new random keys with the next version number. Tickets
// under the old ones stay good, and Keytab has them all.
func (r *Realm) Rekey(name string) error {
	return r.check(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		id, p, err := r.find(name)
		if err != nil {
			return err
		}
		var fresh []longTermKey
		kvno := p.keys[0].kvno
		for _, k := range p.keys {
			if k.kvno == kvno {
				fresh = append(fresh, newLongTermKey(k.etype, kvno+1, "", ""))
			}
		}
		p.keys = append(fresh, p.keys...)
		r.principals[id] = p
		return nil
	}())
}

// check fails the test of a realm made by New.
func (r *Realm) check(err error) error {
	if err != nil && r.tb != nil {
		r.tb.Helper()
		r.tb.Fatal(err)
	}
	return err
}

// supportedETypes are the default, in order. Not all can be used under
// GODEBUG=fips140=only.
func supportedETypes() []krb5.EType {
	all := []krb5.EType{krb5.AES256SHA1, krb5.AES128SHA1, krb5.AES256SHA2, krb5.AES128SHA2}
	return slices.DeleteFunc(all, func(e krb5.EType) bool { return !e.Supported() })
}

// etypes checks a caller's list; def stands for an empty one.
func etypes(list []int32, def []krb5.EType) ([]krb5.EType, error) {
	if len(list) == 0 {
		return def, nil
	}
	var es []krb5.EType
	for _, n := range list {
		e := krb5.EType(n)
		if !e.Supported() || slices.Contains(es, e) {
			return nil, fmt.Errorf("kdctest: encryption type %d is not supported, or listed twice", n)
		}
		es = append(es, e)
	}
	return es, nil
}
