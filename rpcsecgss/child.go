package rpcsecgss

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/gsseal/gss"
)

var (
	errNoUser  = errors.New("rpcsecgss: the server takes no host's word for a user")
	errInner   = errors.New("rpcsecgss: the server has not shown that it knows the user")
	errGranted = errors.New("rpcsecgss: the server grants what nobody asked for")
)

// Granted returns which of ClientOptions.Assertions the server granted to the present
// context, labels as it has them now. It makes a context if there is none. Errors are
// Call's.
func (c *Client) Granted(ctx context.Context) (as []Assertion, err error) {
	err = c.inspect(ctx, func(s *session) {
		for _, a := range s.granted {
			a.Data = bytes.Clone(a.Data)
			as = append(as, a)
		}
	})
	return as, err
}

// List asks the server which labels and privileges it supports, RFC 7861 §2.7.2: the
// LFS or the Name of what it returns. It needs version 3 (Unavailable). Errors are Call's.
func (c *Client) List(ctx context.Context, kinds ...AssertionKind) ([]Assertion, error) {
	var version uint32
	if err := c.inspect(ctx, func(s *session) { version = s.version }); err != nil {
		return nil, err
	}
	if version != version3 {
		return nil, &gss.Error{Op: "Inquire_context", Mech: c.o.Mech.OID(), Major: gss.Unavailable, Err: errVersion}
	}
	var args Encoder
	args.Uint32(uint32(len(kinds)))
	for _, k := range kinds {
		args.Uint32(uint32(k))
	}
	results, err := c.call(ctx, func(s *session) request {
		return request{nullProc, procList, max(s.service, Integrity), fixed(args.b)}
	})
	if err != nil {
		return nil, err
	}
	d := NewDecoder(results)
	if d.Len(8) != len(kinds) {
		return nil, ErrReply
	}
	var as []Assertion
	for range kinds {
		as = append(as, d.listed()...)
	}
	if d.Done() != nil {
		return nil, ErrReply
	}
	return as, nil
}

// create makes a child handle of parent, RFC 7861 §2.7.1, which calls use from then
// on. After an error parent is the caller's still.
func (l *line) create(ctx context.Context, parent *session) (*session, error) {
	o := &l.c.o
	s := &session{sc: parent.sc, version: parent.version, service: parent.service, under: []*session{parent},
		slots: make(chan struct{}, cap(parent.slots))}
	var inner *session
	if u := o.User; u != nil {
		target := u.Target
		if target.IsZero() {
			target = o.Target
		}
		var err error
		if inner, err = l.initiate(ctx, u.Mech, target, u.Init, version3); err != nil {
			return nil, err
		}
		s.under = append(s.under, inner)
	}
	bindings := [][]byte{nil}
	if s.service == Channel {
		if bindings = l.bindings(); len(bindings) == 0 {
			bindings = nil
		}
	}
	err := badBindings(parent.sc, false, errNoBindings)
	for _, b := range bindings {
		if err = l.createOnce(ctx, s, parent, inner, b); !errors.Is(err, errNoneCommon) {
			break
		}
	}
	if err != nil {
		if inner != nil {
			l.destroy(ctx, inner)
			inner.close()
		}
		return nil, err
	}
	return s, nil
}

// createOnce makes s a child handle, bound to b if that is not nil. errNoneCommon says
// that the server does not know such bindings.
func (l *line) createOnce(ctx context.Context, s, parent, inner *session, b []byte) error {
	c := l.c
	w := c.expect()
	defer c.forget(w)
	c.move(w, l)
	service := Integrity
	if parent.sc.Info().Flags.Has(gss.Conf) {
		service = Privacy // a label may be a secret
	}
	var raws [][]byte
	results, _, err := l.exchange(ctx, parent, w, request{nullProc, procCreate, service, func(raw []byte) ([]byte, error) {
		raws = append(raws, raw)
		want := creation{assertions: c.o.Assertions}
		var err error
		if inner != nil {
			want.mp = &mpAuth{handle: inner.handle}
			if want.mp.mic, err = inner.sc.MIC(nil, raw); err != nil {
				return nil, err
			}
		}
		if b != nil {
			if want.channel, err = parent.sc.MIC(nil, b); err != nil {
				return nil, err
			}
		}
		var e Encoder
		e.creation(want)
		return e.b, nil
	}})
	if err != nil {
		return err
	}
	d := NewDecoder(results)
	s.handle = bytes.Clone(d.Opaque(maxAuth))
	got := d.creation()
	if d.Done() != nil {
		return ErrReply
	}
	fail := func(m gss.Major, err error) error {
		return &gss.Error{Op: "Create", Mech: parent.sc.Info().Mech, Major: m, Remote: true, Err: err}
	}
	if inner != nil {
		if got.mp == nil {
			return fail(gss.Unavailable, errNoUser)
		}
		known := false
		for _, raw := range raws {
			known = known || inner.sc.VerifyMIC(asReply(raw), got.mp.mic) == nil
		}
		if !known || !bytes.Equal(got.mp.handle, inner.handle) {
			return fail(gss.BadMIC, errInner)
		}
	}
	if b != nil {
		if got.channel == nil {
			return badBindings(parent.sc, true, errNoneCommon)
		}
		if err := parent.sc.VerifyMIC(b, got.channel); err != nil {
			return badBindings(parent.sc, false, fmt.Errorf("%w: %w", errVerifier, err))
		}
	}
	if !granted(c.o.Assertions, got.assertions) {
		return fail(gss.Failure, errGranted)
	}
	s.granted = got.assertions
	return nil
}

// granted reports whether got are of want, in the same order; labels may be others.
func granted(want, got []Assertion) bool {
	for _, g := range got {
		for {
			if len(want) == 0 {
				return false
			}
			w := want[0]
			want = want[1:]
			if g.Kind == w.Kind && g.LFS == w.LFS && g.Name == w.Name && (g.Kind == LabelAssertion || bytes.Equal(g.Data, w.Data)) {
				break
			}
		}
	}
	return true
}
