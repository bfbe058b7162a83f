package rpcsecgss

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// RFC 2203 §3 and §5, RFC 5403 §3.2, RFC 7861 §2.4.
const (
	version1   = 1
	version2   = 2
	version3   = 3
	maxVersion = version3

	procData     = 0
	procInit     = 1
	procContinue = 2
	procDestroy  = 3
	procBind     = 4 // version 2
	procCreate   = 5 // version 3
	procList     = 6 // version 3

	maxSeq = 0x80000000 // MAXSEQ, §5.3.3.1

	// A context token that a server looks at: strangers send them, and many at a
	// time. Kerberos tickets with a large PAC and certificate chains are well below.
	maxToken = 1 << 17

	majorComplete = 0
	majorContinue = 1 // GSS_S_CONTINUE_NEEDED, RFC 2744 §3.9.1
)

// Window is how many sequence numbers the server of this package remembers of each
// context, and tells clients.
const Window = window.Size

// A Service is how a call's arguments and results are protected, RFC 2203 §5. The
// header is authenticated under each of them.
type Service uint32

const (
	None      Service = 1 // not at all
	Integrity Service = 2 // authenticated, readable by anyone
	Privacy   Service = 3 // encrypted and authenticated

	// Channel is for the secure channel beneath, such as TLS, to which the context is
	// bound, RFC 5403 §3.4: neither arguments nor header are protected by the context. It
	// needs version 2 or 3, and ClientOptions.Bindings and ServerOptions.Bindings.
	Channel Service = 4
)

// String is for people and logs.
func (s Service) String() string {
	switch s {
	case None:
		return "none"
	case Integrity:
		return "integrity"
	case Privacy:
		return "privacy"
	case Channel:
		return "channel"
	}
	return fmt.Sprintf("service %d", uint32(s))
}

// control is the service of what is about the context itself, where calls have s.
func (s Service) control() Service {
	if s == Channel {
		return Integrity
	}
	return s
}

// gssCred is the body of an RPCSEC_GSS credential, RFC 2203 §5:
//
//	u32 version | u32 procedure | u32 sequence number | u32 service | opaque handle<>
type gssCred struct {
	version, proc, seq uint32
	service            Service
	handle             []byte
}

func (c gssCred) auth() auth {
	e := Encoder{make([]byte, 0, 20+len(c.handle)+3)}
	for _, v := range [...]uint32{c.version, c.proc, c.seq, uint32(c.service)} {
		e.Uint32(v)
	}
	e.Opaque(c.handle)
	return auth{flavorGSS, e.b}
}

// parseGSSCred reads a credential's body. Of an unknown version it is only sure that
// this comes first.
func parseGSSCred(body []byte) (c gssCred, err error) {
	d := NewDecoder(body)
	c.version = d.Uint32()
	if d.Err() == nil && !c.known() {
		return c, nil
	}
	c.proc, c.seq, c.service = d.Uint32(), d.Uint32(), Service(d.Uint32())
	c.handle = d.Opaque(maxAuth)
	return c, d.Done()
}

func (c gssCred) known() bool { return c.version >= version1 && c.version <= maxVersion }

// fits is whether the version has the procedure, and the procedure may have the
// service: RFC 2203 §5.3.1, RFC 5403 §3.3 and §3.4, RFC 7861 §2.7.
func (c gssCred) fits() bool {
	most := Privacy
	if c.version >= version2 {
		most = Channel
	}
	switch c.proc {
	case procData, procDestroy:
		return c.service >= None && c.service <= most
	case procBind:
		return c.version == version2 && c.service == None || c.version == version3 // which has it to be refused, §2.5
	case procCreate:
		return c.version == version3 && (c.service == Integrity || c.service == Privacy)
	case procList:
		return c.version == version3 && c.service >= Integrity && c.service <= Channel
	}
	return false
}

// initRes is the result of INIT and CONTINUE_INIT, RFC 2203 §5.2.3.1:
//
//	opaque handle<> | u32 major | u32 minor | u32 window | opaque token<>
type initRes struct {
	handle               []byte
	major, minor, window uint32
	token                []byte
}

func (r initRes) octets() []byte {
	var e Encoder
	e.Opaque(r.handle)
	e.Uint32(r.major)
	e.Uint32(r.minor)
	e.Uint32(r.window)
	e.Opaque(r.token)
	return e.b
}

func parseInitRes(b []byte) (r initRes, err error) {
	d := NewDecoder(b)
	r.handle = d.Opaque(maxAuth)
	r.major, r.minor, r.window = d.Uint32(), d.Uint32(), d.Uint32()
	r.token = d.Opaque(len(b))
	return r, d.Done()
}

// mic4 returns the verifier over a number: the window of INIT's reply, the
// sequence number of a call's, RFC 2203 §5.2.3.1 and §5.3.3.2.
func mic4(sc gss.Context, v uint32) (auth, error) {
	return micAuth(sc, binary.BigEndian.AppendUint32(nil, v))
}

func micAuth(sc gss.Context, msg []byte) (auth, error) {
	mic, err := sc.MIC(nil, msg)
	if err == nil && len(mic) > maxAuth {
		err = &gss.Error{Op: "GetMIC", Mech: sc.Info().Mech, Major: gss.Unavailable}
	}
	return auth{flavorGSS, mic}, err
}

func verifyMIC4(sc gss.Context, v uint32, a auth) error {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return verifyMIC(sc, b[:], a)
}

func verifyMIC(sc gss.Context, msg []byte, a auth) error {
	if a.flavor != flavorGSS {
		return &gss.Error{Op: "VerifyMIC", Mech: sc.Info().Mech, Major: gss.DefectiveToken}
	}
	return sc.VerifyMIC(msg, a.body)
}

// asReply returns a call's header with its type changed to that of a reply: what the
// verifiers of version 3 cover, RFC 7861 §2.3. So they say of which call, in which
// context, which child handles may share.
func asReply(raw []byte) []byte {
	b := bytes.Clone(raw)
	binary.BigEndian.PutUint32(b[4:], msgReply)
	return b
}

// protect returns body, arguments or results, as a call with number seq carries it,
// RFC 2203 §5.3.2.2 and §5.3.2.3:
//
//	none       body, and so for channel
//	integrity  opaque (u32 seq | body)<> | opaque MIC of the same<>
//	privacy    opaque Wrap(u32 seq | body)<>
func protect(sc gss.Context, s Service, seq uint32, body []byte) ([]byte, error) {
	if s == None || s == Channel {
		return body, nil
	}
	inner := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), seq), body...)
	e := Encoder{make([]byte, 0, 64+len(inner))}
	switch s {
	case Integrity:
		mic, err := sc.MIC(nil, inner)
		if err != nil {
			return nil, err
		}
		e.Opaque(inner)
		e.Opaque(mic)
	case Privacy:
		tok, err := sc.Wrap(make([]byte, 0, len(inner)+sc.Info().Overhead), inner, gss.Confidential)
		if err != nil {
			return nil, err
		}
		e.Opaque(tok)
	default:
		return nil, &gss.Error{Op: "Wrap", Mech: sc.Info().Mech, Major: gss.BadQOP}
	}
	return e.b, nil
}

// unprotect undoes protect, and checks all of it. What it returns may alias body.
func unprotect(sc gss.Context, s Service, seq uint32, body []byte) ([]byte, error) {
	d := NewDecoder(body)
	var inner []byte
	switch s {
	case None, Channel:
		return body, nil
	case Integrity:
		inner = d.Opaque(len(body))
		mic := d.Opaque(len(body))
		if err := d.Done(); err != nil {
			return nil, err
		}
		if err := sc.VerifyMIC(inner, mic); err != nil {
			return nil, err
		}
	case Privacy:
		tok := d.Opaque(len(body))
		if err := d.Done(); err != nil {
			return nil, err
		}
		var l gss.Level
		var err error
		if inner, l, err = sc.Unwrap(nil, tok); err != nil {
			return nil, err
		}
		if l != gss.Confidential {
			return nil, &gss.Error{Op: "Unwrap", Mech: sc.Info().Mech, Major: gss.BadQOP}
		}
	default:
		return nil, &gss.Error{Op: "Unwrap", Mech: sc.Info().Mech, Major: gss.BadQOP}
	}
	d = NewDecoder(inner)
	if d.Uint32() != seq || d.Err() != nil {
		return nil, &gss.Error{Op: "Unwrap", Mech: sc.Info().Mech, Major: gss.UnseqToken}
	}
	return d.Rest(), nil
}
