package pkix

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
)

var (
	errProof    = errors.New("pkix: the certificate does not prove this name")
	errRefused  = errors.New("pkix: not an acceptor that may be any target")
	errTarget   = errors.New("pkix: not the name that was asked for")
	errFinished = errors.New("pkix: bad key confirmation")
)

// A handshake is what both sides have.
type handshake struct {
	m    *Mechanism
	op   string
	next func(ctx context.Context, in []byte) ([]byte, gss.Context, error) // nil: over

	cred *Credential
	cbp  byte
	cbh  [sha256.Size]byte

	suite *suite
	hs    []byte
	th    []byte // TH1, then TH2, then TH3
}

func (h *handshake) fail(major gss.Major, cause error) error {
	return &gss.Error{Op: h.op, Mech: oid.PKIX, Major: major, Err: cause}
}

func (h *handshake) defective() error { return h.fail(gss.DefectiveToken, nil) }

// Step is gss.Handshake's. A peer that proves nothing, or somebody else, is
// DefectiveToken, or BadMIC with the cause; only one that has proven who it is can
// be BadBindings.
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
		h.erase()
	}
	return out, sc, err
}

// Close is gss.Handshake's. A context has copies of what it needs.
func (h *handshake) Close() error {
	h.next = nil
	h.erase()
	return nil
}

func (h *handshake) erase() {
	clear(h.hs)
	clear(h.th)
	h.hs, h.th = nil, nil
}

// agree makes HS and TH1.
//
//	TH1 = H("gss pkix 1" ‖ TR ‖ M2 before vec24 E2)
func (h *handshake) agree(secret, transcript, m2head []byte) (err error) {
	h.th = h.suite.sum([]byte("gss pkix 1"), transcript, m2head)
	h.hs, err = h.suite.extract(secret)
	return err
}

// transcript returns TR for an M1 that was answered at once.
func transcript(m1 []byte) []byte { return slices.Concat(oid.PKIX.AppendDER(nil), m1) }

// retryTranscript returns TR with a retry; sum is H(M1) and again the second M1.
func retryTranscript(sum, mr, again []byte) []byte {
	return slices.Concat(oid.PKIX.AppendDER(nil), []byte{0xfe}, sum, mr, again)
}

// prove returns E of a proof, and moves on to the next transcript hash.
//
//	fin = HMAC(Expand(HS, "… fin" ‖ TH, h), H(TH ‖ P before fin))
//	TH' = H(TH ‖ P)
func (h *handshake) prove(who prover, flags gss.Flags, name gss.Name) ([]byte, error) {
	exported, err := name.Export()
	if err != nil {
		return nil, err
	}
	p := proof{flags: flags, cbp: h.cbp, cbh: h.cbh, name: exported, chain: h.cred.chain, ocsp: h.cred.ocsp}
	b, err := p.marshalIdentity()
	if err != nil {
		return nil, h.fail(gss.Failure, err)
	}
	sch, _ := schemeFor(h.cred.leaf.PublicKey, h.suite.hash)
	sig, err := sch.sign(h.cred.key, signed(h.suite, who.signs, h.th, b, sch))
	if err != nil {
		return nil, h.fail(gss.Failure, err)
	}
	b = append(b, byte(sch>>8), byte(sch), byte(len(sig)>>8), byte(len(sig)))
	b = append(b, sig...)
	fin, err := h.finish(who, b)
	if err != nil {
		return nil, err
	}
	b = pad(append(b, fin...))
	e, err := h.suite.seal(h.hs, who.encrypts, h.th, b)
	if err != nil {
		return nil, h.fail(gss.Failure, err)
	}
	if len(e) > maxE {
		return nil, h.fail(gss.Failure, errors.New("pkix: credential too large"))
	}
	h.th = h.suite.sum(h.th, b)
	return e, nil
}

func (h *handshake) finish(who prover, before []byte) ([]byte, error) {
	key, err := h.suite.expand(h.hs, who.finishes, h.th, h.suite.hash.Size())
	if err != nil {
		return nil, h.fail(gss.Failure, err)
	}
	defer clear(key)
	return h.suite.mac(key, h.suite.sum(h.th, before)), nil
}

// A peer is who the other side has proven to be.
type peer struct {
	name  gss.Name
	chain []*x509.Certificate
	proof *proof
}

// verify opens and checks the peer's E, in this order: it opens and parses; chain,
// usage, revocation; the certificate proves the name, and judge agrees;
// signature; key confirmation. Then it moves on to the next transcript hash. The
// bindings are not looked at.
func (h *handshake) verify(who prover, e []byte, judge func(*proof) error) (*peer, error) {
	b, err := h.suite.open(h.hs, who.encrypts, h.th, e)
	if err != nil {
		return nil, h.defective()
	}
	p, ok := parseProof(b, h.suite.hash.Size())
	if !ok {
		return nil, h.defective()
	}
	leaf, rest, err := parseChain(p.chain)
	if err != nil {
		return nil, h.fail(gss.DefectiveToken, err)
	}
	chain, err := h.m.verifyPeer(leaf, rest, p.ocsp, who == acceptorProof)
	if err != nil {
		return nil, h.fail(gss.BadMIC, err)
	}
	name, err := gss.ParseName(p.name)
	if err != nil || name.Mech != oid.PKIX {
		return nil, h.defective()
	}
	if c, ok := canonical(name.Text); !ok || c != name.Text {
		return nil, h.defective()
	}
	if !leaf.proves(name.Text) {
		return nil, h.fail(gss.BadMIC, errProof)
	}
	if err := judge(p); err != nil {
		return nil, err
	}
	if err := p.scheme.verify(leaf.PublicKey, signed(h.suite, who.signs, h.th, p.beforeScheme, p.scheme), p.sig); err != nil {
		return nil, h.fail(gss.BadMIC, err)
	}
	fin, err := h.finish(who, p.beforeFin)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(fin, p.fin) != 1 {
		return nil, h.fail(gss.BadMIC, errFinished)
	}
	h.th = h.suite.sum(h.th, b)
	return &peer{name, chain, p}, nil
}

// bound reports whether the peer's bindings are ours.
func (h *handshake) bound(p *proof) bool {
	return p.cbp == h.cbp && subtle.ConstantTimeCompare(p.cbh[:], h.cbh[:]) == 1
}

// flags returns those of a context whose sides have agreed on wire.
func (h *handshake) flags(wire gss.Flags) gss.Flags {
	wire |= gss.ProtReady
	if h.cbp == 1 {
		wire |= gss.Bound
	}
	return wire
}

// established returns the context. h.th is TH3 now, and th2 what it was before.
func (h *handshake) established(p *peer, info gss.Info, th2 []byte) (*Context, error) {
	ms, err := h.suite.expand(h.hs, "master", h.th, 32)
	if err != nil {
		return nil, h.fail(gss.Failure, err)
	}
	defer clear(ms)
	partial, err := h.suite.expand(h.hs, "prf partial", th2, 32)
	if err != nil {
		return nil, h.fail(gss.Failure, err)
	}
	defer clear(partial)
	var limit time.Time
	if h.m.maxLifetime > 0 {
		limit = h.m.now().Add(h.m.maxLifetime)
	}
	info.Expiry = expiry(limit, p.chain, []*x509.Certificate{h.cred.leaf.Certificate}, h.cred.rest)
	c, err := record.New(record.Params{
		Info: info, MS: ms, PartialKey: partial, Hash: h.suite.hash.New, AEAD: h.suite.aead, Now: h.m.now,
	})
	if err != nil {
		return nil, err
	}
	return &Context{c, p.chain}, nil
}

// A Context is what the mechanism establishes: a gss.AEADContext, gss.Claimer and
// gss.Attributed.
type Context struct {
	*record.Context
	chain []*x509.Certificate
}

// PeerCertificates returns the chain that proved the peer's name, from its
// certificate to the root. The certificates must not be changed.
func (c *Context) PeerCertificates() []*x509.Certificate { return slices.Clone(c.chain) }

// PeerAttributes yields the names in the peer's certificate as "uri", "mail",
// "upn", "dns" and "dn", all authenticated.
func (c *Context) PeerAttributes() iter.Seq2[string, gss.Attribute] {
	return func(yield func(string, gss.Attribute) bool) {
		names, err := readNames(c.chain[0])
		if err != nil {
			return
		}
		for kind, text := range names.all() {
			if !yield(kind, gss.Attribute{Value: []byte(text), Display: text, Authenticated: true}) {
				return
			}
		}
	}
}

var (
	_ gss.AEADContext = (*Context)(nil)
	_ gss.Claimer     = (*Context)(nil)
	_ gss.Attributed  = (*Context)(nil)
)
