package rpcsecgss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gsseal/gss"
)

// maxOutstanding bounds a client's calls at a time, whatever the window.
const maxOutstanding = 1024

var (
	errVerifier = errors.New("rpcsecgss: the reply's verifier is not the server's")
	errEnd      = errors.New("rpcsecgss: the sides do not agree on when the context is complete")
	errDropped  = errors.New("rpcsecgss: the context was given up")
	errVersion  = errors.New("rpcsecgss: no version has all that the options ask for")
	errOthers   = errors.New("rpcsecgss: a call may have been executed for another principal, or by another server, and is not repeated")
	errSequence = errors.New("rpcsecgss: the mechanism insists on the order of messages")
)

// A session is a context as its initiator sees it, or a child handle. It is used from
// acquire to release; drop ends it when the last user has gone.
type session struct {
	sc      gss.Context
	version uint32
	handle  []byte
	service Service       // of calls
	slots   chan struct{} // one for each call that the server's window has room for

	under   []*session // what a child handle is of: its parent, and the user's
	granted []Assertion

	mu      sync.Mutex
	seq     uint32 // the last one used
	never   uint32 // the one that is not used
	users   int
	dropped bool
}

// next returns the number of the next transmission, up to last. After drop only
// DESTROY's is left, which is maxSeq's.
func (s *session) next(last uint32) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &gss.Error{Op: "GetMIC", Mech: s.sc.Info().Mech, Major: gss.NoContext, Err: errDropped}
	switch {
	case s.dropped && last < maxSeq:
		return 0, e
	case s.seq >= last:
		e.Major, e.Err = gss.ContextExpired, nil
		return 0, e
	}
	if s.seq++; s.seq == s.never {
		s.seq++
	}
	return s.seq, nil
}

// use is false if s has been dropped.
func (s *session) use() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		s.users++
	}
	return !s.dropped
}

// close erases the keys.
func (s *session) close() {
	for _, u := range s.under {
		u.close()
	}
	if s.sc != nil {
		s.sc.Close()
	}
}

func (s *session) unuse() {
	s.mu.Lock()
	s.users--
	last := s.dropped && s.users == 0
	s.mu.Unlock()
	if last {
		s.close()
	}
}

func (s *session) drop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	last := !s.dropped && s.users == 0
	s.dropped = true
	s.mu.Unlock()
	if last {
		s.close()
	}
}

// header returns a call's up to its verifier.
func (s *session) header(h header, proc, seq uint32, service Service) []byte {
	h.cred = gssCred{s.version, proc, seq, service, s.handle}.auth()
	e := Encoder{make([]byte, 0, 128)}
	e.header(h)
	return e.b
}

// sealRequest returns a call of h, RFC 2203 §5.3.1, and its header: the credential, a MIC
// of all octets up to its end as the verifier, the protected arguments. Under Channel
// there is no verifier, RFC 5403 §3.4.
func (s *session) sealRequest(h header, seq uint32, r request) (msg, raw []byte, err error) {
	raw = s.header(h, r.gss, seq, r.service)
	var verf auth
	if r.service != Channel {
		if verf, err = micAuth(s.sc, raw); err != nil {
			return nil, nil, err
		}
	}
	args, err := r.args(raw)
	if err != nil {
		return nil, nil, err
	}
	body, err := protect(s.sc, r.service, seq, args)
	if err != nil {
		return nil, nil, err
	}
	e := Encoder{append(make([]byte, 0, len(raw)+8+len(verf.body)+3+len(body)), raw...)}
	e.auth(verf)
	e.b = append(e.b, body...)
	return e.b, raw, nil
}

// verify checks the verifier of a reply to a transmission.
func (s *session) verify(t sent, service Service, verf auth) error {
	switch {
	case service == Channel:
		if verf.flavor != flavorNone || len(verf.body) > 0 {
			return gss.DefectiveToken
		}
		return nil
	case s.version == version3:
		return verifyMIC(s.sc, asReply(t.raw), verf)
	}
	return verifyMIC4(s.sc, t.seq, verf)
}

// open reads a reply to any of the transmissions. gone says that the server lacks the
// context.
func (s *session) open(msg []byte, all []sent, service Service) (results []byte, gone bool, err error) {
	verf, body, denied, err := parseReply(msg)
	if errors.Is(err, ErrReply) {
		return nil, false, err
	}
	if denied {
		return nil, err == CredProblem || err == CtxProblem, err
	}
	// The last one first: it is the likeliest.
	cause := error(gss.BadMIC)
	for i := len(all) - 1; i >= 0; i-- {
		if cause = s.verify(all[i], service, verf); cause != nil {
			continue
		}
		if err != nil { // an accept_stat
			return nil, false, err
		}
		if s.version < version3 && service == Integrity && repeats(body, verf.body) {
			return nil, false, fmt.Errorf("%w: %w", errVerifier, gss.DuplicateToken)
		}
		results, err = unprotect(s.sc, service, all[i].seq, body)
		return results, false, err
	}
	return nil, false, fmt.Errorf("%w: %w", errVerifier, cause)
}

// repeats is whether the MIC of results under Integrity is the one in the verifier. In
// versions 1 and 2 that covers the sequence number and nothing else, which is what the
// MIC of no results covers: whoever holds the reply to a call that failed could make one
// of it to a call that was done. A server makes two MICs, which differ, as each token of a
// mechanism's has a number. RFC 2203 does not see this; its §5.3.3.2 has the verifier.
func repeats(body, verf []byte) bool {
	d := NewDecoder(body)
	d.Opaque(len(body))
	mic := d.Opaque(len(body))
	return d.Err() == nil && bytes.Equal(mic, verf)
}

// acquire returns the present session, or a new one, with a slot of its window.
// release gives both back.
func (l *line) acquire(ctx context.Context) (*session, error) {
	for {
		s, err := l.current(ctx)
		if err != nil {
			return nil, err
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			err = ctx.Err()
		case <-l.dead:
			err = l.err
		}
		if err != nil {
			s.unuse()
			return nil, err
		}
		s.mu.Lock()
		dropped := s.dropped
		s.mu.Unlock()
		if !dropped {
			return s, nil
		}
		l.release(s, false) // it went while we waited
	}
}

// current returns the session in use, and makes it if there is none.
func (l *line) current(ctx context.Context) (*session, error) {
	have := func() (*session, error) {
		l.c.mu.Lock()
		defer l.c.mu.Unlock()
		if l.err != nil {
			return nil, l.err
		}
		if l.session != nil && l.session.use() {
			return l.session, nil
		}
		return nil, nil
	}
	if s, err := have(); s != nil || err != nil {
		return s, err
	}
	select {
	case l.c.setup <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.dead:
		return nil, l.err
	}
	defer func() { <-l.c.setup }()
	if s, err := have(); s != nil || err != nil {
		return s, err
	}
	if err := l.destroyStale(ctx); err != nil {
		return nil, err
	}
	for dropped := 0; ; {
		s, err := l.establish(ctx)
		if errors.Is(err, errLost) {
			continue // until ctx ends
		}
		if e, ok := errors.AsType[*gss.Error](err); ok && e.Remote && e.Major == gss.NoContext && dropped < attempts {
			dropped++ // the server has forgotten the handshake
			continue
		}
		if l.c.version > version1 && (errors.Is(err, CredProblem) || errors.Is(err, CtxProblem)) && dropped < attempts {
			dropped++ // or the context, before it was bound
			continue
		}
		if (err == AuthBadCred || err == AuthRejectedCred) && l.c.version > l.c.o.MinVersion {
			// What a server says to a version that it does not know: RFC 2203 §5.1 the
			// latter, MIT's and libtirpc's the former.
			l.c.version--
			continue
		}
		if err != nil {
			return nil, err
		}
		s.users = 1
		l.c.mu.Lock()
		defer l.c.mu.Unlock()
		if l.err != nil {
			s.close()
			return nil, l.err
		}
		l.session = s
		return s, nil
	}
}

func (l *line) release(s *session, gone bool) {
	<-s.slots
	if gone {
		// In one step: who finds it dropped, and makes another, has to destroy it first.
		l.c.mu.Lock()
		s.drop()
		first := l.session == s && l.err == nil
		if first {
			l.session, l.stale = nil, s // which keeps this use of it
		}
		l.c.mu.Unlock()
		if first {
			return
		}
	}
	s.unuse()
}

// destroyStale destroys the session that was given up. After ctx's error it is for
// the next caller to do.
func (l *line) destroyStale(ctx context.Context) error {
	l.c.mu.Lock()
	s := l.stale
	l.stale = nil
	l.c.mu.Unlock()
	if s == nil {
		return nil
	}
	if err := l.destroy(ctx, s); errors.Is(err, gss.ContextExpired) && l.c.o.Dial != nil {
		// It has ended here, and cannot be ended there. A server that keeps one context
		// a connection does not take another on this one.
		s.unuse()
		l.fail(err)
		return l.err
	}
	if err := ctx.Err(); err != nil { // it may not have been sent
		l.c.mu.Lock()
		defer l.c.mu.Unlock()
		if l.err == nil {
			l.stale = s
			return err
		}
	}
	s.unuse()
	return nil
}

// destroy tells the server that s has ended, RFC 2203 §5.4, and waits for nothing.
// MIT's server and libtirpc's, which keep one context a connection, need it before
// they take another (§5.3.3.3 says so too), and nothing of s behind it; who has no
// such context denies it.
func (l *line) destroy(ctx context.Context, s *session) error {
	if s.under != nil {
		var errs error
		for _, u := range s.under { // and their children with them
			errs = errors.Join(errs, l.destroy(ctx, u))
		}
		return errs
	}
	c := l.c
	service := c.o.Service.control()
	if service == Privacy && !s.sc.Info().Flags.Has(gss.Conf) { // a user's
		service = Integrity
	}
	w := c.expect()
	defer c.forget(w)
	return l.send(ctx, func() ([]byte, error) {
		seq, err := s.next(maxSeq)
		if err != nil {
			return nil, err
		}
		msg, _, err := s.sealRequest(header{xid: w.xid, prog: c.prog, vers: c.vers, proc: nullProc}, seq,
			request{nullProc, procDestroy, service, fixed(nil)})
		return msg, err
	})
}
