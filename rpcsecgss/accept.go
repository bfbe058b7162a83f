package rpcsecgss

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// accept answers an INIT or CONTINUE_INIT, RFC 2203 §5.2.3. A failure is a
// successful call whose result says so; CREDPROBLEM and CTXPROBLEM are not for
// these.
func (s *Server) accept(ctx context.Context, p *peer, c call, g gssCred) []byte {
	d := NewDecoder(c.body)
	tok := d.Opaque(maxToken)
	if d.Done() != nil {
		return accept(c.xid, auth{}, answer{stat: GarbageArgs})
	}
	var e *entry
	switch {
	case s.o.Accept == nil:
		return denyAuth(c.xid, AuthRejectedCred)
	case g.proc == procInit:
		era := s.open.now()
		hs, err := s.o.Accept()
		if err != nil {
			return initFailed(c.xid, err)
		}
		e = &entry{handle: newHandle(), version: g.version, peer: p.host, hs: hs, era: era, ends: time.Now().Add(s.o.HalfOpenTime)}
	default:
		// It is out of the table while it is stepped, so that no other steps it.
		if e = s.half.take(g.handle); e == nil {
			return initFailed(c.xid, gss.NoContext)
		}
		if e.version != g.version {
			e.close()
			return initFailed(c.xid, gss.NoContext)
		}
	}
	ctx, cancel := context.WithDeadline(ctx, e.ends)
	defer cancel()
	out, sc, err := e.hs.Step(ctx, tok)
	if err != nil {
		e.close()
		return initFailed(c.xid, err) // without out: §5.2.3.1 has no room for it
	}
	if sc == nil {
		s.half.put(e)
		res := initRes{handle: e.handle[:], major: majorContinue, window: Window, token: out}
		return fit(p, c.xid, auth{}, answer{results: res.octets()})
	}
	e.hs.Close()
	info := sc.Info()
	verf, err := mic4(sc, Window)
	if err == nil && info.Flags.Has(gss.Sequence) { // §5.2.2
		err = &gss.Error{Op: "Accept_sec_context", Mech: info.Mech, Major: gss.Unavailable, Err: errSequence}
	}
	if err != nil {
		sc.Close()
		return initFailed(c.xid, err)
	}
	n := &entry{handle: e.handle, version: e.version, peer: principal(p, info), sc: sc, era: e.era, ends: time.Now().Add(s.o.MaxLifetime), win: window.New(0, true, false)}
	if !info.Expiry.IsZero() && info.Expiry.Before(n.ends) {
		n.ends = info.Expiry
	}
	if !s.open.put(n) {
		sc.Close()
		return initFailed(c.xid, gss.NoContext)
	}
	res := initRes{handle: n.handle[:], major: majorComplete, window: Window, token: out}
	return fit(p, c.xid, verf, answer{results: res.octets()})
}

// principal is whose quota a context takes from, and whose calls are known again:
// the peer's name. Who has none is one with all such of his host as to the quota,
// and by himself as to his calls (see data).
func principal(p *peer, i gss.Info) string {
	if i.Peer.IsZero() || i.Flags.Has(gss.Anon) {
		return "host\x00" + p.host
	}
	return "name\x00" + string(i.Peer.Mech) + "\x00" + i.Peer.Text
}

func initFailed(xid uint32, err error) []byte {
	res := initRes{major: uint32(gss.MajorOf(err)), window: Window}
	if e, ok := errors.AsType[*gss.Error](err); ok {
		res.minor = e.Minor
	}
	return accept(xid, auth{}, answer{results: res.octets()})
}

// data authenticates what names a context, RFC 2203 §5.3.3 and §5.4. The window moves
// after the header has verified, and not before; what it knows already is dropped
// without an answer. Under Channel it is the connection that vouches for the header.
func (s *Server) data(ctx context.Context, p *peer, c call, g gssCred) (now []byte, later func() []byte) {
	deny := func(a AuthStat) ([]byte, func() []byte) { return denyAuth(c.xid, a), nil }
	if !g.fits() || g.proc != procData && c.proc != nullProc {
		return deny(AuthBadCred)
	}
	bare := g.service == Channel && g.proc != procBind
	if bare && (c.verf.flavor != flavorNone || len(c.verf.body) > 0) || !bare && c.verf.flavor != flavorGSS {
		return deny(AuthBadVerf)
	}
	e, ended := s.open.get(g.handle)
	switch {
	case ended:
		return deny(CtxProblem)
	case e == nil:
		return deny(CredProblem)
	case e.version != g.version || bare && !e.boundTo(p.channel):
		return deny(AuthBadCred)
	case g.proc == procBind && g.version == version3: // RFC 7861 §2.5
		return accept(c.xid, auth{}, answer{stat: ProcUnavail}), nil
	case g.seq > maxSeq:
		return deny(CtxProblem)
	case !e.fresh(g.seq):
		return nil, nil
	}
	if g.proc == procBind {
		return s.bind(p, c, g, e), nil
	}
	if !bare {
		if err := e.sc.VerifyMIC(c.raw, c.verf.body); err != nil {
			if errors.Is(err, gss.ContextExpired) {
				return deny(CtxProblem)
			}
			return deny(CredProblem)
		}
	}
	if !e.commit(g.seq) {
		return nil, nil
	}
	s.open.touch(e)
	if g.proc == procData && g.service < s.o.MinService {
		return deny(AuthTooWeak)
	}
	return nil, func() []byte { return s.serve(ctx, p, c, g, e) }
}

// verifier is that of a reply: RFC 2203 §5.3.3.2, RFC 5403 §3.4, RFC 7861 §2.3.
func (e *entry) verifier(c call, g gssCred) (auth, error) {
	switch {
	case g.service == Channel:
		return auth{}, nil
	case g.version == version3:
		return micAuth(e.sc, asReply(c.raw))
	}
	return mic4(e.sc, g.seq)
}

// serve answers an authenticated call.
func (s *Server) serve(ctx context.Context, p *peer, c call, g gssCred, e *entry) []byte {
	args, err := unprotect(e.sc, g.service, g.seq, c.body)
	var a answer
	switch {
	case err != nil:
		if gone(err) {
			return denyAuth(c.xid, CtxProblem)
		}
		a.stat = GarbageArgs
	case g.proc == procDestroy:
		if len(args) > 0 {
			a.stat = GarbageArgs
			break
		}
		defer closeAll(s.open.drop(e)) // after its last MIC
	case g.proc == procList:
		a = s.list(args)
	case g.proc == procCreate:
		var why AuthStat
		if a, why = s.create(ctx, p, c, g, e, args); why != 0 {
			return denyAuth(c.xid, why)
		}
	default:
		var ok bool
		if a, ok = s.once(ctx, p, c, g, e, args); !ok {
			return nil
		}
	}
	// Of a context that has ended meanwhile nothing can be protected any more. The
	// client comes back with a new one, and is told what is remembered.
	verf, err := e.verifier(c, g)
	if err != nil {
		return denyAuth(c.xid, CtxProblem) // §5.3.3.4
	}
	if a.stat == 0 {
		if a.results, err = protect(e.sc, g.service, g.seq, a.results); err != nil {
			if gone(err) {
				return denyAuth(c.xid, CtxProblem)
			}
			return nil // §5.3.3.4
		}
	}
	return fit(p, c.xid, verf, a)
}

func gone(err error) bool { return errors.Is(err, gss.NoContext) || errors.Is(err, gss.ContextExpired) }

// once has a call executed, or finds what it came to the first time. ok is false
// if it is in progress still, and the client will ask again.
func (s *Server) once(ctx context.Context, p *peer, c call, g gssCred, e *entry, args []byte) (a answer, ok bool) {
	who := e.who()
	info := who.Info()
	k := replyKey{who: p.host + "\x00" + e.peer, xid: c.xid, prog: c.prog, vers: c.vers, proc: c.proc, args: sha256.Sum256(args)}
	if e.child != nil {
		k.as = e.child.as
	}
	if info.Peer.IsZero() || info.Flags.Has(gss.Anon) {
		k.who = "handle\x00" + string(e.handle[:])
	}
	x, first := s.replies.begin(k)
	if first {
		a = answer{stat: SystemErr} // if the handler ends its goroutine
		defer func() { s.replies.end(x, a) }()
		call := &Call{XID: c.xid, Prog: c.prog, Vers: c.vers, Proc: c.proc, Args: args,
			Version: g.version, Service: g.service, Info: info, Context: who, Remote: p.addr}
		if e.child != nil {
			call.Assertions = e.child.rights
			if e.child.inner != nil {
				call.Host = e.sc.Info()
			}
		}
		a = s.execute(ctx, call)
		return a, true
	}
	if p.datagram {
		select {
		case <-x.done:
			return x.answer, true
		default:
			return answer{}, false
		}
	}
	select {
	case <-x.done:
		return x.answer, true
	case <-ctx.Done():
		return answer{}, false
	}
}
