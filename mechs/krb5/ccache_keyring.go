package krb5

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A keyringCollection is a keyring of caches in a kernel's keyring, as MIT lays it
// out:
//
//	anchor                 the session's, the user's, or the user's persistent keyring
//	  keyring _krb_NAME    the collection; _krb in the persistent keyring
//	    user krb_ccache:primary        u32 1 | data name of the primary cache
//	    keyring CACHE                  one cache
//	      user __krb5_princ__          its principal
//	      big_key or user SERVER       a credential, each as in a ccache of version 4
//	      user __krb5_time_offsets__   a clock's offset
type keyringCollection struct {
	anchor string // "session", "user", "persistent", "legacy"
	name   string
}

// Names of keys.
const (
	keyringPrefix     = "_krb_"
	keyringPersistent = "_krb"
	keyringPrimary    = "krb_ccache:primary"
	keyringPrincipal  = "__krb5_princ__"
	keyringOffsets    = "__krb5_time_offsets__"
	keyringUnique     = "krb_ccache_"
)

var (
	errKeyring      = errors.New("krb5: malformed credential cache in a keyring")
	errNoKeyring    = errors.New("there are no keyrings on this system")
	errThreadAnchor = errors.New("a keyring of a thread or of a process: each thread of a Go program would see another")
)

// openKeyring reads what follows "KEYRING:".
//
// A process keyring, too, is of no use: the kernel makes one for the thread that
// first asks, and only threads that this one starts inherit it.
func openKeyring(name string) (cacheStore, cacheCollection, error) {
	if !haveKeyrings {
		return nil, nil, errNoKeyring
	}
	c := &keyringCollection{anchor: "legacy", name: name}
	cache, one := "", false
	if anchor, rest, ok := strings.Cut(name, ":"); ok {
		c.anchor = anchor
		c.name, cache, one = strings.Cut(rest, ":")
	}
	switch c.anchor {
	case "session", "user", "legacy", "persistent":
	case "thread", "process":
		return nil, nil, errThreadAnchor
	default:
		return nil, nil, errors.New("a keyring with an unknown anchor")
	}
	if one && cache == "" {
		return nil, nil, errors.New("a cache without a name")
	}
	if one {
		return &keyringCache{c, cache}, c, nil
	}
	return nil, c, nil
}

func (c *keyringCollection) String() string { return "KEYRING:" + c.anchor + ":" + c.name }

// firstName is the name of the primary cache while nothing says what it is.
func (c *keyringCollection) firstName() string {
	if c.name == "" {
		return "tkt"
	}
	return c.name
}

// A keyringCache is one of them.
type keyringCache struct {
	in   *keyringCollection
	name string
}

func (k *keyringCache) String() string { return k.in.String() + ":" + k.name }

// legacy reports that programs from before there were collections look for the
// cache right in the session's keyring.
func (k *keyringCache) legacy() bool { return k.in.anchor == "legacy" && k.name == k.in.name }

// parseKeyringPrimary reads which cache is the primary.
func parseKeyringPrimary(b []byte) (string, error) {
	r := fileReader{b: b}
	version, name := r.u32(), string(r.data32())
	if !r.done() || version != 1 || name == "" || len(name) > maxCacheName || strings.Contains(name, "\x00") {
		return "", errKeyring
	}
	return name, nil
}

func appendKeyringPrimary(b []byte, name string) []byte {
	return appendData32(binary.BigEndian.AppendUint32(b, 1), name)
}

// A keyringPayload is a key of a cache: what it is called and what it holds.
type keyringPayload struct {
	description string
	payload     []byte
}

// parseKeyringCache puts a cache together.
func parseKeyringCache(keys []keyringPayload) (*ccache, error) {
	c, found := &ccache{version: 4}, false
	for _, k := range keys {
		var err error
		switch k.description {
		case keyringPrincipal:
			c.client, err = parseCCachePrincipal(k.payload)
			found = true
		case keyringOffsets:
		default:
			var cred ccacheCred
			if cred, err = parseCCacheCred(k.payload); err == nil {
				c.creds = append(c.creds, cred)
			}
		}
		if err != nil {
			c.erase()
			return nil, errKeyring
		}
	}
	if !found {
		c.erase()
		return nil, errNoCache
	}
	return c, nil
}

// read, and what follows, keep their goroutine on one thread, which possesses the
// collection meanwhile.
func (k *keyringCache) read(context.Context) (c *ccache, err error) {
	err = onThread(func() error {
		id, err := k.find()
		if err != nil {
			return err
		}
		keys, err := readKeyringCache(id)
		defer func() {
			for _, p := range keys {
				clear(p.payload)
			}
		}()
		if err == nil {
			c, err = parseKeyringCache(keys)
		}
		return err
	})
	return c, err
}

func (k *keyringCache) replace(_ context.Context, c *ccache) error {
	return onThread(func() error { return k.write(c) })
}

func (k *keyringCache) add(_ context.Context, client ikrb5.Principal, cred *ccacheCred) error {
	return onThread(func() error {
		id, err := k.find()
		if err != nil {
			return err
		}
		b, err := readNamedKey(id, keyringPrincipal)
		if err != nil {
			return err
		}
		if p, err := parseCCachePrincipal(b); err != nil {
			return errKeyring
		} else if !p.Equal(client) {
			return errOtherClient
		}
		return k.put(id, cred, true)
	})
}

func (k *keyringCache) destroy(context.Context) error { return onThread(k.unlink) }

func (c *keyringCollection) primary(context.Context) (s cacheStore, err error) {
	name := ""
	err = onThread(func() error {
		name, err = c.primaryName()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &keyringCache{c, name}, nil
}

func (c *keyringCollection) members(context.Context) (out []cacheStore, err error) {
	err = onThread(func() error {
		names, err := c.names()
		for _, n := range names {
			out = append(out, &keyringCache{c, n})
		}
		return err
	})
	return out, err
}

func (c *keyringCollection) create(context.Context) (s cacheStore, err error) {
	return &keyringCache{c, keyringUnique + rand.Text()}, nil
}

func (c *keyringCollection) setPrimary(_ context.Context, s cacheStore) error {
	return onThread(func() error { return c.setPrimaryName(s.(*keyringCache).name) })
}
