package krb5

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// A Credential is a password, a keytab or a credential cache, and the tickets that
// were got with it, which it keeps in memory until they expire. It is a handle:
// what it stands for is erased when all handles on it are closed.
//
//	from             initiates                         accepts
//	FromPassword     yes                               no
//	FromKeytab       if it names a principal           as that principal, or as any in it
//	FromClientKeytab yes                               no
//	FromCCache       with the tickets that it has,     no
//	                 and with its TGT
type Credential struct {
	shared *shared
	closed atomic.Bool
}

// shared is what the handles on one credential share.
type shared struct {
	principal ikrb5.Principal // no Components: accepts as any
	initiates bool
	accepts   bool
	expiry    time.Time // under mu
	password  string
	keys      *keytab    // nil without a keytab
	cache     cacheStore // where new tickets are stored too; nil: nowhere
	proxy     *proxy     // who acts for principal; nil: nobody

	// exchange is held, by whoever has put a value in, while a KDC is asked, so
	// that many handshakes with a new service make one exchange.
	exchange chan struct{}

	mu      sync.Mutex
	refs    int
	tickets map[string]*ticket // by server; a TGT's server is krbtgt/REALM@REALM
}

// A ticket is what an initiator needs to use it.
type ticket struct {
	server            ikrb5.Principal
	raw               []byte     // DER
	key               *ikrb5.Key // session key
	auth              time.Time  // zero: unknown, start
	start, end, renew time.Time
	flags             uint32
}

func (t *ticket) expired(now time.Time) bool { return !now.Before(t.end) }

func newCredential(s *shared, tickets ...*ticket) *Credential {
	s.refs, s.exchange, s.tickets = 1, make(chan struct{}, 1), make(map[string]*ticket)
	for _, t := range tickets {
		s.keep(t)
	}
	return &Credential{shared: s}
}

func credError(m gss.Major, err error) error {
	return &gss.Error{Op: "Acquire_cred", Mech: oid.Krb5, Major: m, Err: err}
}

// fileError tells a file that is not there from one that cannot be used.
func fileError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return credError(gss.NoCred, err)
	}
	return credError(gss.DefectiveCredential, err)
}

// Mech implements gss.Credential.
func (c *Credential) Mech() oid.OID { return oid.Krb5 }

// Name returns the principal; the zero Name if c accepts as any in its keytab.
func (c *Credential) Name() gss.Name {
	if len(c.shared.principal.Name.Components) == 0 {
		return gss.Name{}
	}
	return mechName(c.shared.principal)
}

// Expiry returns when the last ticket of a credential cache ends; otherwise zero.
func (c *Credential) Expiry() time.Time {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	return c.shared.expiry
}

// ended reports that c is from a credential cache and its last ticket has ended.
func (c *Credential) ended() bool {
	expiry := c.Expiry()
	return !expiry.IsZero() && !expiry.After(time.Now())
}

// Close gives the handle up. It can be called twice.
func (c *Credential) Close() error {
	if !c.closed.Swap(true) {
		c.shared.release()
	}
	return nil
}

// Handle returns another handle on what c stands for, to be closed by itself; nil
// if c was closed.
func (c *Credential) Handle() *Credential {
	if c.closed.Load() || !c.shared.retain() {
		return nil
	}
	return &Credential{shared: c.shared}
}

// retain reports false if s was erased before.
func (s *shared) retain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs == 0 {
		return false
	}
	s.refs++
	return true
}

func (s *shared) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	s.password = "" // a string cannot be overwritten
	if s.keys != nil {
		s.keys.erase()
	}
	if s.proxy != nil {
		s.proxy.service.Close()
	}
	for _, t := range s.tickets {
		t.key.Erase()
	}
	s.tickets = nil
}

// get returns a ticket for server that is good until then, or nil. It stays
// usable as long as the caller has a handle.
func (s *shared) get(server string, until time.Time) *ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tickets[server]; t != nil && !t.expired(until) {
		return t
	}
	return nil
}

// maxTickets bounds the tickets that a credential keeps: who is asked for more
// services than that asks the KDC again.
const maxTickets = 4096

// put keeps t, which a KDC has just issued to s.principal, and stores it where it
// is to be stored. That it cannot be is no reason not to use it.
func (s *shared) put(t *ticket) {
	s.keep(t)
	if s.cache != nil {
		cred := t.ccacheCred(s.principal)
		defer cred.erase()
		s.cache.add(context.Background(), s.principal, &cred) // bounded by itself
	}
}

// keep keeps t. What it replaces is not erased, as a handshake may be using it.
func (s *shared) keep(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tickets == nil { // erased meanwhile
		return
	}
	name := t.server.String()
	if old := s.tickets[name]; old != nil && old.end.After(t.end) {
		return
	}
	if len(s.tickets) >= maxTickets {
		for other := range s.tickets {
			delete(s.tickets, other)
			break
		}
	}
	s.tickets[name] = t
}

// A Source says which credential to use when the caller names none. It returns a
// handle, which whoever called it closes. The answer may differ from call to call:
// somebody ran kinit. It is safe for concurrent use. Errors: NoCred,
// DefectiveCredential.
type Source func(ctx context.Context) (*Credential, error)

// Source returns a Source of handles on c, which may be closed then only after the
// last use of the Source.
func (c *Credential) Source() Source {
	return func(context.Context) (*Credential, error) {
		if h := c.Handle(); h != nil {
			return h, nil
		}
		return nil, credError(gss.NoCred, errClosed)
	}
}

var errClosed = errors.New("krb5: the credential was closed")

// FileSource returns a Source that calls open for the file at path, and calls it
// again whenever that has changed: a keytab whose keys were rolled, a credential
// cache after kinit. Tickets got with an earlier state are got again.
//
//	krb5.FileSource(path, func(path string) (*krb5.Credential, error) {
//		return krb5.FromKeytabFile(path, "")
//	})
func FileSource(path string, open func(path string) (*Credential, error)) Source {
	f := &fileSource{path: trimFile(path), open: open}
	return f.get
}

type fileSource struct {
	path string
	open func(string) (*Credential, error)

	mu   sync.Mutex
	last fs.FileInfo
	cred *Credential
}

func (f *fileSource) get(context.Context) (*Credential, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fileError(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cred != nil && sameFile(f.last, info) && !f.cred.ended() {
		if h := f.cred.Handle(); h != nil {
			return h, nil
		}
	}
	cred, err := f.open(f.path)
	if err != nil {
		return nil, err
	}
	if f.cred != nil {
		f.cred.Close()
	}
	f.last, f.cred = info, cred
	return cred.Handle(), nil
}
