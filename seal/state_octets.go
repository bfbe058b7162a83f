package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A State as octets, version 1:
//
//	"gss seal state" | u8 1 | u8 flags: 01 no Recipient had the context before
//	| u64 established, Unix s | u32 ns | u64 context's expiry, Unix ms, 2^63 - 1: none
//	| DER of the mechanism's OID | vec16 N(local) | vec16 N(peer)
//	| keys from local to peer | keys from peer to local
//	| u8 0 to 4 lanes × (u32 id, u32 highest count received), ids ascending
//	| SHA-256 of all before
//
//	keys = tag(32) | hdr(32) | u24 low | nodes of the tree × 32
//
// The nodes are those of the fewest subtrees that cover low to high, in order, so
// that low says how many there are; low = high + 1 with none. high follows from
// established and expiry. There is one encoding of a State.
const (
	stateMagic   = "gss seal state"
	stateVersion = 1
	stateFirst   = 1 // flag
	stateFixed   = len(stateMagic) + 2 + 8 + 4 + 8
)

// Append appends the State's octets to dst: about 1 KiB, and never more than 2 KiB
// without the names. They are secret. After Close it appends nothing.
func (s *State) Append(dst []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return dst
	}
	start := len(dst)
	local, errLocal := s.out.from.Export()
	peer, errPeer := s.out.to.Export()
	if errLocal != nil || errPeer != nil {
		return dst // cannot be: newLink exported them
	}
	b := slices.Grow(dst, stateFixed+len(local)+len(peer)+2048)
	b = append(b, stateMagic...)
	flags := byte(0)
	if s.first {
		flags |= stateFirst
	}
	b = append(b, stateVersion, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(s.out.established.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(s.out.established.Nanosecond()))
	b = appendUint64(b, s.out.expiry)
	b = s.out.mech.AppendDER(b)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(local))), local...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(peer))), peer...)
	b = s.out.appendKeys(b)
	b = s.in.appendKeys(b)
	b = append(b, byte(len(s.lanes)))
	for _, l := range s.lanes {
		b = binary.BigEndian.AppendUint32(b, l.id)
		b = binary.BigEndian.AppendUint32(b, l.count)
	}
	sum := sha256.Sum256(b[start:])
	return append(b, sum[:]...)
}

func (k *link) appendKeys(b []byte) []byte {
	b = append(append(b, k.tag[:]...), k.hdr[:]...)
	low := min(k.tree.low, k.tree.high+1)
	b = append(b, byte(low>>16), byte(low>>8), byte(low))
	for i := range k.tree.nodes {
		b = append(b, k.tree.nodes[i].key[:]...)
	}
	return b
}

// ParseState reads the octets of a State, and nothing else. It copies what it keeps.
// Error: DefectiveToken with cause ErrState.
func ParseState(b []byte) (*State, error) { return parseState(b, time.Now) }

func parseState(b []byte, now func() time.Time) (*State, error) {
	s := &State{now: now, out: new(link), in: new(link)}
	if !s.parse(b) {
		s.Close()
		return nil, fail("Import_state", "", gss.DefectiveToken, ErrState)
	}
	return s, nil
}

func (s *State) parse(octets []byte) bool {
	if len(octets) < stateFixed+sha256.Size {
		return false
	}
	sum := sha256.Sum256(octets[:len(octets)-sha256.Size])
	if [sha256.Size]byte(octets[len(octets)-sha256.Size:]) != sum {
		return false
	}
	b := cryptobyte.String(octets[:len(octets)-sha256.Size])
	var magic []byte
	var version, flags uint8
	var sec, expiry uint64
	var ns uint32
	var mech oid.OID
	var local, peer cryptobyte.String
	if !b.ReadBytes(&magic, len(stateMagic)) || string(magic) != stateMagic ||
		!b.ReadUint8(&version) || version != stateVersion || !b.ReadUint8(&flags) || flags&^stateFirst != 0 ||
		!b.ReadUint64(&sec) || sec > uint64(epochStart(lastEpoch)/1000) || !b.ReadUint32(&ns) || ns > 999_999_999 ||
		!b.ReadUint64(&expiry) || expiry > math.MaxInt64 || !oid.Read(&b, &mech) ||
		!b.ReadUint16LengthPrefixed(&local) || !b.ReadUint16LengthPrefixed(&peer) {
		return false
	}
	s.first = flags == stateFirst
	from, errFrom := gss.ParseName(local)
	to, errTo := gss.ParseName(peer)
	if errFrom != nil || errTo != nil {
		return false
	}
	k := link{mech: mech, from: from, to: to, hFrom: sha256.Sum256(local), hTo: sha256.Sum256(peer)}
	k.established, k.expiry = time.Unix(int64(sec), int64(ns)), int64(expiry)
	k.end = endOf(k.established, k.expiry)
	*s.out, *s.in = k, k
	s.in.from, s.in.to, s.in.hFrom, s.in.hTo = to, from, k.hTo, k.hFrom

	made := k.established.UnixMilli()
	return made >= skewMS && made <= k.end && epochOf(k.end+skewMS) < lastEpoch &&
		s.out.readKeys(&b, epochOf(made), epochOf(k.end)) &&
		s.in.readKeys(&b, epochOf(made-skewMS), epochOf(k.end+skewMS)) &&
		s.readLanes(&b) && b.Empty()
}

// readKeys reads keys whose tree may have kept all from first to high.
func (k *link) readKeys(b *cryptobyte.String, first, high uint32) bool {
	var low uint32
	if !b.CopyBytes(k.tag[:]) || !b.CopyBytes(k.hdr[:]) || !b.ReadUint24(&low) || low < first || low > high+1 {
		return false
	}
	k.tree = tree{low: low, high: high}
	for e := low; e <= high; {
		n := node{first: e}
		for e&(1<<n.height) == 0 && e+(2<<n.height)-1 <= high {
			n.height++
		}
		if !b.CopyBytes(n.key[:]) {
			return false
		}
		k.tree.nodes = append(k.tree.nodes, n)
		e += 1 << n.height
	}
	return true
}

func (s *State) readLanes(b *cryptobyte.String) bool {
	var n uint8
	if !b.ReadUint8(&n) || n > maxLanes {
		return false
	}
	for i := range int(n) {
		var l laneMark
		if !b.ReadUint32(&l.id) || !b.ReadUint32(&l.count) || i > 0 && l.id <= s.lanes[i-1].id {
			return false
		}
		s.lanes = append(s.lanes, l)
	}
	return true
}
