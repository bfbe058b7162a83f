package rpcsecgss

import (
	"context"
	"errors"
	"time"

	"github.com/gsseal/gss"
)

// A request is what is asked in a context.
type request struct {
	proc    uint32 // of the program
	gss     uint32 // of RPCSEC_GSS
	service Service
	args    func(raw []byte) ([]byte, error) // given the header, which changes each time
}

// fixed is arguments that have nothing to do with the header.
func fixed(args []byte) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return args, nil }
}

// A sent is one transmission of a call.
type sent struct {
	seq uint32
	raw []byte // its header, version 3
}

// exchange makes a call in s. gone says that s is of no more use and that, as err
// says, the server did not do what this asked.
func (l *line) exchange(ctx context.Context, s *session, w *waiter, r request) (results []byte, gone bool, err error) {
	var all []sent
	c := l.c
	wait := c.o.Retransmit
	for len(w.replies) > 0 { // a denial does not say of which transmission it is
		<-w.replies
	}
	for {
		// A number is taken when the line is free: MIT's server and libtirpc's take
		// one that was overtaken by too many for the end of the context.
		err = l.send(ctx, func() ([]byte, error) {
			seq, err := s.next(maxSeq - 1) // one is left for DESTROY
			if err != nil {
				return nil, err
			}
			msg, raw, err := s.sealRequest(header{xid: w.xid, prog: c.prog, vers: c.vers, proc: r.proc}, seq, r)
			all = append(all, sent{seq, raw})
			return msg, err
		})
		if err != nil {
			return nil, errors.Is(err, gss.ContextExpired) || errors.Is(err, gss.NoContext), err
		}
		for again := false; !again; {
			msg, err := l.await(ctx, w, wait)
			if err != nil {
				return nil, false, err
			}
			if msg == nil {
				wait, again = min(2*wait, 16*c.o.Retransmit), true
				continue
			}
			results, gone, err := s.open(msg, all, r.service)
			if errors.Is(err, errVerifier) || errors.Is(err, ErrReply) {
				if l.datagram {
					continue // anybody can send one
				}
			}
			return results, gone, err
		}
	}
}

// callPlain makes a call with AUTH_NONE.
func (l *line) callPlain(ctx context.Context, w *waiter, proc uint32, args []byte) ([]byte, error) {
	c := l.c
	var e Encoder
	e.header(header{xid: w.xid, prog: c.prog, vers: c.vers, proc: proc})
	e.auth(auth{})
	e.b = append(e.b, args...)
	for wait := c.o.Retransmit; ; wait = min(2*wait, 16*c.o.Retransmit) {
		if err := l.send(ctx, octets(e.b)); err != nil {
			return nil, err
		}
		msg, err := l.await(ctx, w, wait)
		if err != nil {
			return nil, err
		}
		if msg != nil {
			_, results, _, err := parseReply(msg)
			return results, err
		}
	}
}

// await waits for a reply. It returns nil and no error if a datagram should be
// sent again.
func (l *line) await(ctx context.Context, w *waiter, wait time.Duration) ([]byte, error) {
	var timer <-chan time.Time
	if l.datagram {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case msg := <-w.replies:
		return msg, nil
	case <-timer:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.dead:
		select { // the last one may have been in it
		case msg := <-w.replies:
			return msg, nil
		default:
			return nil, l.err
		}
	}
}
