package rpcsecgss

import (
	"errors"
	"fmt"
	"slices"
)

// RFC 5531 §9.
const (
	rpcVersion = 2

	msgCall  = 0
	msgReply = 1

	msgAccepted = 0
	msgDenied   = 1

	rpcMismatch = 0
	authError   = 1

	flavorNone = 0 // AUTH_NONE
	flavorGSS  = 6 // RPCSEC_GSS, RFC 2203 §3

	maxAuth = 400 // octets of a credential's or verifier's body, RFC 5531 §8.2
)

// nullProc is the procedure that every program has, RFC 5531 §12: no arguments, no
// results. What makes and ends a context calls it.
const nullProc = 0

// An AcceptStat is why a call failed that the server accepted, RFC 5531 §9.
// errors.Is finds it in a Client's error, and a Handler returns it.
type AcceptStat uint32

const (
	ProgUnavail  AcceptStat = 1 // no such program
	ProgMismatch AcceptStat = 2 // no such version of it: see VersionError
	ProcUnavail  AcceptStat = 3 // no such procedure
	GarbageArgs  AcceptStat = 4 // the arguments make no sense, or did not verify
	SystemErr    AcceptStat = 5 // the server's own trouble
)

var acceptText = [...]string{"success", "program unavailable", "program version mismatch", "procedure unavailable", "garbage arguments", "system error"}

func (s AcceptStat) Error() string {
	if int(s) < len(acceptText) {
		return "rpcsecgss: the server reports: " + acceptText[s]
	}
	return fmt.Sprintf("rpcsecgss: the server reports: accept_stat %d", uint32(s))
}

// An AuthStat is why a server denied a call, RFC 5531 §9, RFC 2203 §3 and RFC 7861
// §2.6. It is not authenticated: anybody on the line may have said so.
type AuthStat uint32

const (
	AuthBadCred      AuthStat = 1
	AuthRejectedCred AuthStat = 2
	AuthBadVerf      AuthStat = 3
	AuthRejectedVerf AuthStat = 4
	AuthTooWeak      AuthStat = 5
	AuthInvalidResp  AuthStat = 6
	AuthFailed       AuthStat = 7
	CredProblem      AuthStat = 13 // RPCSEC_GSS_CREDPROBLEM: no such context
	CtxProblem       AuthStat = 14 // RPCSEC_GSS_CTXPROBLEM: the context has ended

	InnerCredProblem AuthStat = 15 // no such context of the user whom a host vouches for
	LabelProblem     AuthStat = 16 // a label that the server does not have
	PrivilegeProblem AuthStat = 17 // a privilege that makes no sense
	UnknownMessage   AuthStat = 18 // a privilege, or kind of assertion, that the server does not know
)

var authText = map[AuthStat]string{
	AuthBadCred: "bad credential", AuthRejectedCred: "rejected credential", AuthBadVerf: "bad verifier",
	AuthRejectedVerf: "rejected verifier", AuthTooWeak: "too weak", AuthInvalidResp: "invalid response verifier",
	AuthFailed: "failed", CredProblem: "no such context", CtxProblem: "the context has ended",
	InnerCredProblem: "no such context of a user", LabelProblem: "label", PrivilegeProblem: "privilege",
	UnknownMessage: "unknown assertion",
}

func (s AuthStat) Error() string {
	if t, ok := authText[s]; ok {
		return "rpcsecgss: the server denies: " + t
	}
	return fmt.Sprintf("rpcsecgss: the server denies: auth_stat %d", uint32(s))
}

// A VersionError says which versions the server has: of the program (errors.Is
// ProgMismatch), or, if RPC, of RPC itself.
type VersionError struct {
	RPC       bool
	Low, High uint32
}

func (e *VersionError) Error() string {
	what := "the program"
	if e.RPC {
		what = "RPC"
	}
	return fmt.Sprintf("rpcsecgss: the server has versions %d to %d of %s", e.Low, e.High, what)
}

// Is reports whether target is ProgMismatch and e is about a program.
func (e *VersionError) Is(target error) bool { return target == ProgMismatch && !e.RPC }

// ErrReply is the error of a reply that is not one.
var ErrReply = errors.New("rpcsecgss: malformed reply")

// auth is an opaque_auth, RFC 5531 §8.2:
//
//	u32 flavor | opaque body<400>
type auth struct {
	flavor uint32
	body   []byte
}

func (e *Encoder) auth(a auth) {
	e.Uint32(a.flavor)
	e.Opaque(a.body)
}

func (d *Decoder) auth() (a auth) {
	a.flavor = d.Uint32()
	a.body = d.Opaque(maxAuth)
	return a
}

// header is a call's up to its verifier, RFC 5531 §9:
//
//	u32 xid | u32 CALL | u32 2 | u32 prog | u32 vers | u32 proc | opaque_auth cred
type header struct {
	xid, prog, vers, proc uint32
	cred                  auth
}

func (e *Encoder) header(h header) {
	for _, v := range [...]uint32{h.xid, msgCall, rpcVersion, h.prog, h.vers, h.proc} {
		e.Uint32(v)
	}
	e.auth(h.cred)
}

// call is a whole call. raw is the header's octets, which the verifier covers.
type call struct {
	header
	raw  []byte
	verf auth
	body []byte
}

// parseCall reads a call. What cannot be answered is ErrXDR; what can is the
// denial that answers it, and then at least xid is there.
func parseCall(msg []byte) (c call, deny []byte, err error) {
	d := NewDecoder(msg)
	c.xid = d.Uint32()
	typ, version := d.Uint32(), d.Uint32()
	if d.Err() != nil || typ != msgCall {
		return c, nil, ErrXDR
	}
	if version != rpcVersion {
		return c, denyVersion(c.xid), nil
	}
	c.prog, c.vers, c.proc = d.Uint32(), d.Uint32(), d.Uint32()
	if d.Err() != nil {
		return c, nil, ErrXDR
	}
	c.cred = d.auth()
	if d.Err() != nil {
		return c, denyAuth(c.xid, AuthBadCred), nil
	}
	c.raw = msg[:len(msg)-len(d.s)]
	c.verf = d.auth()
	if d.Err() != nil {
		return c, denyAuth(c.xid, AuthBadVerf), nil
	}
	c.body = d.Rest()
	return c, nil, nil
}

func reply(xid, stat uint32) *Encoder {
	e := &Encoder{make([]byte, 0, 32)}
	e.Uint32(xid)
	e.Uint32(msgReply)
	e.Uint32(stat)
	return e
}

func denyVersion(xid uint32) []byte {
	e := reply(xid, msgDenied)
	e.Uint32(rpcMismatch)
	e.Uint32(rpcVersion)
	e.Uint32(rpcVersion)
	return e.b
}

func denyAuth(xid uint32, s AuthStat) []byte {
	e := reply(xid, msgDenied)
	e.Uint32(authError)
	e.Uint32(uint32(s))
	return e.b
}

// An answer is what comes behind the verifier of an accepted call: an accept_stat
// and what belongs to it, which only for success may be protected.
type answer struct {
	stat      AcceptStat // 0: success
	low, high uint32     // ProgMismatch
	results   []byte     // success
}

func accept(xid uint32, verf auth, a answer) []byte {
	e := reply(xid, msgAccepted)
	e.b = slices.Grow(e.b, 8+len(verf.body)+3+12+len(a.results))
	e.auth(verf)
	e.Uint32(uint32(a.stat))
	switch a.stat {
	case 0:
		e.b = append(e.b, a.results...)
	case ProgMismatch:
		e.Uint32(a.low)
		e.Uint32(a.high)
	}
	return e.b
}

// parseReply reads a reply behind its xid and type. A denial is an error without a
// verifier; an accept_stat that is not success is an error with one.
func parseReply(msg []byte) (verf auth, results []byte, denied bool, err error) {
	d := NewDecoder(msg)
	d.take(8)
	switch d.Uint32() {
	case msgAccepted:
		verf = d.auth()
		switch stat := AcceptStat(d.Uint32()); {
		case d.bad:
		case stat == 0:
			return verf, d.Rest(), false, nil
		case stat == ProgMismatch:
			v := &VersionError{Low: d.Uint32(), High: d.Uint32()}
			if d.Err() == nil {
				return verf, nil, false, v
			}
		default:
			return verf, nil, false, stat
		}
	case msgDenied:
		switch d.Uint32() {
		case rpcMismatch:
			v := &VersionError{RPC: true, Low: d.Uint32(), High: d.Uint32()}
			if d.Err() == nil {
				return auth{}, nil, true, v
			}
		case authError:
			s := AuthStat(d.Uint32())
			if d.Err() == nil {
				return auth{}, nil, true, s
			}
		}
	}
	return auth{}, nil, false, ErrReply
}
