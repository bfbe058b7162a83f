package pkix

import (
	"context"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A Config is how New makes a mechanism. Only Roots has to be there.
type Config struct {
	// Roots are the authorities that peers are verified against. Nil is an error:
	// whoever wants the system's says so, with x509.SystemCertPool.
	Roots *x509.CertPool

	// Credential is used where the caller of Initiate or Accept names none. Nil:
	// such calls fail with NoCred.
	Credential *Credential

	// AllowServerAuth and AllowClientAuth accept, beside oid.EKUPKIX, the extended
	// key usage serverAuth in an acceptor's certificate, and clientAuth in an
	// initiator's: certificates made for TLS.
	AllowServerAuth, AllowClientAuth bool

	// AnyTarget lets Initiate take the zero target: it is shown the acceptor's
	// name, proven, and says whether to go on (else Unauthorized). Nil: the zero target is a BadName.
	AnyTarget func(acceptor gss.Name) bool

	// VerifyChain, if not nil, is shown a peer's chain, leaf first, when it leads to
	// a root and is for this use; an error refuses it. The peer has yet to prove that
	// the leaf is its own. It is where revocation lists belong: this package
	// checks an OCSP response that a peer sends along, and nothing else.
	VerifyChain func(chain []*x509.Certificate) error

	// Suites are offered and accepted, the best first; a share is sent for the
	// first. Empty: all that the process may use, in the order of their numbers.
	Suites []Suite

	// MaxLifetime bounds contexts. 0: only certificates do.
	MaxLifetime time.Duration

	// MaxHalfOpen is how many handshakes an acceptor may have answered and not
	// heard of again; 0: 1024. Over half of it, initiators have to echo a cookie
	// first, which costs them a round trip; at the limit each new one puts an end to
	// the oldest.
	MaxHalfOpen int

	// PeerAddress, if not nil, finds the initiator's address in the context of an
	// acceptor's Step, so that a cookie is good for that address only.
	PeerAddress func(context.Context) string

	// Time is the clock; nil: time.Now.
	Time func() time.Time
}

// A Mechanism is oid.PKIX, a gss.Mechanism, gss.Canonicalizer, gss.Acquirer and
// gss.Described. It is safe for concurrent use.
type Mechanism struct {
	roots                  *x509.CertPool
	cred                   *Credential
	serverAuth, clientAuth bool
	anyTarget              func(gss.Name) bool
	verifyChain            func([]*x509.Certificate) error
	suites                 []*suite
	maxLifetime            time.Duration
	halfOpen               halfOpen
	peerAddress            func(context.Context) string
	now                    func() time.Time
	cookies                cookies
}

// can are the flags that a context has at best, as they travel.
const can = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ

// New returns the mechanism. Errors: Failure (no roots, a suite that does not
// exist), Unavailable (no suite that this process may use).
func New(c Config) (*Mechanism, error) {
	fail := func(m gss.Major, err error) (*Mechanism, error) {
		return nil, &gss.Error{Op: "New", Mech: oid.PKIX, Major: m, Err: err}
	}
	if c.Roots == nil {
		return fail(gss.Failure, errors.New("pkix: no roots"))
	}
	list, err := chooseSuites(c.Suites)
	if err != nil {
		return fail(gss.Unavailable, err)
	}
	m := &Mechanism{
		roots: c.Roots.Clone(), cred: c.Credential, serverAuth: c.AllowServerAuth, clientAuth: c.AllowClientAuth,
		anyTarget: c.AnyTarget, verifyChain: c.VerifyChain, suites: list, maxLifetime: c.MaxLifetime,
		halfOpen: halfOpen{max: c.MaxHalfOpen}, peerAddress: c.PeerAddress, now: c.Time,
	}
	if m.halfOpen.max <= 0 {
		m.halfOpen.max = 1024
	}
	if m.now == nil {
		m.now = time.Now
	}
	return m, nil
}

// OID returns oid.PKIX.
func (m *Mechanism) OID() oid.OID { return oid.PKIX }

// Acquire returns a credential like Config.Credential, to be closed by itself.
// Error: NoCred.
func (m *Mechanism) Acquire(context.Context) ([]gss.Credential, error) {
	if m.cred == nil || m.cred.closed.Load() {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: oid.PKIX, Major: gss.NoCred}
	}
	c := *m.cred
	c.closed = new(atomic.Bool)
	return []gss.Credential{&c}, nil
}

// Attributes lists the mechanism's attributes, RFC 5587.
func (m *Mechanism) Attributes() []oid.OID {
	return []oid.OID{
		oid.MAMechConcrete, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MAIntegProt, oid.MAConfProt,
		oid.MAMIC, oid.MAWrap, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings, oid.MAPFS,
	}
}

func (m *Mechanism) suite(id Suite) *suite {
	for _, s := range m.suites {
		if s.id == id {
			return s
		}
	}
	return nil
}

// usable returns c as what a handshake of this package can use. Errors: NoCred,
// CredentialsExpired.
func (m *Mechanism) usable(op string, c gss.Credential) (*Credential, error) {
	e := &gss.Error{Op: op, Mech: oid.PKIX, Major: gss.NoCred}
	cred, ok := c.(*Credential)
	if !ok || cred == nil || cred.closed.Load() {
		return nil, e
	}
	if m.now().After(cred.Expiry()) {
		e.Major = gss.CredentialsExpired
		return nil, e
	}
	return cred, nil
}

// Initiate is gss.Mechanism's. The target is a service (its host has to be a
// dNSName of the acceptor's certificate) or any name that Canonicalize takes. The
// zero target needs Config.AnyTarget. Errors: BadName, BadNameType, NoCred,
// CredentialsExpired, Unavailable.
func (m *Mechanism) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	const op = "Init_sec_context"
	r := o.Resolved()
	best := can | gss.ProtReady
	if len(r.Bindings) > 0 {
		best |= gss.Bound
	}
	if err := r.Check(gss.Info{Mech: oid.PKIX, Flags: best}); err != nil {
		return nil, err
	}
	h := &initiator{handshake: handshake{m: m, op: op}, options: r}
	if !target.IsZero() || m.anyTarget == nil {
		n, err := canonicalize(op, target)
		if err != nil {
			return nil, err
		}
		h.target = n
	}
	c, err := gss.SelectCredential(r.Credentials, oid.PKIX)
	if err != nil {
		return nil, err
	}
	if c == nil && m.cred != nil {
		c = m.cred
	}
	if h.cred, err = m.usable(op, c); err != nil {
		return nil, err
	}
	h.cbp, h.cbh = gss.HashBindings(r.Bindings)
	h.next = h.start
	return h, nil
}

// Accept is gss.Mechanism's. Of several credentials the first is used that proves
// the name which the initiator asks for. BindingsOptional is Unavailable, and an
// acceptor without bindings does not ignore an initiator's: here both sides give
// the same ones, or neither gives any. Errors: NoCred, CredentialsExpired,
// Unavailable.
func (m *Mechanism) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	const op = "Accept_sec_context"
	r := o.Resolved()
	if r.BindingsOptional {
		return nil, &gss.Error{Op: op, Mech: oid.PKIX, Major: gss.Unavailable, Err: errors.New("pkix: channel bindings cannot be optional")}
	}
	h := &acceptor{handshake: handshake{m: m, op: op}, options: r}
	first, err := gss.SelectCredential(r.Credentials, oid.PKIX)
	if err != nil {
		return nil, err
	}
	candidates := r.Credentials
	if first == nil && m.cred != nil {
		candidates = []gss.Credential{m.cred}
	}
	err = &gss.Error{Op: op, Mech: oid.PKIX, Major: gss.NoCred}
	for _, c := range candidates {
		if c.Mech() != oid.PKIX {
			continue
		}
		cred, e := m.usable(op, c)
		if e != nil {
			err = e
			continue
		}
		h.creds = append(h.creds, cred)
	}
	if len(h.creds) == 0 {
		return nil, err
	}
	h.cbp, h.cbh = gss.HashBindings(r.Bindings)
	h.next = h.first
	return h, nil
}

var (
	_ gss.Canonicalizer = (*Mechanism)(nil)
	_ gss.Acquirer      = (*Mechanism)(nil)
	_ gss.Described     = (*Mechanism)(nil)
	_ gss.Credential    = (*Credential)(nil)
)
