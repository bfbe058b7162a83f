package rpcsecgss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gsseal/gss"
)

var (
	errNoBindings = errors.New("rpcsecgss: the connection has no channel bindings")
	errNoneCommon = errors.New("rpcsecgss: no kind of channel bindings that both sides have")
)

// bindings are those of the connection, of which each has a prefix.
func (l *line) bindings() [][]byte {
	if l.c.o.Bindings == nil || l.datagram {
		return nil
	}
	return prefixed(l.c.o.Bindings(l.conn))
}

// bind binds s to the connection, RFC 5403 §3.3, with what the server supports of
// prefixes and hashes.
func (l *line) bind(ctx context.Context, s *session) error {
	all := l.bindings()
	if len(all) == 0 {
		return badBindings(s.sc, false, errNoBindings)
	}
	b, oid := all[0], []byte(hashes[0].oid)
	for range maxBindRefused {
		res, err := l.bindOnce(ctx, s, all, b, oid)
		if err != nil {
			return err
		}
		switch res.status {
		case bindOK:
			return nil
		case bindNoPrefix:
			i := slices.IndexFunc(all, func(b []byte) bool {
				return slices.ContainsFunc(res.list, func(p []byte) bool { return bytes.Equal(p, prefix(b)) })
			})
			if i < 0 {
				return badBindings(s.sc, true, errNoneCommon)
			}
			b = all[i]
		case bindNoHash:
			i := slices.IndexFunc(res.list, func(o []byte) bool { return hashBindings(o, nil) != nil })
			if i < 0 {
				return badBindings(s.sc, true, errNoneCommon)
			}
			oid = res.list[i]
		}
	}
	return badBindings(s.sc, true, errNoneCommon)
}

// bindOnce sends a BIND_CHANNEL and authenticates the answer.
func (l *line) bindOnce(ctx context.Context, s *session, all [][]byte, b, oid []byte) (res bindRes, err error) {
	c := l.c
	w := c.expect()
	defer c.forget(w)
	c.move(w, l)
	hash := hashBindings(oid, b)
	var seq uint32
	err = l.send(ctx, func() (msg []byte, err error) {
		if seq, err = s.next(maxSeq - 1); err != nil {
			return nil, err
		}
		raw := s.header(header{xid: w.xid, prog: c.prog, vers: c.vers, proc: nullProc}, procBind, seq, None)
		mic, err := s.sc.MIC(nil, bindInput(raw, hash))
		if err != nil {
			return nil, err
		}
		verf := bindArgs{prefix(b), oid, mic}.auth()
		if len(verf.body) > maxAuth {
			return nil, badBindings(s.sc, false, errNoBindings)
		}
		e := Encoder{raw}
		e.auth(verf)
		return e.b, nil
	})
	if err != nil {
		return res, err
	}
	msg, err := l.await(ctx, w, 0)
	if err != nil {
		return res, err
	}
	verf, body, _, err := parseReply(msg)
	if err != nil {
		return res, badBindings(s.sc, true, err)
	}
	res, mic, err := parseBindRes(verf.body)
	if err != nil || verf.flavor != flavorGSS || len(body) > 0 {
		return res, ErrReply
	}
	with, may := oid, [][]byte{b}
	if res.status != bindOK {
		may = all // the server may know this prefix, or another
	}
	if res.status == bindNoHash {
		with = res.list[0]
	}
	cause := error(gss.BadMIC)
	for _, x := range may {
		if cause = s.sc.VerifyMIC(res.input(seq, hashBindings(with, x)), mic); cause == nil {
			return res, nil
		}
	}
	return res, badBindings(s.sc, false, fmt.Errorf("%w: %w", errVerifier, cause))
}
