package toy

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
)

func params(i gss.Info, ms []byte) record.Params {
	return record.Params{Info: i, MS: ms, Hash: sha256.New, AEAD: record.AES256GCM}
}

// portable is a record.Context that can be exported and may hold a delegated
// credential. It remembers its master secret, which no real one should.
type portable struct {
	*record.Context
	ms       []byte
	deleg    *Cred
	imported bool
	received atomic.Uint64 // one more than the highest sequence number accepted
}

func newPortable(i gss.Info, ms []byte) (*portable, error) {
	rc, err := record.New(params(i, ms))
	if err != nil {
		return nil, err
	}
	return &portable{Context: rc, ms: bytes.Clone(ms)}, nil
}

// seq is where record writes it: u8 type, u64 sequence number.
func seq(tok []byte) uint64 { return binary.BigEndian.Uint64(tok[1:9]) }

func (c *portable) accepted(tok []byte) {
	for n := seq(tok) + 1; ; {
		old := c.received.Load()
		if old >= n || c.received.CompareAndSwap(old, n) {
			return
		}
	}
}

func (c *portable) Unwrap(dst, tok []byte) ([]byte, gss.Level, error) {
	return c.UnwrapAEAD(dst, tok, nil)
}

func (c *portable) UnwrapAEAD(dst, tok, ad []byte) ([]byte, gss.Level, error) {
	out, l, err := c.Context.UnwrapAEAD(dst, tok, ad)
	if err == nil || errors.Is(err, gss.GapToken) {
		c.accepted(tok)
	}
	return out, l, err
}

func (c *portable) VerifyMIC(msg, mic []byte) error {
	err := c.Context.VerifyMIC(msg, mic)
	if err == nil || errors.Is(err, gss.GapToken) {
		c.accepted(mic)
	}
	return err
}

func (c *portable) Claim(label string) bool { return !c.imported && c.Context.Claim(label) }

// Delegated makes portable a gss.Delegator.
func (c *portable) Delegated() (gss.Credential, error) {
	if c.deleg == nil {
		return nil, &gss.Error{Op: "Inquire_context", Mech: c.Info().Mech, Major: gss.NoCred}
	}
	d := *c.deleg
	return &d, nil
}

// Export makes portable a gss.Exporter.
func (c *portable) Export() ([]byte, error) {
	mic, err := c.MIC(nil, nil) // takes the next number, and fails if closed
	if err != nil {
		return nil, err
	}
	i := c.Info()
	b := cryptobyte.NewBuilder(nil)
	id := make([]byte, 16)
	rand.Read(id)
	b.AddBytes(id)
	b.AddBytes(c.ms)
	b.AddUint64(seq(mic))
	b.AddUint64(c.received.Load())
	b.AddUint32(uint32(i.Flags))
	if i.Initiator {
		b.AddUint8(1)
	} else {
		b.AddUint8(0)
	}
	for _, s := range []string{string(i.Mech), string(i.Local.Mech), i.Local.Text, string(i.Peer.Mech), i.Peer.Text} {
		addString(b, s)
	}
	state, err := b.Bytes()
	if err != nil {
		return nil, &gss.Error{Op: "Export_sec_context", Mech: i.Mech, Major: gss.Failure, Err: err}
	}
	c.Close()
	return state, nil
}

// importContext reads what Export wrote, once.
func (p *Party) importContext(state []byte) (gss.Context, error) {
	fail := &gss.Error{Op: "Import_sec_context", Mech: KrbOID, Major: gss.DefectiveToken}
	s := cryptobyte.String(state)
	var id, ms []byte
	var sent, received uint64
	var flags uint32
	var ini uint8
	var mech, lm, lt, pm, pt string
	if !s.ReadBytes(&id, 16) || !s.ReadBytes(&ms, 32) || !s.ReadUint64(&sent) || !s.ReadUint64(&received) ||
		!s.ReadUint32(&flags) || !s.ReadUint8(&ini) || !readString(&s, &mech) || !readString(&s, &lm) || !readString(&s, &lt) ||
		!readString(&s, &pm) || !readString(&s, &pt) || !s.Empty() || max(sent, received) > 1<<20 || oid.OID(mech) != KrbOID {
		return nil, fail
	}
	if !p.strike(append([]byte("import"), id...)) {
		fail.Major = gss.DuplicateToken
		return nil, fail
	}
	i := gss.Info{Mech: oid.OID(mech), Local: gss.Name{Mech: oid.OID(lm), Text: lt}, Peer: gss.Name{Mech: oid.OID(pm), Text: pt},
		Initiator: ini == 1, Flags: gss.Flags(flags)}
	c, err := newPortable(i, ms)
	if err != nil {
		return nil, err
	}
	c.imported = true
	// record has no way to begin later: play the past. A number that was skipped
	// counts as received.
	i.Initiator = !i.Initiator
	peer, err := newPortable(i, ms)
	if err != nil {
		return nil, err
	}
	defer peer.Close()
	for range sent {
		c.MIC(nil, nil)
	}
	for range received {
		mic, _ := peer.MIC(nil, nil)
		c.VerifyMIC(nil, mic)
	}
	return c, nil
}
