package conformance

import (
	"context"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
)

// broken is a toy mechanism with a fault. What a fault does not replace is the
// healthy toy's.
type broken struct {
	*toy.Krb
	f *fault
}

// A fault replaces methods. Each function gets the healthy object first.
type fault struct {
	name  string
	fails []string // cases that have to notice

	setup func(*Setup)

	initiate   func(m *toy.Krb, target gss.Name, o *gss.InitOptions) (gss.Handshake, error)
	accept     func(m *toy.Krb, o *gss.AcceptOptions) (gss.Handshake, error)
	attributes func(*toy.Krb) []oid.OID
	canonical  func(*toy.Krb, gss.Name) (gss.Name, error)
	imports    func(*toy.Krb, []byte) (gss.Context, error)

	step    func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error)
	closeHS func(h *brokenHandshake) error

	info   func(gss.Info) gss.Info
	wrap   func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error)
	unwrap func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error)
	mic    func(c *brokenContext, dst, msg []byte) ([]byte, error)
	verify func(c *brokenContext, msg, mic []byte) error
	prf    func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error)
	close  func(c *brokenContext) error
	claim  func(c *brokenContext, label string) bool
	export func(c *brokenContext) ([]byte, error)
	deleg  func(c *brokenContext) (gss.Credential, error)
	unaead func(c *brokenContext, dst, tok, ad []byte) ([]byte, gss.Level, error)
}

func (b *broken) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	f := (*toy.Krb).Initiate
	if b.f.initiate != nil {
		f = b.f.initiate
	}
	h, err := f(b.Krb, target, o)
	if err != nil {
		return nil, err
	}
	return &brokenHandshake{Handshake: h, f: b.f, initiator: true}, nil
}

func (b *broken) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	f := (*toy.Krb).Accept
	if b.f.accept != nil {
		f = b.f.accept
	}
	h, err := f(b.Krb, o)
	if err != nil {
		return nil, err
	}
	return &brokenHandshake{Handshake: h, f: b.f}, nil
}

func (b *broken) Attributes() []oid.OID {
	if b.f.attributes != nil {
		return b.f.attributes(b.Krb)
	}
	return b.Krb.Attributes()
}

func (b *broken) Canonicalize(ctx context.Context, n gss.Name) (gss.Name, error) {
	if b.f.canonical != nil {
		return b.f.canonical(b.Krb, n)
	}
	return b.Krb.Canonicalize(ctx, n)
}

func (b *broken) Import(state []byte) (gss.Context, error) {
	if b.f.imports != nil {
		return b.f.imports(b.Krb, state)
	}
	return b.Krb.Import(state)
}

type brokenHandshake struct {
	gss.Handshake
	f         *fault
	initiator bool
	steps     int
	kept      []byte // for faults to use
	last      *brokenContext
}

func (h *brokenHandshake) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	h.steps++
	if h.f.step != nil {
		return h.f.step(h, ctx, in)
	}
	return h.healthy(ctx, in)
}

func (h *brokenHandshake) healthy(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.Handshake.Step(ctx, in)
	if sc == nil {
		return out, nil, err
	}
	h.last = &brokenContext{full: sc.(full), f: h.f}
	return out, h.last, err
}

func (h *brokenHandshake) Close() error {
	if h.f.closeHS != nil {
		return h.f.closeHS(h)
	}
	return h.Handshake.Close()
}

// full is all that the toy's contexts are.
type full interface {
	gss.AEADContext
	gss.Claimer
	gss.Exporter
	gss.Delegator
}

type brokenContext struct {
	full
	f      *fault
	erased bool   // for faults to use
	kept   []byte // likewise
}

func (c *brokenContext) Info() gss.Info {
	if c.f.info != nil {
		return c.f.info(c.full.Info())
	}
	return c.full.Info()
}

func (c *brokenContext) Wrap(dst, msg []byte, l gss.Level) ([]byte, error) {
	if c.f.wrap != nil {
		return c.f.wrap(c, dst, msg, l)
	}
	return c.full.Wrap(dst, msg, l)
}

func (c *brokenContext) Unwrap(dst, tok []byte) ([]byte, gss.Level, error) {
	if c.f.unwrap != nil {
		return c.f.unwrap(c, dst, tok)
	}
	return c.full.Unwrap(dst, tok)
}

func (c *brokenContext) MIC(dst, msg []byte) ([]byte, error) {
	if c.f.mic != nil {
		return c.f.mic(c, dst, msg)
	}
	return c.full.MIC(dst, msg)
}

func (c *brokenContext) VerifyMIC(msg, mic []byte) error {
	if c.f.verify != nil {
		return c.f.verify(c, msg, mic)
	}
	return c.full.VerifyMIC(msg, mic)
}

func (c *brokenContext) PRF(key gss.PRFKey, in []byte, n int) ([]byte, error) {
	if c.f.prf != nil {
		return c.f.prf(c, key, in, n)
	}
	return c.full.PRF(key, in, n)
}

func (c *brokenContext) Close() error {
	if c.f.close != nil {
		return c.f.close(c)
	}
	return c.full.Close()
}

func (c *brokenContext) Claim(label string) bool {
	if c.f.claim != nil {
		return c.f.claim(c, label)
	}
	return c.full.Claim(label)
}

func (c *brokenContext) Export() ([]byte, error) {
	if c.f.export != nil {
		return c.f.export(c)
	}
	return c.full.Export()
}

func (c *brokenContext) Delegated() (gss.Credential, error) {
	if c.f.deleg != nil {
		return c.f.deleg(c)
	}
	return c.full.Delegated()
}

func (c *brokenContext) UnwrapAEAD(dst, tok, ad []byte) ([]byte, gss.Level, error) {
	if c.f.unaead != nil {
		return c.f.unaead(c, dst, tok, ad)
	}
	return c.full.UnwrapAEAD(dst, tok, ad)
}

// brokenSetup is a pair of mechanisms with a fault.
func brokenSetup(f *fault) Setup {
	s := Setup{
		Initiator: &broken{&toy.Krb{Party: toy.NewParty("alice")}, f},
		Acceptor:  &broken{&toy.Krb{Party: toy.NewParty("files")}, f},
		Target:    gss.Service("host", "files.example.org"),
	}
	if f.setup != nil {
		f.setup(&s)
	}
	return s
}
