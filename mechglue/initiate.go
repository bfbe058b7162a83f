package mechglue

import (
	"context"
	"errors"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Initiate starts a context with the mechanism mech, or with the zero OID the
// first one that takes target and o (see gss.Mechanism.Initiate) and that turns out
// to have a credential: some can only tell in their first Step, where a file or an
// agent is asked, so that NoCred and CredentialsExpired there, before anything was
// sent, pass on to the next. Nothing else that fails in Step is tried with another.
// Several may have one OID: they are tried in order.
//
// The error, here or of the first Step, is BadMech if there is no such mechanism,
// else the first one's, with those of the others as its cause.
func (ms Mechanisms) Initiate(mech oid.OID, target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	all := ms.named(mech)
	if len(all) == 0 {
		return nil, &gss.Error{Op: "Init_sec_context", Mech: mech, Major: gss.BadMech}
	}
	h := &initiating{left: all, target: target, o: o.Resolved(), mech: mech}
	if err := h.next(); err != nil {
		return nil, err
	}
	if len(h.left) == 0 {
		return h.Handshake, nil
	}
	return h, nil
}

// initiating is a handshake that may still pass on to another mechanism.
type initiating struct {
	gss.Handshake // the one that is being tried; nil only while there is none
	left          Mechanisms
	target        gss.Name
	o             gss.InitOptions
	mech          oid.OID // asked for
	errs          []error
	begun         bool
}

// next tries the mechanisms that are left until one takes the target.
func (h *initiating) next() error {
	for len(h.left) > 0 {
		m := h.left[0]
		h.left = h.left[1:]
		n, err := m.Initiate(h.target, &h.o)
		if err == nil {
			h.Handshake = n
			return nil
		}
		h.errs = append(h.errs, err)
	}
	if len(h.errs) == 1 {
		return h.errs[0]
	}
	return &gss.Error{Op: "Init_sec_context", Mech: h.mech, Major: gss.MajorOf(h.errs[0]), Err: errors.Join(h.errs...)}
}

func (h *initiating) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	for {
		out, sc, err := h.Handshake.Step(ctx, in)
		if h.begun || len(out) > 0 || len(in) > 0 || !errors.Is(err, gss.NoCred) && !errors.Is(err, gss.CredentialsExpired) {
			h.begun = true
			return out, sc, err
		}
		h.errs = append(h.errs, err)
		h.Handshake.Close()
		if err := h.next(); err != nil {
			h.begun = true
			return nil, nil, err
		}
	}
}

// Early is gss.EarlyHandshake's.
func (h *initiating) Early() gss.Context {
	if e, ok := h.Handshake.(gss.EarlyHandshake); ok {
		return e.Early()
	}
	return nil
}
