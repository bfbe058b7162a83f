package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// bbolt follows whatever a file says: a damaged one makes it panic, in goroutines of
// its own too, read where nothing is, or go on without a part of the keys. So the
// file is read here before bbolt does. Its format, integers in the host's order,
// pages of one or more times the page size:
//
//	page:      u64 id, u16 kind, u16 count, u32 further pages that it takes, content
//	meta:      u32 magic, u32 version, u32 page size, u32 flags, u64 root page, u64 sequence,
//	           u64 freelist page, u64 pages, u64 transaction, u64 FNV-1a of what is before
//	freelist:  count × u64 page; count 0xFFFF: the first says how many others follow
//	branch:    count × (u32 key position, u32 key length, u64 page)
//	leaf:      count × (u32 flags, u32 key position, u32 key length, u32 value length)
//
// Pages 0 and 1 are metas, which transactions write in turn. Positions count from
// the element itself; a leaf's value follows its key. A leaf element with flag 1 is
// a bucket: its value is u64 root page, u64 sequence and, if the root page is 0, a
// leaf page.
const (
	pageHeader  = 16
	metaLen     = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	elementLen  = 16
	bucketLen   = 16
	noFreelist  = ^uint64(0)

	kindBranch   = 0x01
	kindLeaf     = 0x02
	kindFreelist = 0x10

	flagBucket = 1
)

var order = binary.NativeEndian

type meta struct {
	pageSize                   int64
	root, freelist, pages, txn uint64
}

func readMeta(f io.ReaderAt, off int64) (m meta, ok bool) {
	var b [pageHeader + metaLen]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return m, false
	}
	p := b[pageHeader:]
	h := fnv.New64a()
	h.Write(p[:56])
	if order.Uint32(p) != metaMagic || order.Uint32(p[4:]) != metaVersion || order.Uint64(p[56:]) != h.Sum64() {
		return m, false
	}
	m = meta{
		pageSize: int64(order.Uint32(p[8:])),
		root:     order.Uint64(p[16:]),
		freelist: order.Uint64(p[32:]),
		pages:    order.Uint64(p[40:]),
		txn:      order.Uint64(p[48:]),
	}
	return m, m.pageSize >= 512 && m.pageSize <= 1<<24 && m.pages >= 4 && m.pages < 1<<40
}

func damaged(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, a...)...)
}

// lastMeta returns the last transaction of a file of size octets. torn says that one
// of the two is not good: its commit was cut off, or it was damaged after that. bbolt
// goes back to the other without a word.
func lastMeta(f io.ReaderAt, size int64) (last meta, torn bool, err error) {
	m0, ok0 := readMeta(f, 0)
	pageSize := m0.pageSize
	if !ok0 {
		pageSize = int64(os.Getpagesize())
	}
	m1, ok1 := readMeta(f, pageSize)
	switch {
	case !ok0 && !ok1:
		return last, false, damaged("no transaction")
	case !ok0 || ok1 && m1.txn > m0.txn:
		last = m1
	default:
		last = m0
	}
	if last.pageSize != pageSize || last.pages > uint64(size/pageSize) {
		return last, false, damaged("too short")
	}
	return last, !ok0 || !ok1 || m0.txn+1 != m1.txn && m1.txn+1 != m0.txn, nil
}

// checkPages follows every page from m on: each is free, or is used once; keys are
// in order, and where they belong.
func checkPages(f io.ReaderAt, m meta) error {
	c := &checker{f: f, meta: m, used: make([]bool, m.pages)}
	c.used[0], c.used[1] = true, true
	if err := c.tree(m.root, nil, nil); err != nil {
		return err
	}
	if m.freelist == noFreelist {
		return nil // all others are free
	}
	if err := c.free(); err != nil {
		return err
	}
	for id, used := range c.used {
		if !used {
			return damaged("page %d is lost", id)
		}
	}
	return nil
}

type checker struct {
	f    io.ReaderAt
	meta meta
	used []bool
}

// claim notes that n pages from id on are used.
func (c *checker) claim(id, n uint64) error {
	if id >= c.meta.pages || n > c.meta.pages-id {
		return damaged("page %d is out of range", id)
	}
	for i := range n {
		if c.used[id+i] {
			return damaged("page %d is used twice", id+i)
		}
		c.used[id+i] = true
	}
	return nil
}

// page reads page id, and notes that it is used.
func (c *checker) page(id uint64) (p []byte, err error) {
	var h [pageHeader]byte
	if id < c.meta.pages {
		if _, err := c.f.ReadAt(h[:], int64(id)*c.meta.pageSize); err != nil {
			return nil, err
		}
	}
	n := 1 + uint64(order.Uint32(h[12:]))
	if err := c.claim(id, n); err != nil {
		return nil, err
	}
	if order.Uint64(h[:]) != id {
		return nil, damaged("page %d has another number", id)
	}
	p = make([]byte, int64(n)*c.meta.pageSize)
	_, err = c.f.ReadAt(p, int64(id)*c.meta.pageSize)
	return p, err
}

func kindOf(p []byte) int  { return int(order.Uint16(p[8:])) }
func countOf(p []byte) int { return int(order.Uint16(p[10:])) }

// tree checks the pages below id, whose keys are from low on and below high; nil: no
// limit.
func (c *checker) tree(id uint64, low, high []byte) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	switch kindOf(p) {
	case kindLeaf:
		return c.leaf(p, low, high)
	case kindBranch:
	default:
		return damaged("page %d is of no use here", id)
	}
	keys := make([][]byte, countOf(p)+1)
	if len(keys) == 1 {
		return damaged("page %d is empty", id)
	}
	for i := range len(keys) - 1 {
		e, ok := element(p, i)
		if !ok {
			return damaged("page %d is too short", id)
		}
		if keys[i], ok = part(e, order.Uint32(e), 0, order.Uint32(e[4:])); !ok {
			return damaged("a key of page %d", id)
		}
	}
	keys[len(keys)-1] = high
	if !ordered(keys[:len(keys)-1], low, high) {
		return damaged("page %d is out of order", id)
	}
	for i := range len(keys) - 1 {
		e, _ := element(p, i)
		if err := c.tree(order.Uint64(e[8:]), keys[i], keys[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) leaf(p, low, high []byte) error {
	keys := make([][]byte, countOf(p))
	for i := range keys {
		e, ok := element(p, i)
		if !ok {
			return damaged("a leaf is too short")
		}
		flags, pos, klen, vlen := order.Uint32(e), order.Uint32(e[4:]), order.Uint32(e[8:]), order.Uint32(e[12:])
		key, ok := part(e, pos, 0, klen)
		value, ok2 := part(e, pos, klen, vlen)
		if !ok || !ok2 || flags&^flagBucket != 0 {
			return damaged("a leaf's element")
		}
		keys[i] = key
		if flags == flagBucket {
			if err := c.bucket(value); err != nil {
				return err
			}
		}
	}
	if !ordered(keys, low, high) {
		return damaged("a leaf is out of order")
	}
	return nil
}

func (c *checker) bucket(v []byte) error {
	if len(v) < bucketLen {
		return damaged("a bucket")
	}
	if root := order.Uint64(v); root != 0 {
		return c.tree(root, nil, nil)
	}
	if v = v[bucketLen:]; len(v) < pageHeader || kindOf(v) != kindLeaf {
		return damaged("a small bucket")
	}
	return c.leaf(v, nil, nil)
}

// free claims the freelist and the pages in it.
func (c *checker) free() error {
	p, err := c.page(c.meta.freelist)
	if err != nil {
		return err
	}
	ids, n := p[pageHeader:], uint64(countOf(p))
	if n == 0xFFFF {
		n, ids = order.Uint64(ids), ids[8:]
	}
	if kindOf(p) != kindFreelist || n > uint64(len(ids)/8) {
		return damaged("freelist")
	}
	for i := range n {
		if err := c.claim(order.Uint64(ids[8*i:]), 1); err != nil {
			return err
		}
	}
	return nil
}

// element returns page p from its i-th element on.
func element(p []byte, i int) ([]byte, bool) {
	at := pageHeader + i*elementLen
	if at+elementLen > len(p) {
		return nil, false
	}
	return p[at:], true
}

// part returns n octets of e, skip after pos.
func part(e []byte, pos, skip, n uint32) ([]byte, bool) {
	from := uint64(pos) + uint64(skip)
	if from+uint64(n) > uint64(len(e)) {
		return nil, false
	}
	return e[from : from+uint64(n)], true
}

func ordered(keys [][]byte, low, high []byte) bool {
	for i, k := range keys {
		if i == 0 && low != nil && bytes.Compare(k, low) < 0 ||
			i > 0 && bytes.Compare(keys[i-1], k) >= 0 ||
			high != nil && bytes.Compare(k, high) >= 0 {
			return false
		}
	}
	return true
}

// verify compares the keys with what the state says about them.
func (f *file) verify() error {
	return f.db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(rootName) == nil {
			return nil
		}
		t, err := openTable(tx, 0)
		if err != nil {
			return err
		}
		return t.verify()
	})
}
