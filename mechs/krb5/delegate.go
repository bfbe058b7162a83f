package krb5

import (
	"context"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// delegate returns a KRB-CRED with a forwarded TGT, and the flags that go with it, if asked
// has gss.Deleg, or gss.DelegPolicy and the KDC trusts the service of t with that (RFC
// 5896). If none is to be had it returns none, unless it was required.
func (h *initiator) delegate(ctx context.Context, asked gss.Flags, t *ticket) ([]byte, gss.Flags, error) {
	var flags gss.Flags
	if asked.Has(gss.DelegPolicy) && t.flags&ikrb5.TicketOKAsDelegate != 0 {
		flags = delegation
	}
	flags |= asked & gss.Deleg
	if flags == 0 {
		return nil, 0, nil
	}
	s := h.cred.shared
	msg, err := func() ([]byte, error) {
		tgt, err := h.m.forward(ctx, s)
		if err != nil {
			return nil, err
		}
		defer tgt.key.Erase()
		msg, err := h.m.appendCred(nil, s.principal, tgt, t.key)
		if err == nil && len(msg) > maxDelegated {
			err = errKRBCred
		}
		return msg, err
	}()
	switch {
	case err == nil:
		return msg, flags, nil
	case ctx.Err() != nil || h.opts.Require&delegation != 0:
		if _, ok := err.(*gss.Error); !ok {
			err = kdcError(err)
		}
		return nil, 0, err
	}
	return nil, 0, nil
}
