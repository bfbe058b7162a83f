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

// An answering is an acceptor that reads RESUME, whether a ticket is in it or a grant.
type answering struct {
	handshake
	o gss.AcceptOptions
}

// A claim is what a RESUME comes to, step by step.
type claim struct {
	*resume
	now         time.Time
	ticket      *ticket // that was shown, or what a grant is as one
	local, peer gss.Name

	a           *authenticator // prove
	info        gss.Info       // agree
	pub, secret []byte         // agree
}

// prove opens the authenticator with the ticket's secret, and moves on to TH1.
func (h *answering) prove(c *claim) bool {
	h.keys = newSchedule(c.kind, c.ticket.psk, h.m.der, c.head)
	p, err := open(h.keys.authKey(), c.auth)
	if err != nil {
		return false
	}
	var ok bool
	c.a, ok = parseAuthenticator(p)
	h.keys.authenticated(c.auth)
	return ok
}

// mine reports whether this acceptor answers to a name, by which inner was addressed. A
// credential without a name is for its own mechanism only.
func (h *answering) mine(n gss.Name, inner oid.OID) bool {
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
func (h *answering) bound(c *claim) bool {
	b := c.a.bind
	if c.ticket.tf&tfBound != 0 && b.present == 0 {
		return false
	}
	return b.equal(h.bind) || b.present == 0 && zero(b.hash) && h.o.BindingsOptional
}

// badBindings says that they differ, to whoever has the secret and nobody else.
func (h *answering) badBindings() ([]byte, gss.Context, error) {
	c, err := seal(h.keys.alertKey(), append([]byte{alertCode}, make([]byte, alertLen-1)...))
	if err != nil {
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	return append([]byte{tokBadCB}, c...), nil, h.fail(gss.BadBindings, nil)
}

// agree works out the context: its end, its flags, the shares. It fails if there can be none:
// with the error of gss.AcceptOptions.Check, or errShare.
func (h *answering) agree(c *claim) (err error) {
	end := c.now.Add(h.m.o.Life).Truncate(time.Millisecond)
	if c.ticket.end.Before(end) {
		end = c.ticket.end
	}
	c.info = gss.Info{Mech: h.m.oid, Local: c.local, Peer: c.peer, Flags: c.a.flags & c.ticket.flags & services, Expiry: end}
	if c.a.bind.present == 1 {
		c.info.Flags |= gss.Bound
	}
	if err = h.o.Check(c.info); err == nil {
		c.pub, c.secret, err = answer(c.group, c.share)
	}
	return err
}

// answer sends RESUMED, with the next ticket.
func (h *answering) answer(ctx context.Context, c *claim) ([]byte, gss.Context, error) {
	next := *c.ticket
	next.issued, next.end = c.now, c.info.Expiry
	if c.a.bind.present == 1 {
		next.tf |= tfBound
	}
	w := resumed{nr: make([]byte, nonceLen), share: c.pub}
	rand.Read(w.nr)
	if !h.fresh(ctx, c.a.time, c.now, c.ticket) {
		w.rf = rfConfirm
	}
	head := w.appendHead(make([]byte, 0, 1024))
	h.keys.agreed(c.secret, head)
	next.psk = h.keys.nextPSK()
	defer clear(next.psk)
	s := answered{time: c.now, flags: c.info.Flags & services, end: c.info.Expiry, bind: c.a.bind, ticket: h.m.o.Ring.seal(&next, c.now, h.m.o.Life)}
	reply, err := seal(h.keys.replyKey(), s.marshal())
	if err != nil {
		return nil, nil, h.fail(gss.Unavailable, err)
	}
	h.ms = h.keys.master(reply)
	sc, err := h.resumed(c.info, c.ticket)
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

// fresh reports whether the store vouches that this RESUME is new. One that is not
// taken because of the clock is struck all the same: or somebody could bring it again, when
// the clock has moved on or to a host with another, after its initiator has confirmed it.
func (h *answering) fresh(ctx context.Context, sent, now time.Time, t *ticket) bool {
	o := &h.m.o
	if o.Store == nil || o.Ring.keeper != nil && o.Ring.Domain() != o.StoreDomain {
		return false
	}
	from, until := sent.Add(-skew), sent.Add(skew)
	if t.issued.After(from) {
		from = t.issued
	}
	if until.After(t.end) { // after which it is good for nothing
		until = t.end
	}
	fits := now.Sub(sent).Abs() <= skew && !from.After(now)
	if from.After(now) {
		from = now
	}
	key := sha256.Sum256(append([]byte("gss reauth strike 1"), h.keys.th...))
	return o.Store.Strike(ctx, key, from, until) == nil && fits
}

// confirmed reads CONFIRM.
func (h *answering) confirmed(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	want := append([]byte{tokConfirm}, h.keys.confirmation(h.ms)...)
	if subtle.ConstantTimeCompare(in, want) != 1 {
		return nil, nil, h.fail(gss.DefectiveToken, errOpen)
	}
	sc := h.held
	h.held = nil
	return nil, sc, nil
}
