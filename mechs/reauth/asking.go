package reauth

import (
	"context"
	"crypto/rand"

	"github.com/gsseal/gss"
)

// An asking is an initiator that sends RESUME, with a ticket or with a grant.
type asking struct {
	handshake
	o     gss.InitOptions
	entry *entry // being used, or what a grant is as one
	asked gss.Flags
	share *share
	ni    []byte
}

// Step is gss.Handshake's.
func (h *asking) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.handshake.Step(ctx, in)
	if h.next == nil {
		h.forget()
	}
	return out, sc, err
}

// Close is gss.Handshake's.
func (h *asking) Close() error {
	h.handshake.Close()
	h.forget()
	return nil
}

func (h *asking) forget() {
	h.share = nil
	h.settle()
	if h.entry != nil {
		clear(h.entry.psk)
	}
}

// settle ends the time in which ni is outstanding.
func (h *asking) settle() {
	if h.ni != nil {
		h.m.waits.remove(h.ni)
		h.ni = nil
	}
}

// ask returns the flags to ask for with e.
func (h *asking) ask(e *entry) gss.Flags {
	return (h.o.Require | h.o.Request | gss.Integ) & services & e.flags
}

// framing is room for what gss.AppendToken adds, with an OID of any usual length.
const framing = 64

// send sends r, whose kind, group and credential are there, with a, whose time and names
// are.
func (h *asking) send(e *entry, r *resume, a *authenticator) ([]byte, gss.Context, error) {
	h.entry, h.asked = e, h.ask(e)
	r.ni = make([]byte, nonceLen)
	rand.Read(r.ni)
	var err error
	if h.share, r.share, err = newShare(r.group); err != nil {
		h.next = nil
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	head := r.appendHead(make([]byte, 0, 1024))
	h.keys = newSchedule(r.kind, e.psk, h.m.der, head)
	a.flags, a.bind = h.asked, h.bind
	auth, err := seal(h.keys.authKey(), a.marshal())
	if err != nil {
		h.next = nil
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	h.keys.authenticated(auth)
	h.ni = r.ni
	h.m.waits.add(h.ni)
	head = appendVec16(head, auth)
	return gss.AppendToken(make([]byte, 0, len(head)+framing), h.m.oid, head), nil, nil
}

// refused reports whether the answer is REFUSED.
func (h *asking) refused(in []byte) bool {
	if len(in) != 1 || in[0] != tokRefused {
		return false
	}
	h.settle()
	h.keys.erase()
	return true
}

// read reads any other answer.
func (h *asking) read(in []byte) ([]byte, gss.Context, error) {
	h.settle()
	if len(in) > 1 && in[0] == tokBadCB {
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
	h.keep(a, psk)
	if r.rf&rfConfirm == 0 {
		return nil, sc, nil
	}
	return append([]byte{tokConfirm}, h.keys.confirmation(h.ms)...), sc, nil
}

// keep puts the ticket that came with the answer into the cache, in place of the one that
// was used.
func (h *asking) keep(a *answered, psk []byte) {
	if len(a.ticket) == 0 {
		return
	}
	e := *h.entry
	e.tf |= h.bind.present // tfBound
	e.ticket, e.psk, e.end = a.ticket, psk, a.end
	e.uses, e.refusals = 0, 0
	h.m.o.Cache.put(&e, h.entry.ticket)
}

var _ gss.Handshake = (*asking)(nil)
