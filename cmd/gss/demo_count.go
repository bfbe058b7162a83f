package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/reauth"
)

// publicKeyOps counts what a process does with public keys: signatures that it
// makes, chains of certificates that it verifies, keys that it agrees on.
type publicKeyOps struct{ signed, verified, agreed atomic.Int64 }

func (p *publicKeyOps) total() int64 { return p.signed.Load() + p.verified.Load() + p.agreed.Load() }

// pkix returns a mechanism that counts.
func (p *publicKeyOps) pkix(roots *x509.CertPool, cert tls.Certificate, c pkix.Config) (gss.Mechanism, error) {
	cert.PrivateKey = countedSigner{cert.PrivateKey.(crypto.Signer), &p.signed}
	cred, err := pkix.FromTLS(cert)
	if err != nil {
		return nil, err
	}
	c.Roots, c.Credential = roots, cred
	c.VerifyChain = func([]*x509.Certificate) error { p.verified.Add(1); return nil }
	m, err := pkix.New(c)
	if err != nil {
		return nil, err
	}
	return countedPKIX{m, p}, nil
}

type countedSigner struct {
	crypto.Signer
	n *atomic.Int64
}

func (s countedSigner) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.n.Add(1)
	return s.Signer.Sign(rand, digest, o)
}

// A countedPKIX counts key agreements: every handshake with certificates that takes
// a step has one.
type countedPKIX struct {
	*pkix.Mechanism
	ops *publicKeyOps
}

func (m countedPKIX) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	return m.counted(m.Mechanism.Initiate(target, o))
}

func (m countedPKIX) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	return m.counted(m.Mechanism.Accept(o))
}

func (m countedPKIX) counted(h gss.Handshake, err error) (gss.Handshake, error) {
	if err != nil {
		return nil, err
	}
	return &countedAgreement{Handshake: h, ops: m.ops}, nil
}

type countedAgreement struct {
	gss.Handshake
	ops  *publicKeyOps
	done bool
}

func (h *countedAgreement) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if !h.done {
		h.done = true
		h.ops.agreed.Add(1)
	}
	return h.Handshake.Step(ctx, in)
}

// A handshakeCount is what a client's handshake took.
type handshakeCount struct {
	trips   int           // round trips: its tokens, each of which is a call that the server answers
	took    time.Duration // from its start until the client has verified the server's last word
	resumed bool
	refused bool // the server did not honour a ticket
}

// A countedMech tells of every handshake that its initiators end, complete or not.
// ops counts the shares that they send to resume with.
type countedMech struct {
	*reauth.Mech
	ops   *publicKeyOps
	ended func(h handshakeCount, complete bool)
}

func (m *countedMech) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	start := time.Now()
	h, err := m.Mech.Initiate(target, o)
	if err != nil {
		return nil, err
	}
	return &countedHandshake{Handshake: h, m: m, start: start}, nil
}

type countedHandshake struct {
	gss.Handshake
	m        *countedMech
	start    time.Time
	count    handshakeCount
	complete bool
	closed   bool
}

// Tokens of package reauth begin with their type; RESUME has its group next.
const (
	reauthResume  = 0x11
	reauthRefused = 0x14
)

func (h *countedHandshake) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) == 1 && in[0] == reauthRefused {
		h.count.refused = true
	}
	out, sc, err := h.Handshake.Step(ctx, in)
	if len(out) > 0 {
		h.count.trips++
		if _, tok, err := gss.ParseToken(out); err == nil && len(tok) > 2 && tok[0] == reauthResume && tok[2] != 0 {
			h.m.ops.agreed.Add(2) // and the server's, which nobody else counts
		}
	}
	if sc != nil && err == nil {
		h.complete = true
		_, h.count.resumed = sc.(*reauth.Context)
	}
	return out, sc, err
}

func (h *countedHandshake) Close() error {
	if !h.closed {
		h.closed = true
		h.count.took = time.Since(h.start)
		h.m.ended(h.count, h.complete)
	}
	return h.Handshake.Close()
}
