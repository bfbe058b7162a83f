package pkix

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"slices"
	"sync/atomic"

	"github.com/gsseal/gss"
)

// What tests of package pkix_test need to be hostile. (They cannot be in this
// package, as package pkixtest imports it.)

// Fork returns a copy of a handshake that waits for its peer's last token.
func Fork(h gss.Handshake) gss.Handshake {
	switch h := h.(type) {
	case *initiator:
		c := *h
		c.next = c.answered
		c.keys = slices.Clone(h.keys)
		return &c
	case *acceptor:
		c := *h
		c.hs, c.th = bytes.Clone(h.hs), bytes.Clone(h.th)
		c.slot = nil
		c.next = c.last
		return &c
	}
	panic("not a handshake of this package")
}

// Forge returns tok, an M2 or M3 for victim, with another proof in it: what change
// makes of the one that was there and of fin, which computes a proof's confirmation
// from what comes before it.
func Forge(victim gss.Handshake, tok []byte, change func(p []byte, fin func(before []byte) []byte) []byte) []byte {
	var h *handshake
	var who prover
	var head, e []byte
	inner, _ := unframe(tok)
	switch v := Fork(victim).(type) {
	case *initiator:
		m, _ := parseM2(inner)
		h, who, head, e = &v.handshake, acceptorProof, m.head, m.e
		h.suite = v.key.s
		secret, err := v.key.finish(m.share)
		if err != nil || h.agree(secret, transcript(v.wire), head) != nil {
			panic(err)
		}
	case *acceptor:
		h, who, head = &v.handshake, initiatorProof, []byte{typeM3}
		e, _ = parseM3(inner)
	}
	p, err := h.suite.open(h.hs, who.encrypts, h.th, e)
	if err != nil {
		panic(err)
	}
	p = change(p, func(before []byte) []byte {
		f, err := h.finish(who, before)
		if err != nil {
			panic(err)
		}
		return f
	})
	if e, err = h.suite.seal(h.hs, who.encrypts, h.th, p); err != nil {
		panic(err)
	}
	return frame(appendVec24(bytes.Clone(head), e))
}

// FinAt returns where the confirmation of a proof begins.
func FinAt(p []byte, size int) int {
	q, ok := parseProof(p, size)
	if !ok {
		panic("no proof")
	}
	return len(q.beforeFin)
}

// Lie makes an initiator say that it is name.
func Lie(h gss.Handshake, name gss.Name) {
	i := h.(*initiator)
	c := *i.cred
	c.name = name
	i.cred = &c
}

// AnswerAs returns the M2 of an acceptor that says it is name, whoever was asked for.
func AnswerAs(h gss.Handshake, tok []byte, name gss.Name) ([]byte, error) {
	a := h.(*acceptor)
	inner, _ := unframe(tok)
	m, _ := parseM1(inner)
	a.cred, a.local = a.creds[0], name
	out, _, err := a.answer(m, a.m.suites[0], transcript(inner))
	return out, err
}

// AnswerMore returns the M2 of an acceptor that grants what was not asked for.
func AnswerMore(h gss.Handshake, tok []byte) ([]byte, error) {
	a := h.(*acceptor)
	inner, _ := unframe(tok)
	m, _ := parseM1(inner)
	m.flags = can
	a.cred, a.local = a.creds[0], a.creds[0].name
	if err := a.address(m.target); err != nil {
		return nil, err
	}
	out, _, err := a.answer(m, a.m.suites[0], transcript(inner))
	return out, err
}

// Prove returns the M3 that an initiator sends after m2 if change may have its way
// with flags and bindings.
func Prove(h gss.Handshake, tok []byte, change func(flags *gss.Flags, cbp *byte, cbh []byte)) ([]byte, error) {
	i := h.(*initiator)
	inner, _ := unframe(tok)
	m, _ := parseM2(inner)
	i.suite = i.key.s
	secret, err := i.key.finish(m.share)
	if err != nil {
		return nil, err
	}
	if err := i.agree(secret, transcript(i.wire), m.head); err != nil {
		return nil, err
	}
	p, err := i.verify(acceptorProof, m.e, i.judge)
	if err != nil {
		return nil, err
	}
	flags := p.proof.flags
	change(&flags, &i.cbp, i.cbh[:])
	e, err := i.prove(initiatorProof, flags, i.cred.name)
	return frame(appendVec24([]byte{typeM3}, e)), err
}

// Rebind gives a handshake other bindings.
func Rebind(h gss.Handshake, bindings []byte) {
	a := h.(*acceptor)
	a.cbp, a.cbh = gss.HashBindings(bindings)
}

// Unchecked is FromTLS for what that refuses. c.Leaf has to be there, and does not
// expire on this side.
func Unchecked(c tls.Certificate, name string) *Credential {
	leaf := *c.Leaf
	leaf.NotAfter = leaf.NotAfter.AddDate(100, 0, 0)
	names, _ := readNames(&leaf)
	return &Credential{
		name: mechName(name), leaf: &certificate{&leaf, names}, chain: c.Certificate, ocsp: c.OCSPStaple,
		key: c.PrivateKey.(crypto.Signer), closed: new(atomic.Bool),
	}
}

// ChangeM1 returns an M1 with its fields changed, and framed.
func ChangeM1(tok []byte, change func(suites []Suite, shares map[Suite][]byte, cookie []byte) ([]Suite, [][]byte, []Suite, []byte)) []byte {
	inner, _ := unframe(tok)
	m, ok := parseM1(bytes.Clone(inner))
	if !ok {
		panic("no M1")
	}
	shares := make(map[Suite][]byte)
	for _, s := range m.shares {
		shares[s.suite] = s.share
	}
	list, values, ids, cookie := change(m.suites, shares, m.cookie)
	m.suites, m.cookie, m.shares = list, cookie, nil
	for i := range values {
		m.shares = append(m.shares, keyShare{ids[i], values[i]})
	}
	b, err := m.marshal()
	if err != nil {
		panic(err)
	}
	return frame(b)
}

// HalfOpen returns how many handshakes m counts.
func (m *Mechanism) HalfOpen() int { return m.halfOpen.slots.Len() }

// CheckKey is checkKey.
var CheckKey = checkKey

// DistinguishedName is distinguishedName.
var DistinguishedName = distinguishedName

// ReadM1, ReadM2 and ReadProof write again what they could read.
func ReadM1(b []byte) (again []byte, ok bool) {
	m, ok := parseM1(b)
	if !ok {
		return nil, false
	}
	again, err := m.marshal()
	if err != nil {
		panic(err)
	}
	return again, true
}

func ReadM2(b []byte) (again []byte, ok bool) {
	m, ok := parseM2(b)
	if !ok {
		return nil, false
	}
	return appendVec24(bytes.Clone(m.head), m.e), true
}

func ReadProof(b []byte, size int) (again []byte, ok bool) {
	p, ok := parseProof(b, size)
	if !ok {
		return nil, false
	}
	again, err := p.marshalIdentity()
	if err != nil {
		panic(err)
	}
	again = append(again, byte(p.scheme>>8), byte(p.scheme), byte(len(p.sig)>>8), byte(len(p.sig)))
	return pad(append(append(again, p.sig...), p.fin...)), true
}

// Frame is frame.
var Frame = frame
