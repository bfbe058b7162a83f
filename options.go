package gss

import "slices"

// InitOptions tune Mechanism.Initiate; nil and the zero value ask for the
// defaults. A mechanism keeps no reference to them.
type InitOptions struct {
	Credentials []Credential // at most one per mechanism is used; empty: the mechanism's own
	Require     Flags        // establishment fails without these; 0: DefaultFlags
	Request     Flags        // asked for, but the context may come without: see Info.Flags
	Bindings    []byte       // RFC 5056 channel bindings with their prefix; empty: none
}

// AcceptOptions tune Mechanism.Accept, as InitOptions do for Initiate.
type AcceptOptions struct {
	Credentials      []Credential
	Require          Flags  // establishment fails without these; 0: none
	Bindings         []byte // empty: whatever the initiator gives is ignored
	BindingsOptional bool   // let in an initiator that gives none; Info.Flags lacks Bound then
	AllowAnonymous   bool   // let in an initiator without a name
}

// Resolved returns a copy of o, which may be nil, with its defaults filled in. A
// mechanism keeps that copy, and never o.
func (o *InitOptions) Resolved() InitOptions {
	var r InitOptions
	if o != nil {
		r = *o
		r.Credentials, r.Bindings = slices.Clone(o.Credentials), slices.Clone(o.Bindings)
	}
	if r.Require == 0 {
		r.Require = DefaultFlags
	}
	return r
}

// Check returns the error (Unavailable) with which a mechanism must refuse o if i
// is all that it can give: in Initiate with what it could give at best, and again
// before Step returns a Context.
func (o *InitOptions) Check(i Info) error {
	require := DefaultFlags
	if o != nil && o.Require != 0 {
		require = o.Require
	}
	if !i.Flags.Has(require) {
		return &Error{Op: "Init_sec_context", Mech: i.Mech, Major: Unavailable, Err: missing(require &^ i.Flags)}
	}
	return nil
}

// Resolved is InitOptions.Resolved for an acceptor.
func (o *AcceptOptions) Resolved() AcceptOptions {
	if o == nil {
		return AcceptOptions{}
	}
	r := *o
	r.Credentials, r.Bindings = slices.Clone(o.Credentials), slices.Clone(o.Bindings)
	return r
}

// Check is InitOptions.Check for an acceptor: Unavailable, BadBindings,
// Unauthorized (an anonymous initiator).
func (o *AcceptOptions) Check(i Info) error {
	if o == nil {
		o = new(AcceptOptions)
	}
	e := &Error{Op: "Accept_sec_context", Mech: i.Mech}
	switch {
	case !i.Flags.Has(o.Require):
		e.Major, e.Err = Unavailable, missing(o.Require&^i.Flags)
	case len(o.Bindings) > 0 && !o.BindingsOptional && !i.Flags.Has(Bound):
		e.Major = BadBindings
	case i.Flags.Has(Anon) && !o.AllowAnonymous:
		e.Major = Unauthorized
	default:
		return nil
	}
	return e
}

// missing is the cause of an Unavailable: the flags that were required in vain.
type missing Flags

func (m missing) Error() string { return "required but not to be had: " + Flags(m).String() }
