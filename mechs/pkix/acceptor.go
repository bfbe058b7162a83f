package pkix

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

var (
	errBusy   = errors.New("pkix: too many handshakes are under way, and this was the oldest")
	errCookie = errors.New("pkix: bad cookie")
	errSuite  = errors.New("pkix: no suite in common")
)

// An acceptor goes through first, perhaps second (after a retry), and last.
type acceptor struct {
	handshake
	options gss.AcceptOptions
	creds   []*Credential

	asked   *[sha256.Size]byte // fixed part of the M1 that was answered with MR
	slot    *slot              // in m.halfOpen, between M2 and M3
	local   gss.Name
	granted gss.Flags
}

// Close is gss.Handshake's.
func (h *acceptor) Close() error {
	h.alone()
	return h.handshake.Close()
}

// Step is gss.Handshake's; see handshake.Step. It is Unavailable if another
// handshake took the place of this one.
func (h *acceptor) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if !h.alone() {
		h.handshake.Close()
		return nil, nil, h.fail(gss.Unavailable, errBusy)
	}
	return h.handshake.Step(ctx, in)
}

// alone leaves m.halfOpen, and reports whether nobody else has touched h's secrets.
func (h *acceptor) alone() bool {
	s := h.slot
	h.slot = nil
	return s == nil || h.m.halfOpen.take(s)
}

// first takes an M1.
func (h *acceptor) first(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	inner, ok := unframe(in)
	if !ok {
		return nil, nil, h.defective()
	}
	m, ok := parseM1(inner)
	if !ok {
		return refusal(codeOther), nil, h.defective()
	}

	// The M1 after a retry may reach another handshake of the mechanism than the
	// one that asked for it: nothing is kept but the cookie.
	address := ""
	if h.m.peerAddress != nil {
		address = h.m.peerAddress(ctx)
	}
	if len(m.cookie) > 0 || h.asked != nil {
		return h.second(m, inner, address)
	}
	s := h.chooseSuite(m)
	if s == nil {
		return refusal(codeSuiteOrTarget), nil, h.fail(gss.Unavailable, errSuite)
	}
	if err := h.address(m.target); err != nil {
		return refusal(codeSuiteOrTarget), nil, err
	}
	if m.share(s.id) == nil || h.m.halfOpen.busy() {
		cookie := h.m.newCookie(s, s.sum(inner), address)
		fixed := fixedPart(m)
		h.asked = &fixed
		h.next = h.first
		return frame(marshalMR(s.id, cookie)), nil, nil
	}
	return h.answer(m, s, transcript(inner))
}

// second takes an M1 that follows an MR: one share, and a cookie of ours.
func (h *acceptor) second(m *m1, inner []byte, address string) ([]byte, gss.Context, error) {
	defective := func() ([]byte, gss.Context, error) {
		return refusal(codeOther), nil, h.fail(gss.DefectiveToken, errCookie)
	}
	if len(m.shares) != 1 {
		return defective()
	}
	s := h.m.suite(m.shares[0].suite)
	if s == nil {
		return defective()
	}
	sum, ok := h.m.checkCookie(s, m.cookie, address)
	if !ok || h.asked != nil && *h.asked != fixedPart(m) {
		return defective()
	}
	if err := h.address(m.target); err != nil {
		return refusal(codeSuiteOrTarget), nil, err
	}
	return h.answer(m, s, retryTranscript(sum, marshalMR(s.id, m.cookie), inner))
}

// fixedPart hashes what two M1 of a handshake have in common.
func fixedPart(m *m1) [sha256.Size]byte {
	fixed := *m
	fixed.shares, fixed.cookie = nil, nil
	b, _ := fixed.marshal() // it was parsed, so that it fits
	return sha256.Sum256(b)
}

// chooseSuite returns the suite to use: ours in our order, those with a share
// before those without.
func (h *acceptor) chooseSuite(m *m1) *suite {
	var without *suite
	for _, s := range h.m.suites {
		switch {
		case !slices.Contains(m.suites, s.id):
		case m.share(s.id) != nil:
			return s
		case without == nil:
			without = s
		}
	}
	return without
}

// address finds out who the initiator wants, and the credential for it.
func (h *acceptor) address(target []byte) error {
	if len(target) == 0 {
		h.cred, h.local = h.creds[0], h.creds[0].name
		return nil
	}
	name, err := gss.ParseName(target)
	if err != nil {
		return h.fail(gss.BadName, err)
	}
	if c, ok := canonical(name.Text); ok && c == name.Text && name.Mech == oid.PKIX {
		for _, cred := range h.creds {
			if cred.canBe(name.Text) {
				h.cred, h.local = cred, name
				return nil
			}
		}
	}
	return h.fail(gss.BadName, errProof)
}

// answer sends M2.
func (h *acceptor) answer(m *m1, s *suite, tr []byte) ([]byte, gss.Context, error) {
	h.granted = m.flags & can
	info := gss.Info{Mech: oid.PKIX, Local: h.local, Flags: h.flags(h.granted)}
	if err := h.options.Check(info); err != nil {
		return refusal(codeOther), nil, err
	}
	h.suite = s
	share, secret, err := s.respond(m.share(s.id))
	if err != nil {
		return refusal(codeOther), nil, h.fail(gss.DefectiveToken, err)
	}
	var random [randomLen]byte
	rand.Read(random[:])
	head := marshalM2Head(s.id, random[:], share)
	if err := h.agree(secret, tr, head); err != nil {
		return nil, nil, h.fail(gss.Failure, err)
	}
	e, err := h.prove(acceptorProof, h.granted, h.local)
	if err != nil {
		return refusal(codeOther), nil, err
	}
	h.next = h.last
	h.slot = h.m.halfOpen.add(h.hs, h.th)
	return frame(appendVec24(head, e)), nil, nil
}

// last takes M3, or what comes in its place. It answers nothing: an honest
// initiator has its context already and would not read it.
func (h *acceptor) last(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	inner, ok := unframe(in)
	if !ok {
		return nil, nil, h.defective()
	}
	switch inner[0] {
	case typeAlert:
		return nil, nil, h.alerted(inner)
	case typeError:
		return nil, nil, h.refused(inner)
	}
	e, ok := parseM3(inner)
	if !ok {
		return nil, nil, h.defective()
	}
	th2 := slices.Clone(h.th)
	initiator, err := h.verify(initiatorProof, e, func(p *proof) error {
		if p.flags != h.granted {
			return h.defective()
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if !h.bound(initiator.proof) {
		return nil, nil, h.fail(gss.BadBindings, nil)
	}
	info := gss.Info{Mech: oid.PKIX, Local: h.local, Peer: initiator.name, Flags: h.flags(h.granted)}
	if err := h.options.Check(info); err != nil {
		return nil, nil, err
	}
	c, err := h.established(initiator, info, th2)
	if err != nil {
		return nil, nil, err
	}
	return nil, c, nil
}

// alerted reads the alert, which only this handshake's initiator can have made.
func (h *acceptor) alerted(inner []byte) error {
	e, ok := parseAlert(inner)
	if !ok {
		return h.defective()
	}
	b, err := h.suite.open(h.hs, "i alert", h.th, e)
	if err != nil || !bytes.Equal(b, alertBindings[:]) {
		return h.defective()
	}
	return &gss.Error{Op: h.op, Mech: oid.PKIX, Major: gss.BadBindings, Remote: true}
}
