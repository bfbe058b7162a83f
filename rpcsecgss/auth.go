package rpcsecgss

import (
	"encoding/binary"
	"fmt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// RFC 2203 §3 and §5.
const (
	gssVersion = 1

	procData     = 0
	procInit     = 1
	procContinue = 2
	procDestroy  = 3

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
	}
	return fmt.Sprintf("service %d", uint32(s))
}

func (s Service) valid() bool { return s >= None && s <= Privacy }

// gssCred is the body of an RPCSEC_GSS credential, RFC 2203 §5:
//
//	u32 version | u32 procedure | u32 sequence number | u32 service | opaque handle<>
type gssCred struct {
	version, proc, seq uint32
	service            Service
	handle             []byte
}

func (c gssCred) auth() auth {
	var e Encoder
	for _, v := range [...]uint32{c.version, c.proc, c.seq, uint32(c.service)} {
		e.Uint32(v)
	}
	e.Opaque(c.handle)
	return auth{flavorGSS, e.b}
}

// parseGSSCred reads a credential's body. Of another version it is only sure that
// this comes first.
func parseGSSCred(body []byte) (c gssCred, err error) {
	d := NewDecoder(body)
	c.version = d.Uint32()
	if d.Err() == nil && c.version != gssVersion {
		return c, nil
	}
	c.proc, c.seq, c.service = d.Uint32(), d.Uint32(), Service(d.Uint32())
	c.handle = d.Opaque(maxAuth)
	return c, d.Done()
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
	mic, err := sc.MIC(nil, binary.BigEndian.AppendUint32(nil, v))
	if err == nil && len(mic) > maxAuth {
		err = &gss.Error{Op: "GetMIC", Mech: sc.Info().Mech, Major: gss.Unavailable}
	}
	return auth{flavorGSS, mic}, err
}

func verifyMIC4(sc gss.Context, v uint32, a auth) error {
	if a.flavor != flavorGSS {
		return &gss.Error{Op: "VerifyMIC", Mech: sc.Info().Mech, Major: gss.DefectiveToken}
	}
	return sc.VerifyMIC(binary.BigEndian.AppendUint32(nil, v), a.body)
}

// protect returns body, arguments or results, as a call with number seq carries it,
// RFC 2203 §5.3.2.2 and §5.3.2.3:
//
//	none       body
//	integrity  opaque (u32 seq | body)<> | opaque MIC of the same<>
//	privacy    opaque Wrap(u32 seq | body)<>
func protect(sc gss.Context, s Service, seq uint32, body []byte) ([]byte, error) {
	if s == None {
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
	case None:
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
