package conformance

import (
	"fmt"
	"slices"

	"github.com/gsseal/gss"
)

// A Case is one question to a mechanism.
type Case struct {
	Name   string // stable: "area/question"
	Source string // where the answer is fixed
	run    func(*recorder)
}

var cases = slices.Concat(handshakeCases, hostileCases, optionCases, messageCases, sequenceCases, dstCases,
	prfCases, closeCases, optionalCases)

// A direction is one way through an established pair.
type direction struct {
	name     string
	from, to gss.Context
}

// A pair is both ends of an established context.
type pair struct{ i, a gss.Context }

func (p pair) both() []direction {
	return []direction{{"initiator to acceptor", p.i, p.a}, {"acceptor to initiator", p.a, p.i}}
}

// establish makes a context pair, with the Setup changed by change if that is not
// nil. It ends the case if there is none.
func (r *recorder) establish(change func(*Setup)) pair {
	t := r.attempt(change)
	if err := t.Err(); err != nil {
		r.fatalf("no context: %v", err)
	}
	return pair{t.Initiator, t.Acceptor}
}

// attempt is establish for a handshake that may fail; one that cannot start is
// one that fails in its first step.
func (r *recorder) attempt(change func(*Setup)) *Trace {
	s := r.s
	if change != nil {
		change(&s)
	}
	i, a, err := s.start()
	if err != nil {
		return &Trace{InitErr: err}
	}
	t := Pump(r.ctx, i, a)
	r.cleanup(t.Close)
	return t
}

// withFlags is establish with other required flags than the Setup's; a mechanism
// that cannot leads to notApplicable.
func (r *recorder) withFlags(set, clear gss.Flags) pair {
	var f gss.Flags
	t := r.attempt(func(s *Setup) {
		f = s.InitOptions.Resolved().Require&^clear | set
		s.InitOptions.Require, s.InitOptions.Request = f, s.InitOptions.Request&^clear
	})
	switch {
	case gss.MajorOf(t.InitErr) == gss.Unavailable || gss.MajorOf(t.AcceptErr) == gss.Unavailable:
		r.notApplicable("no context with the flags %v", f)
	case t.Err() != nil:
		r.fatalf("no context with the flags %v: %v", f, t.Err())
	}
	return pair{t.Initiator, t.Acceptor}
}

// levels are those that sc has.
func levels(sc gss.Context) []gss.Level {
	if sc.Info().Flags.Has(gss.Conf) {
		return []gss.Level{gss.Confidential, gss.IntegrityOnly}
	}
	return []gss.Level{gss.IntegrityOnly}
}

func (r *recorder) wrap(d direction, msg string, l gss.Level) []byte {
	tok, err := d.from.Wrap(nil, []byte(msg), l)
	if err != nil {
		r.fatalf("%s: Wrap: %v", d.name, err)
	}
	return tok
}

func (r *recorder) mic(d direction, msg string) []byte {
	tok, err := d.from.MIC(nil, []byte(msg))
	if err != nil {
		r.fatalf("%s: MIC: %v", d.name, err)
	}
	return tok
}

// delivers checks that tok is accepted as msg.
func (r *recorder) delivers(d direction, tok []byte, msg string, l gss.Level) {
	got, gotLevel, err := d.to.Unwrap(nil, tok)
	switch {
	case err != nil:
		r.errorf("%s: Unwrap: %v", d.name, err)
	case string(got) != msg:
		r.errorf("%s: Unwrap returned another message", d.name)
	case gotLevel != l:
		r.errorf("%s: Unwrap says %v, Wrap was told %v", d.name, gotLevel, l)
	}
}

// withholds checks that tok is refused without a message.
func (r *recorder) withholds(d direction, tok []byte, what string, want ...gss.Major) {
	got, _, err := d.to.Unwrap(nil, tok)
	r.refused(err, fmt.Sprintf("%s: Unwrap of %s", d.name, what), want...)
	if len(got) != 0 {
		r.errorf("%s: Unwrap of %s returned %d octets", d.name, what, len(got))
	}
}

// alive checks that the pair still carries messages both ways.
func (r *recorder) alive(p pair) {
	for _, d := range p.both() {
		l := levels(d.from)[0]
		r.delivers(d, r.wrap(d, "still here", l), "still here", l)
	}
}

// agree checks that both ends tell the same, and compute the same.
func (r *recorder) agree(p pair, what string) {
	i, a := p.i.Info(), p.a.Info()
	if i.Local != a.Peer || i.Peer != a.Local && (i.Flags.Has(gss.Mutual) || !i.Peer.IsZero()) {
		r.errorf("%s: names differ: initiator %v → %v, acceptor %v ← %v", what, i.Local, i.Peer, a.Local, a.Peer)
	}
	if i.Mech != a.Mech {
		r.errorf("%s: the initiator's mechanism is %v, the acceptor's %v", what, i.Mech, a.Mech)
	}
	if d := (i.Flags ^ a.Flags) & agreed; d != 0 {
		r.errorf("%s: the sides do not agree on the flags %v", what, d)
	}
	x, errX := p.i.PRF(gss.PRFFull, []byte("agree"), 32)
	y, errY := p.a.PRF(gss.PRFFull, []byte("agree"), 32)
	if errX != nil || errY != nil || string(x) != string(y) {
		r.errorf("%s: PRF differs (%v, %v)", what, errX, errY)
	}
}

// agreed are the flags on which both sides must be of one mind. The others
// describe one side (Trans) or are known to one only (Bound, Deleg).
const agreed = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ | gss.Anon | gss.DCEStyle
