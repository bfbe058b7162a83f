package reauth

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// An acceptor answers RESUME, or carries the inner mechanism's tokens.
type acceptor struct{ answering }

// Accept implements gss.Mechanism. Errors: those of the inner mechanism.
func (m *Mech) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	inner, err := m.inner.Accept(o)
	if err != nil {
		return nil, err
	}
	h := &acceptor{answering{o: o.Resolved()}}
	h.handshake = handshake{m: m, op: "Accept_sec_context", next: h.start, bind: newBinding(h.o.Bindings), inner: inner}
	return h, nil
}

// start reads the initiator's first token.
func (h *acceptor) start(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	mech, tok, err := gss.ParseToken(in)
	switch {
	case err != nil || mech != h.m.oid || len(tok) < 2:
		return nil, nil, h.defective()
	case tok[0] == tokFirst:
		return h.forward(ctx, tok[1:])
	}
	r, ok := parseResume(tok)
	if !ok || r.kind != kindTicket {
		return nil, nil, h.defective()
	}
	return h.resume(ctx, r)
}

// afterRefused reads the first inner token, which is not framed then.
func (h *acceptor) afterRefused(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) < 2 || in[0] != tokFirst {
		return nil, nil, h.defective()
	}
	return h.forward(ctx, in[1:])
}

// later reads any other inner token.
func (h *acceptor) later(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) < 2 || in[0] != tokInner {
		return nil, nil, h.defective()
	}
	return h.forward(ctx, in[1:])
}

// forward feeds the inner mechanism. When that is complete, a ticket goes out with the last
// token.
func (h *acceptor) forward(ctx context.Context, tok []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.stepInner(ctx, tokInner, tok)
	switch {
	case err != nil:
		return out, nil, err
	case sc == nil:
		h.next = h.later
		return out, nil, nil
	}
	if len(out) > 0 {
		out = out[1:]
	}
	return appendLast(out, h.issue(sc)), sc, nil
}

// issueLabel is claimed on a context: reauth within reauth is handed one that has its
// ticket, and two issues would be encrypted under one key.
const issueLabel = "gss reauth 1 issue"

// issue returns the encrypted ticket of a context of the inner mechanism; nil if it gets
// none.
func (h *acceptor) issue(sc gss.Context) []byte {
	if c, ok := sc.(gss.Claimer); !ok || !c.Claim(issueLabel) || sc.Info().Mech == oid.Introduced { // that has tickets of its own
		return nil
	}
	psk, key := ticketKeys(sc)
	if psk == nil {
		return nil
	}
	defer clear(psk)
	i, now := sc.Info(), h.m.o.Time()
	local, err := i.Local.Export()
	if err != nil {
		return nil
	}
	t := ticket{flags: i.Flags & services, authTime: now, issued: now, end: now.Add(h.m.o.Life), psk: psk, acceptor: hash(local),
		inner: i.Mech, initiator: i.Peer}
	if c, ok := sc.(*Context); ok { // resumed within: that was not in full
		t.authTime = c.authTime
	}
	if !i.Expiry.IsZero() && i.Expiry.Before(t.end) {
		t.end = i.Expiry
	}
	t.end = t.end.Truncate(time.Millisecond)
	if i.Flags.Has(gss.Bound) {
		t.tf |= tfBound
	}
	if h.m.o.RequireShare {
		t.tf |= tfShare
	}
	if h.m.o.Authorization != nil {
		if t.app, err = h.m.o.Authorization(sc); err != nil {
			return nil
		}
	}
	b := h.m.o.Ring.seal(&t, now, h.m.o.Life)
	if b == nil {
		return nil
	}
	c, err := seal(key, appendIssue(t.end, t.tf, b))
	if err != nil {
		return nil
	}
	return c
}

// refuse says nothing of the reason. The inner mechanism is next.
func (h *acceptor) refuse() ([]byte, gss.Context, error) {
	h.keys.erase()
	h.next = h.afterRefused
	return []byte{tokRefused}, nil, nil
}

// resume answers RESUME. Nothing that the peer has not proven to possess is told apart;
// whoever has opened the authenticator gets to know that the bindings differ.
func (h *acceptor) resume(ctx context.Context, r *resume) ([]byte, gss.Context, error) {
	now := h.m.o.Time()
	t, ok := h.admit(r, now)
	if !ok {
		return h.refuse()
	}
	defer clear(t.psk)
	c := &claim{resume: r, now: now, ticket: t, peer: t.initiator}
	if !h.prove(c) || len(c.a.initiator) > 0 || subtle.ConstantTimeCompare(hash(c.a.target), t.acceptor) != 1 {
		return h.refuse()
	}
	if c.local, ok = parseMN(c.a.target); !ok || !h.mine(c.local, t.inner) {
		return h.refuse()
	}
	if !h.bound(c) {
		return h.badBindings()
	}
	if h.agree(c) != nil { // what the ticket has not, the inner mechanism may have
		return h.refuse()
	}
	return h.answer(ctx, c)
}

// admit opens a ticket and looks at all that can be looked at before the authenticator.
func (h *acceptor) admit(r *resume, now time.Time) (*ticket, bool) {
	o := &h.m.o
	t, ok := o.Ring.open(r.cred, now, o.Life)
	if !ok {
		return nil, false
	}
	ok = reaches(h.m.inner, t.inner, maxDepth) && now.Before(t.end) &&
		t.tf&^(tfBound|tfShare) == 0 && len(t.introducer) == 0 &&
		(o.Revoked == nil || !o.Revoked(t.initiator, t.authTime)) &&
		r.group <= P256 && (r.group != NoShare || t.tf&tfShare == 0 && !o.RequireShare) &&
		!h.m.waits.has(r.ni)
	if !ok {
		clear(t.psk)
	}
	return t, ok
}
