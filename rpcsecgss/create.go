package rpcsecgss

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// An AssertionPolicy says which assertions of version 3 a server supports, and which
// hold. Its functions are called concurrently. The zero value supports none.
type AssertionPolicy struct {
	// Labels are the formats of labels, and what returns the label that a process gets
	// which claims one: the same, or another. An error is LabelProblem, as is a format
	// that is not there.
	Labels map[LFS]func(ctx context.Context, who gss.Info, label []byte) ([]byte, error)

	// Privileges are the names of privileges, and what reports whether one is granted.
	// One that is not is left out; an error is PrivilegeProblem, and a name that is not
	// there UnknownMessage.
	Privileges map[string]func(ctx context.Context, who gss.Info, privilege []byte) (bool, error)

	// Host reports whether a context is one of a host that may vouch for its users, who
	// are authenticated by contexts of their own. Nil: none is.
	Host func(host gss.Info) bool
}

// A child is what makes an entry a child handle, RFC 7861 §2.
type child struct {
	parent *entry
	inner  *entry // the user's, whom parent vouches for; nil: parent calls itself
	rights []Assertion
	as     string // a hash of what this adds to who calls: a vouching host, and rights
}

// of returns what c ends with.
func (c *child) of() []*entry {
	if c.inner == nil {
		return []*entry{c.parent}
	}
	return []*entry{c.parent, c.inner}
}

// grant gives c its rights.
func (c *child) grant(as []Assertion) {
	c.rights = as
	var e Encoder
	e.Bool(c.inner != nil)
	if c.inner != nil {
		e.String(c.parent.peer)
	}
	e.assertions(as)
	sum := sha256.Sum256(e.b)
	c.as = string(sum[:])
}

// maxCreate bounds the arguments of CREATE: a child handle's rights are kept for long.
const maxCreate = 1 << 13

// These are called with the table's lock held.
func (c *child) alive(t *table) bool {
	return !slices.ContainsFunc(c.of(), func(o *entry) bool { return t.m[o.handle] != o })
}

func (c *child) adopt(e *entry) {
	for _, o := range c.of() {
		if o.below == nil {
			o.below = make(map[*entry]bool)
		}
		o.below[e] = true
		if e.ends.IsZero() || o.ends.Before(e.ends) {
			e.ends = o.ends
		}
	}
}

func (c *child) disown(e *entry) {
	for _, o := range c.of() {
		delete(o.below, e)
	}
}

// who is the context of who calls by e.
func (e *entry) who() gss.Context {
	if e.child != nil && e.child.inner != nil {
		return e.child.inner.sc
	}
	return e.sc
}

// create makes a child handle of e, RFC 7861 §2.7.1. deny, if not zero, is why not.
func (s *Server) create(ctx context.Context, p *peer, c call, g gssCred, e *entry, args []byte) (a answer, deny AuthStat) {
	if e.child != nil {
		return a, AuthBadCred // §2
	}
	d := NewDecoder(args)
	want := d.creation()
	if d.Done() != nil || len(args) > maxCreate {
		return answer{stat: GarbageArgs}, 0
	}
	n := &entry{handle: newHandle(), version: version3, peer: e.peer, sc: e.sc, child: &child{parent: e}, win: window.New(0, true, false)}
	var got creation
	if want.mp != nil && s.o.Assertions.Host != nil {
		if g.service != Privacy {
			return a, AuthTooWeak
		}
		if !s.o.Assertions.Host(e.sc.Info()) {
			return a, AuthRejectedCred
		}
		inner, _ := s.open.get(want.mp.handle)
		if inner == nil || inner == e || inner.version != version3 || inner.child != nil || inner.sc.VerifyMIC(c.raw, want.mp.mic) != nil {
			return a, InnerCredProblem
		}
		mic, err := inner.sc.MIC(nil, asReply(c.raw))
		if err != nil {
			return a, InnerCredProblem
		}
		n.child.inner = inner
		n.peer = principal(p, inner.sc.Info())
		got.mp = &mpAuth{want.mp.handle, mic}
	}
	if want.channel != nil {
		for _, b := range p.bindings() {
			if e.sc.VerifyMIC(b, want.channel) != nil {
				continue
			}
			mic, err := e.sc.MIC(nil, b)
			if err != nil {
				return a, CtxProblem
			}
			got.channel, n.channel = mic, p.channel
			break
		}
	}
	if got.assertions, deny = s.o.Assertions.judge(ctx, n.who().Info(), want.assertions); deny != 0 {
		return a, deny
	}
	n.child.grant(got.assertions)
	if !s.open.put(n) {
		return a, CredProblem
	}
	var res Encoder
	res.Opaque(n.handle[:])
	res.creation(got)
	return answer{results: res.b}, 0
}

// judge returns which of the assertions hold, in their order. deny, if not zero, is
// why there is to be no child.
func (o *AssertionPolicy) judge(ctx context.Context, who gss.Info, as []Assertion) (holds []Assertion, deny AuthStat) {
	for _, a := range as {
		switch a.Kind {
		case LabelAssertion:
			f := o.Labels[a.LFS]
			if f == nil {
				return nil, LabelProblem
			}
			label, err := f(ctx, who, a.Data)
			if err != nil {
				return nil, LabelProblem
			}
			a.Data = bytes.Clone(label)
		case PrivilegeAssertion:
			f := o.Privileges[a.Name]
			if f == nil {
				return nil, UnknownMessage
			}
			ok, err := f(ctx, who, bytes.Clone(a.Data))
			if err != nil {
				return nil, PrivilegeProblem
			}
			if !ok {
				continue
			}
		default:
			return nil, UnknownMessage
		}
		holds = append(holds, a)
	}
	return holds, 0
}

// list answers a LIST, RFC 7861 §2.7.2.
func (s *Server) list(args []byte) answer {
	d := NewDecoder(args)
	kinds := make([]AssertionKind, min(d.Len(4), maxListed+1))
	for i := range kinds {
		kinds[i] = AssertionKind(d.Uint32())
	}
	if d.Done() != nil || len(kinds) > maxListed {
		return answer{stat: GarbageArgs}
	}
	var e Encoder
	e.Uint32(uint32(len(kinds)))
	for _, k := range kinds {
		var as []Assertion
		switch k {
		case LabelAssertion:
			for _, l := range slices.SortedFunc(maps.Keys(s.o.Assertions.Labels), func(a, b LFS) int {
				return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Policy, b.Policy))
			}) {
				as = append(as, Assertion{Kind: k, LFS: l})
			}
		case PrivilegeAssertion:
			for _, name := range slices.Sorted(maps.Keys(s.o.Assertions.Privileges)) {
				as = append(as, Assertion{Kind: k, Name: name})
			}
		}
		e.listed(k, as)
	}
	return answer{results: e.b}
}
