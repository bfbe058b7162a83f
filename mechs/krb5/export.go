package krb5

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/window"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// An exported context is, with integers big-endian and vec16 for counted octets,
//
//	u8 1 | id(16) | u8 bits | u32 flags | u64 expiry, Unix ns; 0: never
//	| vec16 local name | vec16 peer name (exported form; empty: none)
//	| u32 etype | vec16 key | u32 etype | vec16 key of PRFPartial; empty: the same
//	| u64 next number to send | window of those received
//
// It is all in clear: who reads it has the context. The form is this package's own, and
// may change with its version.
const exportVersion = 1

const (
	exportInitiator      = 1 << 0
	exportAcceptorSubkey = 1 << 1
)

// maxState bounds a state before it is read: two names of 64 KiB.
const maxState = 1 << 18

// Export implements gss.Exporter. What is claimed and what was delegated does not
// travel. Calls that are in progress meanwhile fail with NoContext.
func (c *secContext) Export() ([]byte, error) {
	const op = "Export_sec_context"
	if err := c.usable(op); err != nil {
		return nil, err
	}
	local, err := exportName(c.info.Local)
	if err != nil {
		return nil, err
	}
	peer, err := exportName(c.info.Peer)
	if err != nil {
		return nil, err
	}
	if len(local) > 0xffff || len(peer) > 0xffff {
		return nil, c.fail(op, gss.Unavailable)
	}
	if !c.closed.CompareAndSwap(false, true) {
		return nil, c.fail(op, gss.NoContext)
	}
	key, partial := c.key.Bytes(), c.partial.Bytes()
	defer clear(key)
	defer clear(partial)
	c.Close() // and nobody makes a token any more
	if c.key == c.partial {
		partial = nil
	}
	b := make([]byte, 0, 256+len(local)+len(peer)+window.StateLen)
	b = append(b, exportVersion)
	b = append(b, make([]byte, 16)...)
	rand.Read(b[1:]) // never fails
	var bits byte
	if c.info.Initiator {
		bits |= exportInitiator
	}
	if c.sendFlags&flagAcceptorSubkey != 0 {
		bits |= exportAcceptorSubkey
	}
	b = binary.BigEndian.AppendUint32(append(b, bits), uint32(c.info.Flags))
	var expiry int64
	if !c.info.Expiry.IsZero() {
		expiry = c.info.Expiry.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(expiry))
	b = vec16(vec16(b, local), peer)
	b = vec16(binary.BigEndian.AppendUint32(b, uint32(c.key.EType())), key)
	b = vec16(binary.BigEndian.AppendUint32(b, uint32(c.partial.EType())), partial)
	b = binary.BigEndian.AppendUint64(b, c.sendSeq.Load())
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recv.AppendState(b), nil
}

func vec16(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
}

func exportName(n gss.Name) ([]byte, error) {
	if n.IsZero() {
		return nil, nil
	}
	return n.Export()
}

func importName(b []byte) (gss.Name, bool) {
	if len(b) == 0 {
		return gss.Name{}, true
	}
	n, err := gss.ParseName(b)
	return n, err == nil
}

// Import implements gss.Importer. It strikes the state in Options.Replay, so that none
// is imported twice with the same store (DuplicateToken). A store knows nothing of
// what was imported before it started, or with another: importers of one service share
// a store. Two contexts of one state never encrypt alike, as encryption here is
// randomized; but they number their messages alike, and each takes those of the peer
// once: whoever can give one state to two importers can replay. Errors: DefectiveToken;
// ContextExpired; Unavailable for an encryption type that Options.Config does not permit,
// or if the store cannot strike.
func (m *Mech) Import(state []byte) (gss.Context, error) {
	const op = "Import_sec_context"
	fail := func(major gss.Major, err error) (gss.Context, error) {
		return nil, &gss.Error{Op: op, Mech: oid.Krb5, Major: major, Err: err}
	}
	x, ok := parseExport(state)
	if !ok {
		return fail(gss.DefectiveToken, nil)
	}
	defer clear(x.key)
	defer clear(x.partial)
	now := time.Now()
	if !x.info.Expiry.IsZero() && now.After(x.info.Expiry) {
		return fail(gss.ContextExpired, nil)
	}
	if !m.config.permits(x.etype) || !m.config.permits(x.partialType) {
		return fail(gss.Unavailable, errNoEncType)
	}
	p := contextParams{info: x.info, initiator: x.info.Initiator, acceptorSubkey: x.acceptorSubkey, sendSeq: x.sendSeq}
	var err error
	if p.key, err = ikrb5.NewAnyKey(x.etype, x.key); err != nil {
		return fail(gss.DefectiveToken, err)
	}
	if p.partial = p.key; len(x.partial) > 0 {
		if p.partial, err = ikrb5.NewAnyKey(x.partialType, x.partial); err != nil {
			p.key.Erase()
			return fail(gss.DefectiveToken, err)
		}
	}
	until := x.info.Expiry
	if until.IsZero() {
		until = now.Add(24 * time.Hour)
	}
	hash := sha256.New()
	hash.Write([]byte("gss krb5 import 1"))
	hash.Write(x.id)
	if err = m.replay.Strike(context.Background(), [32]byte(hash.Sum(nil)), now, until); err != nil {
		p.key.Erase()
		p.partial.Erase()
		if errors.Is(err, strike.ErrSeen) {
			return fail(gss.DuplicateToken, err)
		}
		return fail(gss.Unavailable, err)
	}
	c := newContext(p)
	c.recv, c.imported = x.recv, true
	return c, nil
}

// An exported is a state that was split. It aliases it.
type exported struct {
	id             []byte
	info           gss.Info
	acceptorSubkey bool
	etype          ikrb5.EType
	partialType    ikrb5.EType
	key, partial   []byte
	sendSeq        uint64
	recv           window.Window
}

func parseExport(state []byte) (x exported, ok bool) {
	s := cryptobyte.String(state)
	var version, bits uint8
	var expiry uint64
	var flags, etype, partialType uint32
	var local, peer, key, partial cryptobyte.String
	if len(state) > maxState || !s.ReadUint8(&version) || version != exportVersion || !s.ReadBytes(&x.id, 16) ||
		!s.ReadUint8(&bits) || bits&^(exportInitiator|exportAcceptorSubkey) != 0 || !s.ReadUint32(&flags) || !s.ReadUint64(&expiry) ||
		!s.ReadUint16LengthPrefixed(&local) || !s.ReadUint16LengthPrefixed(&peer) ||
		!s.ReadUint32(&etype) || !s.ReadUint16LengthPrefixed(&key) || !s.ReadUint32(&partialType) || !s.ReadUint16LengthPrefixed(&partial) ||
		!s.ReadUint64(&x.sendSeq) || !x.recv.ReadState(&s) || !s.Empty() {
		return x, false
	}
	var okLocal, okPeer bool
	x.info.Local, okLocal = importName(local)
	x.info.Peer, okPeer = importName(peer)
	x.info.Mech, x.info.Flags, x.info.Initiator = oid.Krb5, gss.Flags(flags), bits&exportInitiator != 0
	x.acceptorSubkey = bits&exportAcceptorSubkey != 0
	if expiry != 0 {
		x.info.Expiry = time.Unix(0, int64(expiry))
	}
	x.etype, x.partialType, x.key, x.partial = ikrb5.EType(etype), ikrb5.EType(partialType), key, partial
	return x, okLocal && okPeer
}

var _ gss.Importer = (*Mech)(nil)
