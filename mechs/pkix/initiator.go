package pkix

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// An initiator goes through start, answered (once more after a retry), and is done
// when it sends M3.
type initiator struct {
	handshake
	options gss.InitOptions
	target  gss.Name // zero: anyTarget decides

	hello   m1
	wire    []byte // M1 as it was sent last
	retried bool
	retry   []byte // M1 that was answered with MR: its hash makes the transcript
	mr      []byte
	keys    []*ephemeral // of every share that was sent
	key     *ephemeral   // of the share in wire
}

// Close is gss.Handshake's.
func (h *initiator) Close() error {
	h.key, h.keys = nil, nil
	return h.handshake.Close()
}

// start sends M1.
func (h *initiator) start(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	if len(in) > 0 {
		return nil, nil, h.defective()
	}
	rand.Read(h.hello.random[:])
	return h.greet()
}

func (h *initiator) greet() ([]byte, gss.Context, error) {
	// Mutual authentication, confidentiality and integrity are there in any case.
	h.hello.flags = (h.options.Require|h.options.Request)&can | gss.Mutual | gss.Conf | gss.Integ
	for _, s := range h.m.suites {
		h.hello.suites = append(h.hello.suites, s.id)
	}
	if !h.target.IsZero() {
		exported, err := h.target.Export()
		if err != nil {
			return nil, nil, err
		}
		h.hello.target = exported
	}
	return h.send(h.m.suites[0])
}

// send sends M1 with the one share of s.
func (h *initiator) send(s *suite) ([]byte, gss.Context, error) {
	h.key = nil
	for _, k := range h.keys {
		if k.s == s {
			h.key = k
		}
	}
	if h.key == nil {
		key, err := s.generate()
		if err != nil {
			return nil, nil, h.fail(gss.Failure, err)
		}
		h.key, h.keys = key, append(h.keys, key)
	}
	h.hello.shares = []keyShare{{s.id, h.key.share()}}
	wire, err := h.hello.marshal()
	if err != nil {
		return nil, nil, h.fail(gss.Failure, err)
	}
	h.wire = wire
	h.next = h.answered
	return frame(wire), nil, nil
}

func (h *initiator) answered(_ context.Context, in []byte) ([]byte, gss.Context, error) {
	inner, ok := unframe(in)
	if !ok {
		return refusal(codeOther), nil, h.defective()
	}
	switch inner[0] {
	case typeMR:
		return h.again(inner)
	case typeError:
		return nil, nil, h.refused(inner)
	}
	return h.conclude(inner)
}

// again answers MR.
func (h *initiator) again(mr []byte) ([]byte, gss.Context, error) {
	id, cookie, ok := parseMR(mr)
	s := h.m.suite(id)
	if !ok || s == nil || h.retried {
		return refusal(codeOther), nil, h.defective()
	}
	h.retried = true
	h.retry, h.mr = h.wire, bytes.Clone(mr)
	h.hello.cookie = bytes.Clone(cookie)
	return h.send(s)
}

// conclude checks M2 and sends M3, or the alert if all is well but the bindings.
func (h *initiator) conclude(inner []byte) ([]byte, gss.Context, error) {
	m, ok := parseM2(inner)
	if !ok {
		return refusal(codeOther), nil, h.defective()
	}
	if h.suite = h.key.s; m.suite != h.suite.id {
		return refusal(codeOther), nil, h.defective()
	}
	secret, err := h.key.finish(m.share)
	h.key, h.keys = nil, nil
	if err != nil {
		return refusal(codeOther), nil, h.fail(gss.DefectiveToken, err)
	}
	tr := transcript(h.wire)
	if h.retried {
		tr = retryTranscript(h.suite.sum(h.retry), h.mr, h.wire)
	}
	if err := h.agree(secret, tr, m.head); err != nil {
		return nil, nil, h.fail(gss.Failure, err)
	}
	acceptor, err := h.verify(acceptorProof, m.e, h.judge)
	if err != nil {
		return refusal(codeOther), nil, err
	}

	// From here on the peer has proven who it is, and what it is told is encrypted.
	if h.target.IsZero() && !h.m.anyTarget(acceptor.name) {
		return nil, nil, h.fail(gss.Unauthorized, errRefused)
	}
	th2 := slices.Clone(h.th)
	if !h.bound(acceptor.proof) {
		e, err := h.suite.seal(h.hs, "i alert", th2, alertBindings[:])
		if err != nil {
			return nil, nil, h.fail(gss.Failure, err)
		}
		return frame(append([]byte{typeAlert, byte(len(e))}, e...)), nil, h.fail(gss.BadBindings, nil)
	}
	granted := acceptor.proof.flags
	info := gss.Info{Mech: oid.PKIX, Local: h.cred.name, Peer: acceptor.name, Initiator: true, Flags: h.flags(granted)}
	if err := h.options.Check(info); err != nil {
		return nil, nil, err
	}
	e, err := h.prove(initiatorProof, granted, h.cred.name)
	if err != nil {
		return nil, nil, err
	}
	c, err := h.established(acceptor, info, th2)
	if err != nil {
		return nil, nil, err
	}
	return frame(appendVec24([]byte{typeM3}, e)), c, nil
}

// judge checks that the acceptor is the target, and granted no more than was asked.
func (h *initiator) judge(p *proof) error {
	switch {
	case p.flags&^h.hello.flags != 0:
		return h.defective()
	case h.target.IsZero(): // anyTarget is asked when the name has been proven
	case subtle.ConstantTimeCompare(p.name, h.hello.target) != 1:
		return h.fail(gss.BadMIC, errTarget)
	}
	return nil
}

// refused reads ME, which anybody can send.
func (h *handshake) refused(inner []byte) error {
	code, ok := parseError(inner)
	if !ok {
		return h.defective()
	}
	major, why := gss.Failure, "it failed"
	if code == codeSuiteOrTarget {
		major, why = gss.Unavailable, "no suite that it accepts, or not its name"
	}
	return &gss.Error{Op: h.op, Mech: oid.PKIX, Major: major, Minor: uint32(code), Remote: true, Err: fmt.Errorf("pkix: %s", why)}
}

// refusal is ME.
func refusal(code byte) []byte { return frame([]byte{typeError, code}) }
