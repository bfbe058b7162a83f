package reauth

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// Options tune New. The zero value keeps keys and tickets in memory, and resumes with
// symmetric cryptography alone, in three tokens.
type Options struct {
	// Ring is the acceptor's ticket keys; nil: one of this mechanism's own, in
	// memory. Tickets under a Ring are honoured by everybody who has it, so it is for
	// one service.
	Ring *Ring

	// Cache is the initiator's tickets; nil: one of this mechanism's own, in memory.
	Cache *Cache

	// Store lets an acceptor be done with its first token. Without it, or if it cannot
	// vouch that a RESUME is new, the initiator is asked to confirm. For a Ring that is shared
	// it is used only if StoreDomain is the Ring's Domain: it then has to be one store for
	// all who use that ring. Mechs of one process that share a Ring share its Store.
	Store       strike.Store
	StoreDomain [16]byte

	// Life is how long a ticket lives at most; 0: 24 hours; at most 7 days. No ticket
	// outlives the context that the chain of tickets began with.
	Life time.Duration

	// Group is the share that the initiator sends. With one, who gets the acceptor's keys or
	// the initiator's tickets later cannot read what was resumed with them.
	Group Group

	// RequireShare lets nobody resume without a share, and marks tickets so that
	// initiators know.
	RequireShare bool

	// Local says which names this acceptor answers to. Nil: those of the credentials
	// that Accept is given, if it is given any; else every name in a ticket of the Ring.
	Local func(gss.Name) bool

	// Revoked, if not nil, refuses tickets of an initiator who authenticated at
	// authTime, by the clock of the acceptor that it was: it then authenticates in full.
	Revoked func(initiator gss.Name, authTime time.Time) bool

	// Authorization, if not nil, returns what the acceptor wants to know of the peer when
	// it comes back, encrypted in the ticket: at most MaxAuthorization octets. More, or an error,
	// is no ticket. See Context.
	Authorization func(gss.Context) ([]byte, error)

	// Time is the clock; nil: time.Now.
	Time func() time.Time
}

const (
	skew        = 300 * time.Second
	defaultLife = 24 * time.Hour
	maxLife     = 7 * 24 * time.Hour
)

// services are the flags that a resumed context can have of the first one's.
const services = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ

// A Mech is a mechanism with tickets. It is a gss.Mechanism, gss.Stack, gss.Acquirer,
// gss.Canonicalizer and gss.Described, and safe for concurrent use.
type Mech struct {
	inner gss.Mechanism
	oid   oid.OID
	der   []byte // of oid
	o     Options
	waits nonces
}

// New returns inner with tickets. Its OID is oid.Reauth followed by the arcs of
// inner's.
func New(inner gss.Mechanism, o Options) *Mech {
	return newMech(inner, oid.Join(oid.Reauth, inner.OID()), o)
}

func newMech(inner gss.Mechanism, id oid.OID, o Options) *Mech {
	m := &Mech{inner: inner, oid: id, der: id.AppendDER(nil), o: o}
	if m.o.Ring == nil {
		m.o.Ring = NewRing()
	}
	if m.o.Cache == nil {
		m.o.Cache = NewCache(CacheOptions{})
	}
	if m.o.Life <= 0 {
		m.o.Life = defaultLife
	}
	m.o.Life = min(m.o.Life, maxLife)
	if m.o.Time == nil {
		m.o.Time = time.Now
	}
	return m
}

// OID is gss.Mechanism's.
func (m *Mech) OID() oid.OID { return m.oid }

// Inner implements gss.Stack: contexts established in full are the inner mechanism's.
func (m *Mech) Inner() []gss.Mechanism { return []gss.Mechanism{m.inner} }

// Attributes implements gss.Described. It takes away what resumed contexts lack.
func (m *Mech) Attributes() []oid.OID {
	attrs := []oid.OID{oid.MAMechComposite, oid.MAITokFramed}
	if d, ok := m.inner.(gss.Described); ok {
		for _, a := range d.Attributes() {
			switch a {
			case oid.MAMechConcrete, oid.MAMechPseudo, oid.MAMechComposite, oid.MAMechNego, oid.MAMechGlue, oid.MAITokFramed,
				oid.MADelegCred, oid.MAPFS, oid.MAProtReady, oid.MACtxTrans:
			default:
				attrs = append(attrs, a)
			}
		}
	}
	return attrs
}

// Canonicalize implements gss.Canonicalizer: as the inner mechanism does, or the first of
// those in a gss.Stack that can.
func (m *Mech) Canonicalize(ctx context.Context, n gss.Name) (gss.Name, error) {
	return m.canonicalize(ctx, m.inner, n, maxDepth)
}

// maxDepth is how deep stacks are looked into.
const maxDepth = 8

func (m *Mech) canonicalize(ctx context.Context, in gss.Mechanism, n gss.Name, depth int) (gss.Name, error) {
	if c, ok := in.(gss.Canonicalizer); ok {
		return c.Canonicalize(ctx, n)
	}
	err := m.fail("Canonicalize_name", gss.Unavailable, nil)
	if st, ok := in.(gss.Stack); ok && depth > 0 {
		for _, x := range st.Inner() {
			var mn gss.Name
			if mn, err = m.canonicalize(ctx, x, n, depth-1); err == nil {
				return mn, nil
			}
		}
	}
	return gss.Name{}, err
}

// Acquire implements gss.Acquirer: what the inner mechanism would use; of a gss.Stack that is no
// gss.Acquirer, what all in it would. Errors: Unavailable, if one of them cannot say;
// NoCred.
func (m *Mech) Acquire(ctx context.Context) ([]gss.Credential, error) {
	cs, err := m.acquire(ctx, m.inner, maxDepth)
	if err == nil && len(cs) == 0 {
		err = m.fail("Acquire_cred", gss.NoCred, nil)
	}
	return cs, err
}

func (m *Mech) acquire(ctx context.Context, in gss.Mechanism, depth int) ([]gss.Credential, error) {
	if a, ok := in.(gss.Acquirer); ok {
		return a.Acquire(ctx)
	}
	st, ok := in.(gss.Stack)
	if !ok || depth == 0 {
		return nil, m.fail("Acquire_cred", gss.Unavailable, nil)
	}
	var all []gss.Credential
	for _, x := range st.Inner() {
		cs, err := m.acquire(ctx, x, depth-1)
		if err != nil && !errors.Is(err, gss.NoCred) {
			closeAll(all)
			return nil, err
		}
		all = append(all, cs...)
	}
	return all, nil
}

func closeAll(cs []gss.Credential) {
	for _, c := range cs {
		c.Close()
	}
}

func (m *Mech) fail(op string, major gss.Major, cause error) error {
	return &gss.Error{Op: op, Mech: m.oid, Major: major, Err: cause}
}

// nonces are those of the RESUMEs of this process that were not answered yet: an acceptor
// that meets one of them talks to itself.
type nonces struct {
	mu sync.Mutex
	m  map[string]bool
}

// maxNonces bounds what handshakes leave that nobody closes.
const maxNonces = 1 << 16

func (n *nonces) add(ni []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil {
		n.m = make(map[string]bool)
	}
	for k := range n.m {
		if len(n.m) < maxNonces {
			break
		}
		delete(n.m, k)
	}
	n.m[string(ni)] = true
}

func (n *nonces) remove(ni []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.m, string(ni))
}

func (n *nonces) has(ni []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.m[string(ni)]
}

// A handshake is what both sides have.
type handshake struct {
	m     *Mech
	op    string
	next  func(ctx context.Context, in []byte) ([]byte, gss.Context, error) // nil: over
	bind  binding
	inner gss.Handshake // nil until it is needed
	held  gss.Context   // of inner, while the ticket is due
	keys  *schedule
	ms    []byte
}

// Step is gss.Handshake's.
func (h *handshake) Step(ctx context.Context, in []byte) (out []byte, sc gss.Context, err error) {
	step := h.next
	h.next = nil
	if step == nil {
		return nil, nil, h.fail(gss.NoContext, nil)
	}
	if err = ctx.Err(); err != nil {
		err = h.fail(gss.Failure, err)
	} else {
		out, sc, err = step(ctx, in)
	}
	if h.next == nil {
		h.end()
	}
	return out, sc, err
}

// Close is gss.Handshake's.
func (h *handshake) Close() error {
	h.next = nil
	h.end()
	return nil
}

// end gives up what the handshake holds. A context that was returned has its own.
func (h *handshake) end() {
	if h.held != nil {
		h.held.Close()
		h.held = nil
	}
	if h.inner != nil {
		h.inner.Close()
		h.inner = nil
	}
	h.keys.erase()
	clear(h.ms)
}

func (h *handshake) fail(major gss.Major, cause error) error { return h.m.fail(h.op, major, cause) }

func (h *handshake) defective() error { return h.fail(gss.DefectiveToken, nil) }

// stepInner is a step of the inner mechanism whose token, if there is one, goes out
// after tag.
func (h *handshake) stepInner(ctx context.Context, tag byte, in []byte) (out []byte, sc gss.Context, err error) {
	tok, sc, err := h.inner.Step(ctx, in)
	if len(tok) > maxInner {
		if sc != nil {
			sc.Close()
		}
		return nil, nil, h.fail(gss.Failure, errLength)
	}
	if len(tok) > 0 {
		out = append(append(make([]byte, 0, 1+len(tok)), tag), tok...)
	}
	return out, sc, err
}

var errLength = errors.New("reauth: inner token too long")

// ticketKeys returns the keys that the context of the inner mechanism leads to, and the names'
// hashes; nil if it is not one for tickets.
//
// It has to be mutual: the keys of one that is not may depend on the
// initiator's token alone, and two acceptors that are handed that token would encrypt two
// issues under one key. It is not anonymous, and none of the kinds that a resumed one
// cannot be.
func ticketKeys(sc gss.Context) (psk, issue []byte) {
	i := sc.Info()
	if !i.Flags.Has(gss.Mutual) || i.Flags&(gss.Anon|gss.DCEStyle|gss.Identify) != 0 {
		return nil, nil
	}
	names := [2]gss.Name{i.Local, i.Peer}
	if !i.Initiator {
		slices.Reverse(names[:])
	}
	initiator, errI := names[0].Export()
	acceptor, errA := names[1].Export()
	if errI != nil || errA != nil {
		return nil, nil
	}
	prf, err := sc.PRF(gss.PRFFull, []byte(prfLabel), prfLen)
	if err != nil {
		return nil, nil
	}
	return firstKeys(prf, i.Mech.AppendDER(nil), hash(initiator), hash(acceptor))
}

var (
	_ gss.Stack         = (*Mech)(nil)
	_ gss.Acquirer      = (*Mech)(nil)
	_ gss.Canonicalizer = (*Mech)(nil)
	_ gss.Described     = (*Mech)(nil)
)
