package krb5

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// Options tune New. The zero value is a mechanism that knows no realm and has no
// credentials of its own.
type Options struct {
	// Config says where the realms are; nil: the zero Config.
	Config *Config

	// Initiator and Acceptor say which credential to use when the caller names
	// none; nil: none, NoCred.
	Initiator, Acceptor Source

	// Replay remembers the AP-REQs that were accepted; nil: a strike.Memory of
	// this mechanism's own. Acceptors of one service have to share a store. One
	// that was just started cannot vouch for what came before it, so that for
	// as long as Config.Skew it makes an acceptor refuse who does not ask for
	// mutual authentication: an acceptor that must not needs a durable store.
	Replay strike.Store

	// Services are the principals that this acceptor answers for, "HTTP/www.example.org@EXAMPLE.ORG";
	// nil: all for which its credential has keys.
	Services []string

	// ActForUsers makes Delegated, of the contexts of an acceptor whose credential initiates
	// too (FromKeytab with a principal), return one in the name of a user who came
	// with a forwardable ticket but delegated nothing: his ticket is shown to the KDC,
	// which decides towards whom the service may act for him (S4U2Proxy, "constrained
	// delegation"), as it does after Impersonate. Each context keeps the ticket for that.
	ActForUsers bool

	// AllowWeak makes an acceptor take tickets and keys of encryption types that are off
	// otherwise, for old peers that have nothing else: arcfour-hmac and des3-cbc-sha1,
	// which are broken (RFC 8429; replays of RC4's tokens that are not sealed are not even
	// detected), and Camellia's. Config.EncTypes, if not nil, has to list
	// those that are meant. Their keys are in a FromWeakKeytab. Nothing is asked of a KDC for them. A protocol on top that
	// needs a strong key has to look at SessionKey's type.
	AllowWeak bool

	// Resolver looks up KDCs, if Config.LookupKDC says so; nil: net.DefaultResolver.
	Resolver *net.Resolver

	// Dial connects to KDCs ("tcp" and "udp"); nil: a net.Dialer's DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// New returns the mechanism. It reads no file and no environment.
func New(o Options) *Mech {
	m := &Mech{initiator: o.Initiator, acceptor: o.Acceptor, replay: o.Replay, services: slices.Clone(o.Services), actsForUsers: o.ActForUsers, resolver: o.Resolver, dialer: o.Dial}
	if o.Config != nil {
		m.config = *o.Config
	}
	m.config.allowWeak = o.AllowWeak
	if m.replay == nil {
		m.replay = strike.NewMemory(strike.MemoryOptions{})
	}
	if m.resolver == nil {
		m.resolver = net.DefaultResolver
	}
	if m.dialer == nil {
		m.dialer = new(net.Dialer).DialContext
	}
	return m
}

// WithReplay returns a mechanism as m, with the same configuration and credentials, whose
// acceptors remember AP-REQs in store: see Options.Replay.
func (m *Mech) WithReplay(store strike.Store) *Mech {
	return &Mech{
		config: m.config, initiator: m.initiator, acceptor: m.acceptor, replay: store, services: m.services,
		actsForUsers: m.actsForUsers, resolver: m.resolver, dialer: m.dialer,
	}
}

// Mech is the Kerberos mechanism. It is safe for concurrent use.
type Mech struct {
	config              Config
	initiator, acceptor Source
	replay              strike.Store
	services            []string // nil: any
	actsForUsers        bool
	resolver            *net.Resolver
	dialer              func(ctx context.Context, network, addr string) (net.Conn, error)
	last                atomic.Int64 // time stamp last used, Unix µs
}

var (
	_ gss.Canonicalizer = (*Mech)(nil)
	_ gss.Acquirer      = (*Mech)(nil)
	_ gss.Described     = (*Mech)(nil)
	_ gss.Sniffer       = (*Mech)(nil)
)

// services are the flags that a context may have.
const services = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ | gss.DCEStyle | gss.Identify | always

// always are those that every context has.
const always = gss.ProtReady | gss.Trans

// delegation are those that it may have if a credential is delegated.
const delegation = gss.Deleg | gss.DelegPolicy

// OID implements gss.Mechanism: oid.Krb5.
func (m *Mech) OID() oid.OID { return oid.Krb5 }

// Initiate implements gss.Mechanism. Errors: BadName, BadNameType, NoCred;
// Unavailable, also for bindings under GODEBUG=fips140=only, as they need MD5.
func (m *Mech) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	r := o.Resolved()
	cred, err := named(r.Credentials, "Init_sec_context", m.initiator, errNoInitiator)
	if err != nil {
		return nil, err
	}
	fallback, can := "", services|delegation
	if cred != nil {
		if !cred.shared.initiates {
			return nil, noCred("Init_sec_context", errAccepts)
		}
		fallback = cred.shared.principal.Realm
		if isAnonymous(cred.shared.principal.Name) {
			can |= gss.Anon
		}
	} else { // it depends on what the Source will return
		fallback, can = laterRealm, can|gss.Anon
	}
	if err := o.Check(gss.Info{Mech: oid.Krb5, Flags: can}); err != nil {
		return nil, err
	}
	if err := checkMD5(r.Bindings, "Init_sec_context"); err != nil {
		return nil, err
	}
	p, err := m.config.principal(target, fallback)
	if err != nil {
		return nil, err
	}
	h := &initiator{m: m, name: target, target: p, opts: r}
	if cred != nil {
		if h.cred = cred.Handle(); h.cred == nil {
			return nil, noCred("Init_sec_context", errClosed)
		}
	}
	return h, nil
}

// laterRealm stands for the realm of a credential that is still to be asked for.
const laterRealm = "?"

// Accept implements gss.Mechanism. Errors: NoCred; Unavailable as Initiate's.
func (m *Mech) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	r := o.Resolved()
	if err := checkMD5(r.Bindings, "Accept_sec_context"); err != nil {
		return nil, err
	}
	cred, err := named(r.Credentials, "Accept_sec_context", m.acceptor, errNoAcceptor)
	if err != nil {
		return nil, err
	}
	h := &acceptor{m: m, opts: r}
	if cred != nil {
		if !cred.shared.accepts {
			return nil, noCred("Accept_sec_context", errInitiates)
		}
		if h.cred = cred.Handle(); h.cred == nil {
			return nil, noCred("Accept_sec_context", errClosed)
		}
	}
	return h, nil
}

// Why there is no credential.
var (
	errNoInitiator = errors.New("krb5: neither InitOptions.Credentials nor Options.Initiator has one")
	errNoAcceptor  = errors.New("krb5: neither AcceptOptions.Credentials nor Options.Acceptor has one")
	errAccepts     = errors.New("krb5: the credential does not initiate")
	errInitiates   = errors.New("krb5: the credential does not accept")
)

// named returns the Kerberos credential among cs; nil if cs is empty and there is
// a Source to ask later, and an error for none if there is not.
func named(cs []gss.Credential, op string, source Source, none error) (*Credential, error) {
	c, err := gss.SelectCredential(cs, oid.Krb5)
	if err != nil {
		return nil, err
	}
	if c == nil {
		if source == nil {
			return nil, noCred(op, none)
		}
		return nil, nil
	}
	cred, ok := c.(*Credential)
	if !ok { // another implementation of the same mechanism
		return nil, noCred(op, nil)
	}
	return cred, nil
}

func noCred(op string, err error) error {
	return &gss.Error{Op: op, Mech: oid.Krb5, Major: gss.NoCred, Err: err}
}

// Canonicalize implements gss.Canonicalizer. It does no I/O. A name without a
// realm, for which the configuration has none, is a BadName.
func (m *Mech) Canonicalize(_ context.Context, n gss.Name) (gss.Name, error) {
	p, err := m.config.principal(n, "")
	if err != nil {
		return gss.Name{}, err
	}
	return mechName(p), nil
}

// Acquire implements gss.Acquirer: what Options.Initiator returns, to be closed by
// the caller.
func (m *Mech) Acquire(ctx context.Context) ([]gss.Credential, error) {
	if m.initiator == nil {
		return nil, noCred("Acquire_cred", errors.New("krb5: there is no Options.Initiator"))
	}
	c, err := m.initiator(ctx)
	if err != nil {
		return nil, err
	}
	return []gss.Credential{c}, nil
}

// Attributes implements gss.Described.
func (m *Mech) Attributes() []oid.OID {
	return []oid.OID{
		oid.MAMechConcrete, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MAAuthInitInit, oid.MAAuthInitAnon,
		oid.MAIntegProt, oid.MAConfProt, oid.MAMIC, oid.MAWrap, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings, oid.MADelegCred, oid.MACtxTrans,
	}
}

// stamp returns the clock in microseconds, never the same one twice: some
// acceptors take two authenticators with one time stamp for a replay.
func (m *Mech) stamp() time.Time {
	for {
		now, last := time.Now().UnixMicro(), m.last.Load()
		now = max(now, last+1)
		if m.last.CompareAndSwap(last, now) {
			return time.UnixMicro(now)
		}
	}
}

// sameStamp reports whether a time in a message is t.
func sameStamp(sec time.Time, usec int, t time.Time) bool {
	return sec.Unix() == t.Unix() && usec == t.Nanosecond()/1000
}

// Token identifiers, RFC 4121 §4.1.
const (
	tokAPReq uint16 = 0x0100
	tokAPRep uint16 = 0x0200
	tokError uint16 = 0x0300
)

func frame(id uint16, msg []byte) []byte {
	inner := append([]byte{byte(id >> 8), byte(id)}, msg...)
	return gss.AppendToken(nil, oid.Krb5, inner)
}

// unframe returns a token's identifier and message, which aliases tok.
func unframe(tok []byte) (id uint16, msg []byte, ok bool) {
	mech, inner, err := gss.ParseToken(tok)
	if err != nil || mech != oid.Krb5 || len(inner) < 2 {
		return 0, nil, false
	}
	return uint16(inner[0])<<8 | uint16(inner[1]), inner[2:], true
}

// copyKey makes a key that its owner may erase of one in a message or elsewhere.
func copyKey(k *ikrb5.Key) (*ikrb5.Key, error) {
	b := k.Bytes()
	defer clear(b)
	return ikrb5.NewAnyKey(k.EType(), b)
}
