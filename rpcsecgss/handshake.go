package rpcsecgss

import (
	"context"
	"errors"
	"fmt"

	"github.com/gsseal/gss"
)

// maxLegs is more tokens than any mechanism sends.
const maxLegs = 32

// errLost says that a datagram of a handshake was not answered. A token must not
// be sent twice (its receiver takes the second for a replay), so the handshake
// starts over.
var errLost = errors.New("rpcsecgss: no answer")

// establish makes a context, and what calls need beyond that.
func (l *line) establish(ctx context.Context) (*session, error) {
	c := l.c
	version := c.version
	if version < c.o.MinVersion || version > maxVersion {
		return nil, &gss.Error{Op: "Init_sec_context", Mech: c.o.Mech.OID(), Major: gss.Unavailable, Err: errVersion}
	}
	o := c.o.Init
	if c.o.Service == Privacy || c.o.User != nil {
		o.Request |= gss.Conf
		if o.Require == 0 {
			o.Require = gss.Mutual | gss.Integ
		}
		o.Require |= gss.Conf
	}
	s, err := l.initiate(ctx, c.o.Mech, c.o.Target, o, version)
	if err != nil {
		return nil, err
	}
	if version == version2 && s.service == Channel {
		err = l.bind(ctx, s)
	} else if version == version3 && (s.service == Channel || c.o.User != nil || len(c.o.Assertions) > 0) {
		var child *session
		if child, err = l.create(ctx, s); err == nil {
			return child, nil
		}
	}
	if err != nil {
		l.destroy(ctx, s)
		s.close()
		return nil, err
	}
	return s, nil
}

// initiate makes a context, RFC 2203 §5.2.
func (l *line) initiate(ctx context.Context, m gss.Mechanism, target gss.Name, o gss.InitOptions, version uint32) (*session, error) {
	const never = gss.Replay | gss.Sequence // §5.2.2
	o.Require, o.Request = o.Require&^never, o.Request&^never
	if o.Require == 0 {
		o.Require = gss.Mutual | gss.Integ
	}
	if version == version2 {
		o.Bindings = nil // RFC 5403 §5
	}
	h, err := m.Initiate(target, &o)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	s := &session{version: version, service: l.c.o.Service}
	if err := l.handshake(ctx, m, h, s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// handshake fills in s, whose context the caller closes on an error too.
func (l *line) handshake(ctx context.Context, m gss.Mechanism, h gss.Handshake, s *session) error {
	fail := func(err error) error {
		return &gss.Error{Op: "Init_sec_context", Mech: m.OID(), Major: gss.Failure, Err: err}
	}
	var res initRes
	var verf auth
	proc := uint32(procInit)
	complete := false
	for legs := 0; ; legs++ {
		if legs == maxLegs {
			return fail(errEnd)
		}
		var out []byte
		if s.sc == nil {
			var err error
			if out, s.sc, err = h.Step(ctx, res.token); err != nil {
				if len(out) > 0 && !complete {
					l.tell(ctx, s, proc, out) // why
				}
				return err
			}
		} else if len(res.token) > 0 {
			return fail(errEnd)
		}
		if complete {
			if s.sc == nil || len(out) > 0 {
				return fail(errEnd)
			}
			break
		}
		if len(out) == 0 {
			return fail(errEnd) // we have nothing to say, and the server waits
		}
		var err error
		if res, verf, err = l.leg(ctx, s, proc, out); err != nil {
			return err
		}
		switch res.major {
		case majorComplete:
			complete = true
		case majorContinue:
		default:
			return &gss.Error{Op: "Init_sec_context", Mech: m.OID(), Major: gss.Major(res.major), Minor: res.minor, Remote: true}
		}
		if proc++; proc > procContinue {
			proc = procContinue
		}
		s.handle = res.handle
	}
	if err := verifyMIC4(s.sc, res.window, verf); err != nil {
		return fmt.Errorf("%w: %w", errVerifier, err)
	}
	if s.sc.Info().Flags.Has(gss.Sequence) {
		return fail(errSequence)
	}
	if res.window == 0 {
		return fail(ErrReply)
	}
	// The MIC that was just verified is that of a reply to a call with this number, in
	// versions 1 and 2: there is to be none.
	s.never = res.window
	s.slots = make(chan struct{}, min(res.window, maxOutstanding))
	return nil
}

// token returns a call of INIT or CONTINUE_INIT, RFC 2203 §5.2.2. Its service is
// ignored by RFC 2203, but not by servers.
func (c *Client) token(xid uint32, s *session, proc uint32, tok []byte) []byte {
	var e Encoder
	e.header(header{xid: xid, prog: c.prog, vers: c.vers, proc: nullProc, cred: gssCred{s.version, proc, 0, c.o.Service.control(), s.handle}.auth()})
	e.auth(auth{})
	e.Opaque(tok)
	return e.b
}

func (l *line) leg(ctx context.Context, s *session, proc uint32, tok []byte) (initRes, auth, error) {
	c := l.c
	w := c.expect()
	defer c.forget(w)
	c.move(w, l)
	if err := l.send(ctx, octets(c.token(w.xid, s, proc, tok))); err != nil {
		return initRes{}, auth{}, err
	}
	// Of a mechanism's work in a busy server it cannot be told that it takes long.
	msg, err := l.await(ctx, w, 4*c.o.Retransmit)
	if err != nil {
		return initRes{}, auth{}, err
	}
	if msg == nil {
		return initRes{}, auth{}, errLost
	}
	verf, body, _, err := parseReply(msg)
	if err != nil {
		return initRes{}, auth{}, err
	}
	res, err := parseInitRes(body)
	if err != nil {
		return initRes{}, auth{}, ErrReply
	}
	return res, verf, nil
}

// tell sends a last token and waits for nothing.
func (l *line) tell(ctx context.Context, s *session, proc uint32, tok []byte) {
	w := l.c.expect()
	defer l.c.forget(w)
	l.send(ctx, octets(l.c.token(w.xid, s, proc, tok)))
}
