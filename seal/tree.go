package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// Epochs are hours since 1970, 24 bits. Their keys are the leaves of a binary tree:
//
//	node("") = root    node(p | b) = HMAC(node(p), b)    E[e] = node(e, most significant bit first)
//
// so that any epoch is at most 24 hashes away, and the past can be erased: a node
// says nothing of its siblings.
const (
	treeHeight = 24
	lastEpoch  = 1<<treeHeight - 1
)

// epochOf returns the epoch of a time in Unix ms; the first or last one for what
// is outside them.
func epochOf(ms int64) uint32 { return uint32(min(max(ms/epochMS, 0), lastEpoch)) }

// epochStart returns the first instant of e in Unix ms.
func epochStart(e uint32) int64 { return int64(e) * epochMS }

// A tree keeps the fewest nodes that give the epochs from low to high and no
// others, in order.
type tree struct {
	low, high uint32
	nodes     []node
}

// A node gives the 1<<height epochs from first on.
type node struct {
	first  uint32
	height uint8
	key    [32]byte
}

func newTree(root *[32]byte, low, high uint32) tree {
	t := tree{low: low, high: high}
	t.keep(append(make([]node, 0, 1), node{0, treeHeight, *root}))
	return t
}

// keep replaces t's nodes with those below ns that give t's epochs, and erases ns.
func (t *tree) keep(ns []node) {
	var room [2 * treeHeight]node // no cover has more, so append leaves no copy behind
	out := room[:0]
	for i := range ns {
		out = cover(out, &ns[i], t.low, t.high)
	}
	t.nodes = append(make([]node, 0, len(out)), out...)
	clear(out)
	clear(ns)
}

// cover appends the fewest nodes below n, or n, that give n's epochs from low to
// high.
func cover(dst []node, n *node, low, high uint32) []node {
	last := n.first + (1<<n.height - 1)
	switch {
	case last < low || n.first > high:
		return dst
	case n.first >= low && last <= high:
		return append(dst, *n)
	}
	m := newHMAC(&n.key)
	for b := range uint32(2) {
		c := node{first: n.first + b<<(n.height-1), height: n.height - 1}
		step(m, byte(b), &c.key)
		dst = cover(dst, &c, low, high)
		clear(c.key[:])
	}
	return dst
}

// raise erases what gives epochs before low, for good.
func (t *tree) raise(low uint32) {
	if low <= t.low {
		return
	}
	t.low = low
	t.keep(t.nodes)
}

// leaf returns E[e], false if it was erased or never was there.
func (t *tree) leaf(e uint32) (key [32]byte, ok bool) {
	for i := range t.nodes {
		n := &t.nodes[i]
		if e < n.first || e-n.first >= 1<<n.height {
			continue
		}
		key = n.key
		for h := n.height; h > 0; h-- {
			step(newHMAC(&key), byte(e>>(h-1))&1, &key)
		}
		return key, true
	}
	return key, false
}

// erase overwrites all nodes.
func (t *tree) erase() {
	clear(t.nodes)
	t.nodes = nil
	t.low = lastEpoch
}

// newHMAC returns HMAC-SHA-256. Its copy of key goes to the heap in the caller's
// stead, for as long as it takes.
func newHMAC(key *[32]byte) hash.Hash {
	k := *key
	defer clear(k[:])
	return hmac.New(sha256.New, k[:])
}

// step sets out to HMAC(key of m, b).
func step(m hash.Hash, b byte, out *[32]byte) {
	m.Reset()
	m.Write([]byte{b})
	m.Sum(out[:0])
}
