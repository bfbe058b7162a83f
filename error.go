package gss

import (
	"errors"
	"fmt"

	"github.com/gsseal/gss/oid"
)

// An Error says which call failed, in which mechanism, and why. It never
// carries a key, a plaintext or a computed checksum. errors.Is finds its Major,
// and whatever its cause wraps.
type Error struct {
	Op     string  // RFC 2743 call without GSS_, such as "Unwrap"
	Mech   oid.OID // zero if no mechanism was reached
	Major  Major   // never zero
	Minor  uint32  // the mechanism's code, as it travels; 0 if none
	Remote bool    // the peer reported this, we did not find it
	Err    error   // cause, or nil
}

// Error is one line for people and logs: the call, the mechanism, the Major, the
// cause.
func (e *Error) Error() string {
	s := "gss: " + e.Op
	if e.Mech != "" {
		if d, ok := oid.Describe(e.Mech); ok {
			s += " (" + d.Name + ")"
		} else {
			s += " (" + e.Mech.String() + ")"
		}
	}
	s += ": "
	if e.Remote {
		s += "the peer reports: "
	}
	s += e.Major.Error()
	if e.Minor != 0 {
		s += fmt.Sprintf(" (minor %d)", e.Minor)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's Major.
func (e *Error) Is(target error) bool { m, ok := target.(Major); return ok && m == e.Major }

// MajorOf returns the outermost Major of err: 0 for nil, Failure if it has none.
func MajorOf(err error) Major {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Major
	}
	if m, ok := errors.AsType[Major](err); ok {
		return m
	}
	return Failure
}
