package gss

import (
	"time"

	"github.com/gsseal/gss/oid"
)

// A Credential is what a party proves itself with. Only the mechanism that made
// it looks inside. It is safe for concurrent use.
type Credential interface {
	Mech() oid.OID
	Name() Name        // zero: whatever the peer asks for (an acceptor with a keytab)
	Expiry() time.Time // zero: none
	Close() error      // erases it; contexts made from it live on
}

// SelectCredential returns the first credential of cs that is mech's; nil and no
// error if cs is empty (the mechanism then uses its own default); NoCred if cs is
// not empty and none fits, so that a default is never used behind the back of a
// caller who named one.
func SelectCredential(cs []Credential, mech oid.OID) (Credential, error) {
	for _, c := range cs {
		if c.Mech() == mech {
			return c, nil
		}
	}
	if len(cs) == 0 {
		return nil, nil
	}
	return nil, &Error{Op: "Acquire_cred", Mech: mech, Major: NoCred}
}
