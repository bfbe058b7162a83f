package krb5

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A Cache is a place where the tickets of one client are kept, to be shared with
// other processes: what kinit fills and klist lists. It is safe for concurrent use,
// also by processes of other implementations.
//
//	FILE:path, or a path alone  a file of version 3 or 4; it is written as 4
//	DIR:path                    the primary cache of a folder of such files
//	DIR::path                   one file of the folder
//	MEMORY:name                 in this process, in CacheOptions.Memory
//	KCM:                        the primary cache of a daemon, Heimdal's kcm or sssd's
//	KCM:name                    one of its caches
//	KEYRING:anchor:collection   the primary cache of a collection in a kernel's keyring
//	KEYRING:anchor:collection:name
//
// A keyring's anchor is session, user, persistent (the collection is a user's number,
// "" this one's) or legacy, and legacy if there is none; Linux has keyrings. One of a
// thread or of a process is of no use to a Go program, which does not choose its thread:
// it is refused.
//
// Methods take files' contents and daemons' answers for what they are, and bound
// them. Their errors are NoCred for what is not there, DefectiveCredential for what
// cannot be read or written, Unavailable for what this system lacks.
type Cache struct {
	options CacheOptions
	one     cacheStore      // nil: the primary of the collection
	all     cacheCollection // nil: there is but one
}

// CacheOptions tune OpenCache. The zero value does.
type CacheOptions struct {
	// StoreTickets puts the tickets that are got with a credential of the cache
	// into it, so that they are got once for all processes. A ticket that cannot be
	// stored is used nevertheless.
	StoreTickets bool

	// OwnFile takes a file for one that is not there unless it is this user's own and
	// no link: for a name that nobody gave, in a folder where everybody puts files. Of
	// a folder of caches nobody else may be able to write to it either.
	OwnFile bool

	// Memory is where caches of type MEMORY are; nil: there are none.
	Memory *MemoryCaches

	// KCMSocket is where the daemon listens; "": DefaultKCMSocket.
	KCMSocket string
}

// DefaultKCMSocket is where Heimdal's and sssd's daemons listen.
const DefaultKCMSocket = "/var/run/.heim_org.h5l.kcm-socket"

// A cacheStore keeps one cache. What it returns, and what it is given, is the
// caller's to erase.
type cacheStore interface {
	String() string // with its type
	read(ctx context.Context) (*ccache, error)
	replace(ctx context.Context, c *ccache) error
	add(ctx context.Context, client ikrb5.Principal, cred *ccacheCred) error
	destroy(ctx context.Context) error
}

// A cacheCollection is several, of which one is the primary.
type cacheCollection interface {
	String() string
	primary(ctx context.Context) (cacheStore, error)
	members(ctx context.Context) ([]cacheStore, error)  // the primary first, if it is there
	create(ctx context.Context) (cacheStore, error)     // with a new name
	setPrimary(ctx context.Context, s cacheStore) error // which may not be there
}

// OpenCache returns the cache of that name. It looks for nothing yet. o may be nil.
// Error: Unavailable for an unknown type and for one that this system lacks.
func OpenCache(name string, o *CacheOptions) (*Cache, error) {
	c := new(Cache)
	if o != nil {
		c.options = *o
	}
	kind, rest, typed := strings.Cut(name, ":")
	if !typed || strings.ContainsAny(kind, `/\`) || len(kind) == 1 && os.PathSeparator == '\\' { // C:\path
		kind, rest = "FILE", name
	}
	var err error
	switch {
	case strings.Contains(name, "\x00") || len(name) > maxCacheName:
		err = errors.New("not a name")
	case kind == "FILE" || kind == "WRFILE":
		c.one = &fileCache{path: rest, own: c.options.OwnFile}
	case kind == "DIR":
		c.one, c.all, err = openDir(rest, c.options.OwnFile)
	case kind == "MEMORY" && c.options.Memory != nil:
		if c.all = c.options.Memory; rest != "" {
			c.one = &memoryCache{c.options.Memory, rest}
		}
	case kind == "KCM":
		socket := c.options.KCMSocket
		if socket == "" {
			socket = DefaultKCMSocket
		}
		c.one, c.all = openKCM(socket, rest)
	case kind == "KEYRING":
		c.one, c.all, err = openKeyring(rest)
	default:
		err = errors.New("a type of credential cache that is not supported")
	}
	if err != nil {
		return nil, credError(gss.Unavailable, fmt.Errorf("%.100q: %w", name, err))
	}
	return c, nil
}

const maxCacheName = 4096

// String is the cache's name with its type: as it was given to OpenCache, but for
// the "FILE:" that a path may lack.
func (c *Cache) String() string {
	if c.one != nil {
		return c.one.String()
	}
	return c.all.String()
}

// store is the one cache that is meant now.
func (c *Cache) store(ctx context.Context) (cacheStore, error) {
	if c.one != nil {
		return c.one, nil
	}
	s, err := c.all.primary(ctx)
	if err != nil {
		return nil, cacheError(err)
	}
	return s, nil
}

// cacheError is fileError for every kind of cache.
func cacheError(err error) error {
	if _, ok := errors.AsType[*gss.Error](err); ok {
		return err
	}
	return fileError(err)
}

// Credential returns a credential that initiates with the tickets that are in the
// cache now, as FromCCache does.
func (c *Cache) Credential(ctx context.Context) (*Credential, error) {
	s, err := c.store(ctx)
	if err != nil {
		return nil, err
	}
	data, err := s.read(ctx)
	if err != nil {
		return nil, cacheError(err)
	}
	defer data.erase()
	return c.credential(s, data)
}

func (c *Cache) credential(s cacheStore, data *ccache) (*Credential, error) {
	cred, err := credentialOf(data)
	if err == nil && c.options.StoreTickets {
		cred.shared.cache = s
	}
	return cred, err
}

// credentialOf makes a credential of what a cache holds. Errors: NoCred,
// CredentialsExpired.
func credentialOf(c *ccache) (*Credential, error) {
	s := &shared{principal: c.client, initiates: true}
	tickets := c.tickets()
	for _, t := range tickets {
		if t.end.After(s.expiry) {
			s.expiry = t.end
		}
	}
	if len(tickets) == 0 {
		return nil, credError(gss.NoCred, errors.New("krb5: no usable ticket in the credential cache"))
	}
	if !s.expiry.After(time.Now()) {
		for _, t := range tickets {
			t.key.Erase()
		}
		return nil, credError(gss.CredentialsExpired, fmt.Errorf("krb5: the last ticket ended %v", s.expiry.UTC()))
	}
	return newCredential(s, tickets...), nil
}

// Principal returns whose tickets the cache keeps, whether or not they are good.
func (c *Cache) Principal(ctx context.Context) (gss.Name, error) {
	s, err := c.store(ctx)
	if err != nil {
		return gss.Name{}, err
	}
	data, err := s.read(ctx)
	if err != nil {
		return gss.Name{}, cacheError(err)
	}
	defer data.erase()
	return mechName(data.client), nil
}

// Store makes the cache hold cred's tickets and nothing else (GSS_Store_cred, and
// what kinit does). See Mech.Login for a credential that has none yet. Error also:
// NoCred if there is no ticket.
func (c *Cache) Store(ctx context.Context, cred *Credential) error {
	s, err := c.store(ctx)
	if err != nil {
		return err
	}
	data := cred.shared.ccache()
	if data == nil {
		return credError(gss.NoCred, errNoTGT)
	}
	defer data.erase()
	if err := s.replace(ctx, data); err != nil {
		return cacheError(err)
	}
	return nil
}

// ccache is what s has got so far, in a version 4 cache; nil if that is nothing.
// The TGT is first, where others look for it.
func (s *shared) ccache() *ccache {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tickets) == 0 || len(s.principal.Name.Components) == 0 {
		return nil
	}
	c := &ccache{version: 4, client: s.principal}
	now, home := time.Now(), tgtName(s.principal.Realm, s.principal.Realm).String()
	if t := s.tickets[home]; t != nil {
		c.creds = append(c.creds, t.ccacheCred(s.principal))
	}
	for name, t := range s.tickets {
		if name != home && name == t.server.String() && !t.expired(now) { // under another name it is there again
			c.creds = append(c.creds, t.ccacheCred(s.principal))
		}
	}
	return c
}

// Destroy erases the cache, as kdestroy does.
func (c *Cache) Destroy(ctx context.Context) error {
	s, err := c.store(ctx)
	if err != nil {
		return err
	}
	if err := s.destroy(ctx); err != nil {
		return cacheError(err)
	}
	return nil
}

// Collection returns the caches of the collection that c is in, the primary first,
// as klist -l does; c alone, if it is in none.
func (c *Cache) Collection(ctx context.Context) ([]*Cache, error) {
	if c.all == nil {
		return []*Cache{c}, nil
	}
	list, err := c.all.members(ctx)
	if err != nil {
		return nil, cacheError(err)
	}
	var out []*Cache
	for _, s := range list {
		out = append(out, &Cache{options: c.options, one: s, all: c.all})
	}
	return out, nil
}

// New returns another cache in the collection that c is in, with a name that none
// has, to be filled by Store. It does not become the primary. Error also:
// Unavailable, if c is in no collection.
func (c *Cache) New(ctx context.Context) (*Cache, error) {
	if c.all == nil {
		return nil, credError(gss.Unavailable, errNoCollection)
	}
	s, err := c.all.create(ctx)
	if err != nil {
		return nil, cacheError(err)
	}
	return &Cache{options: c.options, one: s, all: c.all}, nil
}

// Switch makes c the primary cache of its collection, as kswitch does. Error also:
// Unavailable, if c is in no collection.
func (c *Cache) Switch(ctx context.Context) error {
	if c.all == nil {
		return credError(gss.Unavailable, errNoCollection)
	}
	s, err := c.store(ctx)
	if err == nil {
		err = c.all.setPrimary(ctx, s)
	}
	if err != nil {
		return cacheError(err)
	}
	return nil
}

// Source returns a Source that reads the cache again whenever it has changed, and
// follows the collection's primary. A file is looked at, anything else is asked for
// its contents, at each handshake.
func (c *Cache) Source() Source {
	s := &cacheSource{cache: c, turn: make(chan struct{}, 1)}
	return s.get
}

type cacheSource struct {
	cache *Cache

	// turn is held, by whoever has put a value in, while the cache is read: a daemon
	// may take its time, and others need not wait for longer than their contexts.
	turn chan struct{}
	name string
	info fs.FileInfo       // of a file
	sum  [sha256.Size]byte // of anything else
	cred *Credential
}

func (c *cacheSource) get(ctx context.Context) (*Credential, error) {
	s, err := c.cache.store(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, cacheError(ctx.Err())
	}
	same := c.cred != nil && c.name == s.String() && !c.cred.ended()
	var info fs.FileInfo
	if f, ok := s.(*fileCache); ok {
		if info, err = f.state(); err != nil {
			return nil, fileError(err)
		}
		if same && c.info != nil && sameFile(c.info, info) {
			if h := c.cred.Handle(); h != nil {
				return h, nil
			}
		}
		same = false
	}
	data, err := s.read(ctx)
	if err != nil {
		return nil, cacheError(err)
	}
	defer data.erase()
	b := data.append(nil)
	sum := sha256.Sum256(b)
	clear(b)
	if same && sum == c.sum {
		if h := c.cred.Handle(); h != nil {
			return h, nil
		}
	}
	cred, err := c.cache.credential(s, data)
	if err != nil {
		return nil, err
	}
	if c.cred != nil {
		c.cred.Close()
	}
	c.name, c.info, c.sum, c.cred = s.String(), info, sum, cred
	return cred.Handle(), nil
}

// sameFile reports whether nobody wrote between a and b.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
