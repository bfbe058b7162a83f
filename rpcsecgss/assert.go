package rpcsecgss

import "bytes"

// An AssertionKind says what an Assertion is about, RFC 7861 §2.7.1.
type AssertionKind uint32

const (
	LabelAssertion     AssertionKind = 0 // what a process is labelled with, §2.7.1.3
	PrivilegeAssertion AssertionKind = 1 // a privilege of an application's, §2.7.1.4
)

// An LFS names a format of labels, and optionally a policy, RFC 7861 §2.7.1.3.
type LFS struct{ ID, Policy uint32 }

// An Assertion is what a client claims beside its name. What of it holds is up to the
// server's AssertionPolicy.
type Assertion struct {
	Kind AssertionKind
	LFS  LFS    // of a label
	Name string // of a privilege
	Data []byte // the label, or the privilege's own, in its application's format
}

const (
	maxAssertions = 64
	maxListed     = 16 // kinds that one LIST may ask for
)

// An assertion, RFC 7861 §2.7.1, is
//
//	u32 LABEL | u32 LFS id | u32 policy id | opaque label<>
//	u32 PRIVS | utf8str_cs name<> | opaque privilege<>
//	u32 any other | opaque<>
//
// where a privilege's name is, as the XDR in §2.7.1.4 has it, an array of strings; one
// with any other number than one of them is malformed here.
func (e *Encoder) assertion(a Assertion) {
	e.Uint32(uint32(a.Kind))
	e.asserted(a)
}

// asserted is an assertion behind its type.
func (e *Encoder) asserted(a Assertion) {
	switch a.Kind {
	case LabelAssertion:
		e.Uint32(a.LFS.ID)
		e.Uint32(a.LFS.Policy)
	case PrivilegeAssertion:
		e.Uint32(1)
		e.String(a.Name)
	}
	e.Opaque(a.Data)
}

func (d *Decoder) assertion() Assertion { return d.asserted(AssertionKind(d.Uint32())) }

// asserted copies what it returns: it may be kept for long.
func (d *Decoder) asserted(k AssertionKind) Assertion {
	a := Assertion{Kind: k}
	switch k {
	case LabelAssertion:
		a.LFS = LFS{d.Uint32(), d.Uint32()}
	case PrivilegeAssertion:
		if d.Uint32() != 1 {
			d.take(len(d.s) + 1)
		}
		a.Name = d.String(len(d.s))
	}
	a.Data = bytes.Clone(d.Opaque(len(d.s)))
	return a
}

func (e *Encoder) assertions(as []Assertion) {
	e.Uint32(uint32(len(as)))
	for _, a := range as {
		e.assertion(a)
	}
}

func (d *Decoder) assertions() (as []Assertion) {
	n := d.Len(8)
	if n > maxAssertions {
		d.take(len(d.s) + 1)
		return nil
	}
	for i := 0; i < n && !d.bad; i++ {
		as = append(as, d.assertion())
	}
	return as
}

// An mpAuth says that a context is a user's, whom a host vouches for, RFC 7861
// §2.7.1.1:
//
//	opaque handle<> | opaque MIC<>
//
// The MIC is made in that context: over the call's header, and in a result over the
// same as the verifier of the reply.
type mpAuth struct{ handle, mic []byte }

// creation is the arguments of CREATE, and, behind a child handle, its result, RFC
// 7861 §2.7.1:
//
//	[ opaque handle<> ] | mp_auth * | opaque channel binding MIC<> * | assertion<>
//
// where * is u32 0, or u32 1 and what it says.
type creation struct {
	mp         *mpAuth
	channel    []byte // nil: none
	assertions []Assertion
}

func (e *Encoder) creation(c creation) {
	e.Bool(c.mp != nil)
	if c.mp != nil {
		e.Opaque(c.mp.handle)
		e.Opaque(c.mp.mic)
	}
	e.Bool(c.channel != nil)
	if c.channel != nil {
		e.Opaque(c.channel)
	}
	e.assertions(c.assertions)
}

func (d *Decoder) creation() (c creation) {
	if d.Bool() {
		c.mp = &mpAuth{d.Opaque(maxAuth), d.Opaque(len(d.s))}
	}
	if d.Bool() {
		c.channel = d.Opaque(len(d.s))
	}
	c.assertions = d.assertions()
	return c
}

// The arguments of LIST, RFC 7861 §2.7.2, are kinds, u32<>; its result is of each
//
//	u32 kind | if LABEL or PRIVS: what an assertion has behind its type<> | else opaque<>
func (e *Encoder) listed(k AssertionKind, as []Assertion) {
	e.Uint32(uint32(k))
	e.Uint32(uint32(len(as)))
	for _, a := range as {
		e.asserted(a)
	}
}

func (d *Decoder) listed() (as []Assertion) {
	k := AssertionKind(d.Uint32())
	if k > PrivilegeAssertion {
		d.Opaque(len(d.s))
		return nil
	}
	n := d.Len(8)
	for i := 0; i < n && !d.bad; i++ {
		as = append(as, d.asserted(k))
	}
	return as
}
