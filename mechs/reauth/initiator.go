package reauth

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/gsseal/gss"
)

// An initiator begins with RESUME if it has a ticket, else, and after REFUSED, with the
// inner mechanism's token.
type initiator struct {
	asking
	target gss.Name

	pinned []gss.Credential // acquired, to be closed
	ids    []gss.Name       // who the initiator may be; empty: unknown, nothing is kept
	key    [32]byte         // of the cache
}

// Initiate implements gss.Mechanism. Errors: those of the inner mechanism.
func (m *Mech) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	inner, err := m.inner.Initiate(target, o)
	if err != nil {
		return nil, err
	}
	h := &initiator{asking: asking{o: o.Resolved()}, target: target}
	h.handshake = handshake{m: m, op: "Init_sec_context", next: h.start, bind: newBinding(h.o.Bindings), inner: inner}
	return h, nil
}

// Step is gss.Handshake's.
func (h *initiator) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.asking.Step(ctx, in)
	if h.next == nil {
		h.unpin()
	}
	return out, sc, err
}

// Close is gss.Handshake's.
func (h *initiator) Close() error {
	h.asking.Close()
	h.unpin()
	return nil
}

func (h *initiator) unpin() {
	closeAll(h.pinned)
	h.pinned = nil
}

// start sends RESUME or the first inner token.
func (h *initiator) start(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) > 0 {
		return nil, nil, h.defective()
	}
	h.identify(ctx)
	now := h.m.o.Time()
	if len(h.ids) > 0 {
		if e := h.m.o.Cache.take(h.key, now, h.fits); e != nil {
			return h.resume(e, now)
		}
	}
	out, sc, err := h.first(ctx)
	if len(out) > 0 {
		out = gss.AppendToken(nil, h.m.oid, out)
	}
	return out, sc, err
}

// identify finds out who the initiator may be; ids stays empty if nobody knows.
func (h *initiator) identify(ctx context.Context) {
	cs := h.o.Credentials
	if len(cs) == 0 {
		var err error
		if cs, err = h.m.Acquire(ctx); err != nil {
			return // the inner mechanism says what is wrong, if anything is
		}
		h.pinned = cs
	}
	b := append(make([]byte, 0, 512), "gss reauth cache 1"...)
	for _, s := range []string{string(h.m.oid), string(h.target.Type), string(h.target.Mech), h.target.Text} {
		b = appendString(b, s)
	}
	b = append(b, h.bind.present)
	var ids []gss.Name
	for _, c := range cs {
		n := c.Name()
		if n.IsZero() {
			return
		}
		ids = append(ids, n)
		for _, s := range []string{string(c.Mech()), string(n.Mech), string(n.Type), n.Text} {
			b = appendString(b, s)
		}
	}
	h.ids, h.key = ids, sha256.Sum256(b)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// pin starts the inner mechanism again, with the acquired credentials: it must not take
// another user's after the tickets were chosen, or ask for them once more.
func (h *initiator) pin() error {
	if len(h.pinned) == 0 {
		return nil
	}
	o := h.o
	o.Credentials = slices.Clone(h.pinned)
	inner, err := h.m.inner.Initiate(h.target, &o)
	if err != nil {
		return err
	}
	h.inner.Close()
	h.inner = inner
	return nil
}

// fits reports whether a context resumed with e would be what is wanted.
func (h *initiator) fits(e *entry) bool {
	const full = gss.Deleg | gss.DelegPolicy | gss.DCEStyle | gss.Identify | gss.Anon
	want := h.o.Require | h.o.Request
	i := gss.Info{Mech: h.m.oid, Flags: h.ask(e) | gss.ProtReady}
	if h.bind.present == 1 {
		i.Flags |= gss.Bound
	}
	return want&full == 0 && h.o.Check(i) == nil && slices.Contains(h.ids, e.local)
}

// resume sends RESUME.
func (h *initiator) resume(e *entry, now time.Time) ([]byte, gss.Context, error) {
	group := h.m.o.Group
	if group == NoShare && e.tf&tfShare != 0 {
		group = X25519
	}
	target, err := e.peer.Export()
	if err != nil {
		return nil, nil, err
	}
	h.next = h.answered
	return h.send(e, &resume{kind: kindTicket, group: group, cred: e.ticket}, &authenticator{time: now, target: target})
}

// answered reads the answer to RESUME.
func (h *initiator) answered(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if h.refused(in) {
		h.m.o.Cache.refuse(h.entry.key, h.entry.ticket)
		return h.first(ctx)
	}
	return h.read(in)
}

// first sends the first inner token, not framed.
func (h *initiator) first(ctx context.Context) ([]byte, gss.Context, error) {
	if err := h.pin(); err != nil {
		return nil, nil, err
	}
	return h.forward(h.stepInner(ctx, tokFirst, nil))
}

// forward is what every step of the inner mechanism comes to: its context is held until the
// acceptor's last token.
func (h *initiator) forward(out []byte, sc gss.Context, err error) ([]byte, gss.Context, error) {
	if err != nil {
		return out, nil, err
	}
	h.held = sc
	if len(out) == 0 { // complete, and the acceptor did not say that it is
		return nil, nil, h.defective()
	}
	h.next = h.reply
	return out, nil, nil
}

// reply reads an inner token, or the last one.
func (h *initiator) reply(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) > 1 && in[0] == tokInner && h.held == nil {
		return h.forward(h.stepInner(ctx, tokInner, in[1:]))
	}
	tok, issue, ok := parseLast(in)
	if !ok || (h.held != nil) == (len(tok) > 0) {
		return nil, nil, h.defective()
	}
	if len(tok) > 0 {
		out, sc, err := h.stepInner(ctx, tokInner, tok)
		if err != nil {
			return out, nil, err
		}
		h.held = sc
		if sc == nil || len(out) > 0 { // but the acceptor is complete
			return nil, nil, h.defective()
		}
	}
	if err := h.keepIssue(issue); err != nil {
		return nil, nil, err
	}
	sc := h.held
	h.held = nil
	return nil, sc, nil
}

// keepIssue puts the ticket that came with a context of the inner mechanism into the cache.
func (h *initiator) keepIssue(issue []byte) error {
	if len(issue) == 0 {
		return nil
	}
	psk, key := ticketKeys(h.held)
	if psk == nil {
		return nil
	}
	p, err := open(key, issue)
	if err != nil {
		return h.fail(gss.DefectiveToken, err)
	}
	end, tf, tk, ok := parseIssue(p)
	if !ok {
		return h.defective()
	}
	i := h.held.Info()
	// A ticket is for handshakes with bindings, or for those without.
	if slices.Contains(h.ids, i.Local) && tf&tfBound == h.bind.present && tf&^(tfBound|tfShare) == 0 {
		h.m.o.Cache.put(&entry{key: h.key, tf: tf, flags: i.Flags & services, end: end, ticket: tk, psk: psk, local: i.Local, peer: i.Peer}, nil)
	}
	return nil
}
