package reauth

import (
	"bytes"
	"container/list"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
)

// A Cache is an initiator's tickets. They are kept by target, by the identities that
// the initiator could have taken, and by whether bindings were given, so that one
// local user never arrives as another. A ticket with its secret and names takes at
// most 1 KiB; one that would be larger is not kept. Whoever reads it is its owner
// until the tickets end, as with a Kerberos credential cache.
//
// Tickets are for one use: one that was not used goes first. One that was, is used
// again if there is no other (a reply was lost, many connections are opened at once),
// which observers can link. It is safe for concurrent use.
type Cache struct {
	path string
	max  int

	mu      sync.Mutex
	order   *list.List // of *entry, the oldest first
	entries map[[32]byte][]*list.Element
}

// CacheOptions tune a Cache. The zero value is good.
type CacheOptions struct {
	// Entries is the most tickets that are kept; 0: 1024 in memory, 128 in a file,
	// which is written whole with every change. The oldest makes way. Negative: none
	// are kept, so that nothing is resumed.
	Entries int
}

const (
	maxEntry  = 1024 // octets of an entry
	perKey    = 4    // tickets for one target and identity
	fileTime  = 2 * time.Second
	refusals  = 2 // after which a ticket is forgotten
	keyOctets = 32
)

// An entry is a ticket and what its owner knows of it:
//
//	u8 1 ‖ u8 tf ‖ u8 uses ‖ u8 refusals ‖ u32 flags ‖ u64 end ‖ ticket ‖ psk(32) ‖ vec16 N(initiator) ‖ vec16 N(acceptor)
//
// Only the Cache writes to it, under its lock; take hands out copies. Nobody writes to a
// ticket.
type entry struct {
	key            [keyOctets]byte
	tf             byte
	uses, refusals uint8
	flags          gss.Flags
	end            time.Time
	ticket, psk    []byte
	local, peer    gss.Name
}

// NewCache returns an empty cache in memory.
func NewCache(o CacheOptions) *Cache {
	c := &Cache{max: o.Entries, order: list.New(), entries: make(map[[32]byte][]*list.Element)}
	if c.max == 0 {
		c.max = 1024
	}
	return c
}

// OpenCache returns the cache in the file at path, which is made when the first ticket
// comes. Several processes can use it at the same time; there is a lock file
// beside it. It must be the user's and nobody else's to read (mode 0600), or the
// error says so. One that is damaged counts as empty, and so does one that cannot
// be read or written later: clients then authenticate in full.
//
// It fails with errors.ErrUnsupported where there is no flock.
func OpenCache(path string, o CacheOptions) (*Cache, error) {
	if o.Entries == 0 {
		o.Entries = 128
	}
	o.Entries = min(o.Entries, maxFile/2/(maxEntry+keyOctets+2))
	c := NewCache(o)
	c.path = path
	return c, c.update(func() bool { return false })
}

// Len returns how many tickets there are, expired ones included.
func (c *Cache) Len() int {
	n := 0
	c.update(func() bool { n = c.order.Len(); return false })
	return n
}

// Clear forgets all tickets.
func (c *Cache) Clear() error {
	return c.update(func() bool { c.reset(); return true })
}

// update calls f with the lock held and, of a file, with what is in it; if f returns
// true the file is written.
func (c *Cache) update(f func() bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" {
		f()
		return nil
	}
	defer c.reset() // the file is the cache
	ctx, cancel := context.WithTimeout(context.Background(), fileTime)
	defer cancel()
	return updateFile(ctx, c.path, false, func(old []byte) []byte {
		c.parse(old)
		if f() {
			return c.marshal()
		}
		return nil
	})
}

// take returns the best ticket for key of those that fit, and counts its use. The copy
// is the caller's.
func (c *Cache) take(key [32]byte, now time.Time, fits func(*entry) bool) (found *entry) {
	if c.max < 0 {
		return nil
	}
	c.update(func() bool {
		var best *entry
		for _, el := range append([]*list.Element(nil), c.entries[key]...) {
			e := el.Value.(*entry)
			if !now.Before(e.end) {
				c.remove(el)
			} else if fits(e) && (best == nil || e.uses <= best.uses) {
				best = e // of equals, the newest
			}
		}
		if best == nil {
			return false
		}
		if best.uses < 255 {
			best.uses++
		}
		found = new(entry)
		*found = *best
		found.psk = bytes.Clone(best.psk) // tickets are never written to
		return true
	})
	return found
}

// put keeps e, in place of the ticket that was used up for it, which may be nil. It
// takes e over.
func (c *Cache) put(e *entry, used []byte) {
	if c.max < 0 || e.size() > maxEntry {
		return
	}
	c.update(func() bool {
		if el := c.lookup(e.key, used); el != nil {
			c.remove(el)
		}
		if same := c.entries[e.key]; len(same) >= perKey {
			c.remove(same[0])
		}
		for c.order.Len() >= c.max && c.max > 0 {
			c.remove(c.order.Front())
		}
		c.insert(e)
		return true
	})
}

// refuse counts a refusal of a ticket, and forgets it at the second one.
func (c *Cache) refuse(key [32]byte, ticket []byte) {
	c.update(func() bool {
		el := c.lookup(key, ticket)
		if el == nil {
			return false
		}
		e := el.Value.(*entry)
		if e.refusals++; e.refusals >= refusals {
			c.remove(el)
		}
		return true
	})
}

func (c *Cache) lookup(key [32]byte, ticket []byte) *list.Element {
	for _, el := range c.entries[key] {
		if bytes.Equal(el.Value.(*entry).ticket, ticket) {
			return el
		}
	}
	return nil
}

func (c *Cache) insert(e *entry) {
	c.entries[e.key] = append(c.entries[e.key], c.order.PushBack(e))
}

func (c *Cache) remove(el *list.Element) {
	e := c.order.Remove(el).(*entry)
	rest := c.entries[e.key]
	for i, x := range rest {
		if x == el {
			rest = append(rest[:i:i], rest[i+1:]...)
			break
		}
	}
	if len(rest) == 0 {
		delete(c.entries, e.key)
	} else {
		c.entries[e.key] = rest
	}
	clear(e.psk)
}

func (c *Cache) reset() {
	for c.order.Len() > 0 {
		c.remove(c.order.Front())
	}
}

func (e *entry) clone() *entry {
	x := *e
	x.psk, x.ticket = bytes.Clone(e.psk), bytes.Clone(e.ticket)
	return &x
}

func (e *entry) size() int {
	l, errL := e.local.Export()
	p, errP := e.peer.Export()
	if errL != nil || errP != nil {
		return maxEntry + 1
	}
	return 4 + 4 + 8 + ticketLen + keyLen + 2 + len(l) + 2 + len(p)
}

// The file is
//
//	"gss reauth tickets 1" ‖ (key(32) ‖ vec16 entry)* ‖ SHA-256 of all before
const cacheMagic = "gss reauth tickets 1"

func (c *Cache) marshal() []byte {
	b := make([]byte, 0, len(cacheMagic)+c.order.Len()*(maxEntry+keyOctets+2)+keyLen)
	b = append(b, cacheMagic...)
	for el := c.order.Front(); el != nil; el = el.Next() {
		e := el.Value.(*entry)
		local, _ := e.local.Export()
		peer, _ := e.peer.Export()
		b = append(b, e.key[:]...)
		b = binary.BigEndian.AppendUint16(b, uint16(e.size()))
		b = binary.BigEndian.AppendUint32(append(b, 1, e.tf, e.uses, e.refusals), uint32(e.flags))
		b = append(append(appendTime(b, e.end), e.ticket...), e.psk...)
		b = appendVec16(appendVec16(b, local), peer)
	}
	return append(b, hash(b)...)
}

// parse takes what is in the file; nothing if it is not good. c is empty.
func (c *Cache) parse(b []byte) {
	body, ok := checked(b, cacheMagic)
	s := cryptobyte.String(body)
	for ok && !s.Empty() && c.order.Len() < max(c.max, 1) {
		var rest, local, peer cryptobyte.String
		var version uint8
		var flags uint32
		e := new(entry)
		var okL, okP bool
		ok = s.CopyBytes(e.key[:]) && s.ReadUint16LengthPrefixed(&rest) && len(rest) <= maxEntry &&
			rest.ReadUint8(&version) && version == 1 && rest.ReadUint8(&e.tf) && rest.ReadUint8(&e.uses) && rest.ReadUint8(&e.refusals) &&
			rest.ReadUint32(&flags) && readTime(&rest, &e.end) && rest.ReadBytes(&e.ticket, ticketLen) && rest.ReadBytes(&e.psk, keyLen) &&
			rest.ReadUint16LengthPrefixed(&local) && rest.ReadUint16LengthPrefixed(&peer) && rest.Empty()
		if ok {
			e.local, okL = parseMN(local)
			e.peer, okP = parseMN(peer)
			ok = okL && okP
		}
		if !ok {
			break
		}
		e.flags = gss.Flags(flags)
		c.insert(e.clone())
	}
	if !ok {
		c.reset()
	}
}
