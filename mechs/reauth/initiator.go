package reauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/gsseal/gss"
)

// An initiator begins with RESUME if it has a ticket, else, and after REFUSED, with the
// inner mechanism's token.
type initiator struct {
	handshake
	o      gss.InitOptions
	target gss.Name

	pinned []gss.Credential // acquired, to be closed
	ids    []gss.Name       // who the initiator may be; empty: unknown, nothing is kept
	key    [32]byte         // of the cache
	entry  *entry           // being used
	asked  gss.Flags
	share  *share
	ni     []byte
}

// Initiate implements gss.Mechanism. Errors: those of the inner mechanism.
func (m *Mech) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	inner, err := m.inner.Initiate(target, o)
	if err != nil {
		return nil, err
	}
	h := &initiator{o: o.Resolved(), target: target}
	h.handshake = handshake{m: m, op: "Init_sec_context", next: h.start, bind: newBinding(h.o.Bindings), inner: inner}
	return h, nil
}

// Step is gss.Handshake's.
func (h *initiator) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.handshake.Step(ctx, in)
	if h.next == nil {
		h.forget()
	}
	return out, sc, err
}

// Close is gss.Handshake's.
func (h *initiator) Close() error {
	h.handshake.Close()
	h.forget()
	return nil
}

func (h *initiator) forget() {
	closeAll(h.pinned)
	h.pinned, h.share = nil, nil
	h.settle()
	if h.entry != nil {
		clear(h.entry.psk)
	}
}

// settle ends the time in which ni is outstanding.
func (h *initiator) settle() {
	if h.ni != nil {
		h.m.waits.remove(h.ni)
		h.ni = nil
	}
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
	b := []byte("gss reauth cache 1")
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

// ask returns the flags to ask for with e.
func (h *initiator) ask(e *entry) gss.Flags {
	return (h.o.Require | h.o.Request | gss.Integ) & services & e.flags
}

// resume sends RESUME.
func (h *initiator) resume(e *entry, now time.Time) ([]byte, gss.Context, error) {
	h.entry, h.asked = e, h.ask(e)
	target, err := e.peer.Export()
	if err != nil {
		return nil, nil, err
	}
	r := resume{kind: kindTicket, group: h.m.o.Group, ni: make([]byte, nonceLen), cred: e.ticket}
	if r.group == NoShare && e.tf&tfShare != 0 {
		r.group = X25519
	}
	rand.Read(r.ni)
	if h.share, r.share, err = newShare(r.group); err != nil {
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	head := r.appendHead(make([]byte, 0, 1024))
	h.keys = newSchedule(r.kind, e.psk, h.m.der, head)
	a := authenticator{time: now, flags: h.asked, bind: h.bind, target: target}
	auth, err := seal(h.keys.authKey(), a.marshal())
	if err != nil {
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	h.keys.authenticated(auth)
	h.ni = r.ni
	h.m.waits.add(h.ni)
	h.next = h.answered
	return gss.AppendToken(nil, h.m.oid, appendVec16(head, auth)), nil, nil
}

// answered reads the answer to RESUME.
func (h *initiator) answered(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	h.settle()
	switch {
	case len(in) == 1 && in[0] == tokRefused:
		h.m.o.Cache.refuse(h.entry.key, h.entry.ticket)
		h.keys.erase()
		return h.first(ctx)
	case len(in) > 1 && in[0] == tokBadCB:
		p, err := open(h.keys.alertKey(), in[1:])
		if err != nil || len(p) != alertLen || p[0] != alertCode || !zero(p[1:]) {
			return nil, nil, h.defective()
		}
		return nil, nil, &gss.Error{Op: h.op, Mech: h.m.oid, Major: gss.BadBindings, Remote: true}
	}
	r, ok := parseResumed(in)
	if !ok {
		return nil, nil, h.defective()
	}
	secret, err := h.share.secret(r.share)
	if err != nil {
		return nil, nil, h.fail(gss.DefectiveToken, err)
	}
	h.keys.agreed(secret, r.head)
	psk := h.keys.nextPSK()
	p, err := open(h.keys.replyKey(), r.reply)
	if err != nil {
		return nil, nil, h.fail(gss.DefectiveToken, err)
	}
	a, ok := parseAnswered(p)
	switch {
	case !ok || a.flags&^h.asked != 0 || a.end.After(h.entry.end):
		return nil, nil, h.defective()
	case !a.bind.equal(h.bind):
		return nil, nil, h.fail(gss.BadBindings, nil)
	}
	i := gss.Info{Local: h.entry.local, Peer: h.entry.peer, Initiator: true, Flags: a.flags, Expiry: a.end, Mech: h.m.oid}
	if h.bind.present == 1 {
		i.Flags |= gss.Bound
	}
	if err := h.o.Check(i); err != nil {
		return nil, nil, err
	}
	h.ms = h.keys.master(r.reply)
	sc, err := h.resumed(i, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(a.ticket) > 0 {
		e := *h.entry
		e.ticket, e.psk, e.end = bytes.Clone(a.ticket), psk, a.end
		e.uses, e.refusals = 0, 0
		h.m.o.Cache.put(&e, h.entry.ticket)
	}
	if r.rf&rfConfirm == 0 {
		return nil, sc, nil
	}
	return append([]byte{tokConfirm}, h.keys.confirmation(h.ms)...), sc, nil
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
	if err := h.keep(issue); err != nil {
		return nil, nil, err
	}
	sc := h.held
	h.held = nil
	return nil, sc, nil
}

// keep puts the ticket that came with a context of the inner mechanism into the cache.
func (h *initiator) keep(issue []byte) error {
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
