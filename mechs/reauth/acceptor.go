package reauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// An acceptor answers RESUME, or carries the inner mechanism's tokens.
type acceptor struct {
	handshake
	o gss.AcceptOptions
}

// Accept implements gss.Mechanism. Errors: those of the inner mechanism.
func (m *Mech) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	inner, err := m.inner.Accept(o)
	if err != nil {
		return nil, err
	}
	h := &acceptor{o: o.Resolved()}
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
	if c, ok := sc.(gss.Claimer); !ok || !c.Claim(issueLabel) {
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
	h.keys = newSchedule(r.kind, t.psk, h.m.der, r.head)
	p, err := open(h.keys.authKey(), r.auth)
	if err != nil {
		return h.refuse()
	}
	a, ok := parseAuthenticator(p)
	if !ok || len(a.initiator) > 0 || subtle.ConstantTimeCompare(hash(a.target), t.acceptor) != 1 {
		return h.refuse()
	}
	local, ok := parseMN(a.target)
	if !ok || !h.mine(local, t.inner) {
		return h.refuse()
	}
	h.keys.authenticated(r.auth)
	if !h.bound(a.bind, t.tf) {
		c, err := seal(h.keys.alertKey(), append([]byte{alertCode}, make([]byte, alertLen-1)...))
		if err != nil {
			return nil, nil, h.fail(gss.Unavailable, err)
		}
		return append([]byte{tokBadCB}, c...), nil, h.fail(gss.BadBindings, nil)
	}
	end := now.Add(h.m.o.Life).Truncate(time.Millisecond)
	if t.end.Before(end) {
		end = t.end
	}
	i := gss.Info{Mech: h.m.oid, Local: local, Peer: t.initiator, Flags: a.flags & t.flags & services, Expiry: end}
	next := *t
	next.issued, next.end = now, end
	if a.bind.present == 1 {
		i.Flags |= gss.Bound
		next.tf |= tfBound
	}
	if h.o.Check(i) != nil { // what the ticket has not, the inner mechanism may have
		return h.refuse()
	}
	pub, secret, err := answer(r.group, r.share)
	if err != nil {
		return h.refuse()
	}
	w := resumed{nr: make([]byte, nonceLen), share: pub}
	rand.Read(w.nr)
	if !h.fresh(ctx, a.time, now, t.issued) {
		w.rf = rfConfirm
	}
	head := w.appendHead(make([]byte, 0, 1024))
	h.keys.agreed(secret, head)
	next.psk = h.keys.nextPSK()
	defer clear(next.psk)
	s := answered{time: now, flags: i.Flags & services, end: end, bind: a.bind, ticket: h.m.o.Ring.seal(&next, now, h.m.o.Life)}
	reply, err := seal(h.keys.replyKey(), s.marshal())
	if err != nil {
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	h.ms = h.keys.master(reply)
	sc, err := h.resumed(i, t)
	if err != nil {
		return nil, nil, err
	}
	out := appendVec16(head, reply)
	if w.rf == 0 {
		return out, sc, nil
	}
	h.held = sc
	h.next = h.confirmed
	return out, nil, nil
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

// mine reports whether this acceptor answers to a name, by which inner was addressed. A
// credential without a name is for its own mechanism only.
func (h *acceptor) mine(n gss.Name, inner oid.OID) bool {
	if h.m.o.Local != nil {
		return h.m.o.Local(n)
	}
	for _, c := range h.o.Credentials {
		if name := c.Name(); name == n || name.IsZero() && (c.Mech() == inner || c.Mech() == n.Mech) {
			return true
		}
	}
	return len(h.o.Credentials) == 0
}

// bound reports whether the initiator's bindings will do: they are ours, or there are none
// and that is allowed. A ticket of a context with bindings is good for nothing else.
func (h *acceptor) bound(b binding, tf byte) bool {
	if tf&tfBound != 0 && b.present == 0 {
		return false
	}
	return b.equal(h.bind) || b.present == 0 && zero(b.hash) && h.o.BindingsOptional
}

// fresh reports whether the store vouches that this RESUME is new.
func (h *acceptor) fresh(ctx context.Context, sent, now, issued time.Time) bool {
	o := &h.m.o
	if o.Store == nil || o.Ring.path != "" && o.Ring.Domain() != o.StoreDomain || now.Sub(sent).Abs() > skew {
		return false
	}
	from := sent.Add(-skew)
	if issued.After(from) {
		from = issued
	}
	key := sha256.Sum256(append([]byte("gss reauth strike 1"), h.keys.th...))
	return o.Store.Strike(ctx, key, from, sent.Add(skew)) == nil
}

// confirmed reads CONFIRM.
func (h *acceptor) confirmed(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	want := append([]byte{tokConfirm}, h.keys.confirmation(h.ms)...)
	if subtle.ConstantTimeCompare(in, want) != 1 {
		return nil, nil, h.fail(gss.DefectiveToken, errOpen)
	}
	sc := h.held
	h.held = nil
	return nil, sc, nil
}
