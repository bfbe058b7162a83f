package rpcsecgss

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"

	"github.com/gsseal/gss"
)

// RFC 5403 §3.3, rgss2_bind_chan_status.
const (
	bindOK         = 0
	bindNoPrefix   = 1 // PREF_NOTSUPP
	bindNoHash     = 2 // HASH_NOTSUPP
	maxBindRefused = 4
)

// hashes are what channel bindings are hashed with, in order of preference. Their
// names are as GSS-API has OIDs of mechanisms (RFC 2744 §3.2): the contents octets.
var hashes = []struct {
	oid string
	new func() hash.Hash
}{
	{"\x60\x86\x48\x01\x65\x03\x04\x02\x01", sha256.New}, // 2.16.840.1.101.3.4.2.1
	{"\x60\x86\x48\x01\x65\x03\x04\x02\x02", sha512.New384},
	{"\x60\x86\x48\x01\x65\x03\x04\x02\x03", sha512.New},
}

// hashBindings is the hash of channel bindings, prefix and colon included; nil if
// oid is unknown.
func hashBindings(oid, bindings []byte) []byte {
	for _, h := range hashes {
		if h.oid == string(oid) {
			d := h.new()
			d.Write(bindings)
			return d.Sum(nil)
		}
	}
	return nil
}

// prefix is the part of channel bindings before the colon, RFC 5056 §2.1; nil if
// there is none.
func prefix(bindings []byte) []byte {
	p, _, ok := bytes.Cut(bindings, []byte{':'})
	if !ok || len(p) == 0 {
		return nil
	}
	return p
}

// prefixed returns those of all that have a prefix.
func prefixed(all [][]byte) [][]byte {
	return slices.DeleteFunc(slices.Clone(all), func(b []byte) bool { return prefix(b) == nil })
}

// withPrefix returns the first of all that has a prefix.
func withPrefix(all [][]byte, p []byte) []byte {
	for _, b := range all {
		if len(p) > 0 && bytes.Equal(prefix(b), p) {
			return b
		}
	}
	return nil
}

// bindArgs is the verifier's body of a BIND_CHANNEL, RFC 5403 §3.3,
// rgss2_bind_chan_verf_args:
//
//	opaque prefix<> | opaque OID of the hash<> | opaque MIC<>
//
// The MIC is over the call's header and opaque hash<>.
type bindArgs struct{ prefix, hash, mic []byte }

func (a bindArgs) auth() auth {
	var e Encoder
	e.Opaque(a.prefix)
	e.Opaque(a.hash)
	e.Opaque(a.mic)
	return auth{flavorGSS, e.b}
}

func parseBindArgs(b []byte) (a bindArgs, err error) {
	d := NewDecoder(b)
	a.prefix, a.hash, a.mic = d.Opaque(maxAuth), d.Opaque(maxAuth), d.Opaque(maxAuth)
	return a, d.Done()
}

// bindInput is what bindArgs' MIC covers.
func bindInput(raw, hash []byte) []byte {
	e := Encoder{append(make([]byte, 0, len(raw)+4+len(hash)), raw...)}
	e.Opaque(hash)
	return e.b
}

// bindRes is rgss2_bind_chan_res, RFC 5403 §3.3:
//
//	u32 status | if PREF_NOTSUPP or HASH_NOTSUPP: opaque<> list<>
//
// The body of the reply's verifier is that and opaque MIC<>, where the MIC is over
//
//	u32 sequence number | opaque hash<> | bindRes
type bindRes struct {
	status uint32
	list   [][]byte
}

func (e *Encoder) bindRes(r bindRes) {
	e.Uint32(r.status)
	if r.status != bindOK {
		e.Uint32(uint32(len(r.list)))
		for _, x := range r.list {
			e.Opaque(x)
		}
	}
}

func (r bindRes) input(seq uint32, hash []byte) []byte {
	var e Encoder
	e.Uint32(seq)
	e.Opaque(hash)
	e.bindRes(r)
	return e.b
}

func (r bindRes) auth(mic []byte) auth {
	var e Encoder
	e.bindRes(r)
	e.Opaque(mic)
	return auth{flavorGSS, e.b}
}

func parseBindRes(b []byte) (r bindRes, mic []byte, err error) {
	d := NewDecoder(b)
	switch r.status = d.Uint32(); r.status {
	case bindOK:
	case bindNoPrefix, bindNoHash:
		for range d.Len(4) {
			r.list = append(r.list, d.Opaque(maxAuth))
		}
		if r.status == bindNoHash && len(r.list) == 0 {
			return r, nil, ErrXDR
		}
	default:
		return r, nil, ErrXDR
	}
	mic = d.Opaque(maxAuth)
	return r, mic, d.Done()
}

// bind answers a BIND_CHANNEL for e, RFC 5403 §3.3.
//
// What names an unknown prefix or hash cannot be authenticated, as nobody knows what
// its MIC covers, and yet the answer has one. So that nobody collects answers, for
// numbers of calls that are on their way, there are few for a context, each takes its
// number, and none is ahead of the others by so much that these fall out of the window.
// Which bindings the MIC of PREF_NOTSUPP covers is left open; here it is those of
// the first prefix in the list, as HASH_NOTSUPP has the first hash in its list.
func (s *Server) bind(p *peer, c call, g gssCred, e *entry) []byte {
	a, err := parseBindArgs(c.verf.body)
	if err != nil {
		return denyAuth(c.xid, AuthBadVerf)
	}
	if len(c.body) > 0 { // the null procedure has no arguments
		return accept(c.xid, auth{}, answer{stat: GarbageArgs})
	}
	all := p.bindings()
	bindings, with := withPrefix(all, a.prefix), a.hash
	var res bindRes
	switch {
	case hashBindings(a.hash, nil) == nil:
		res.status, with = bindNoHash, []byte(hashes[0].oid)
		for _, h := range hashes {
			res.list = append(res.list, []byte(h.oid))
		}
	case bindings == nil:
		res.status = bindNoPrefix
		for _, b := range all {
			res.list = append(res.list, prefix(b))
		}
	}
	if bindings == nil && len(all) > 0 {
		bindings = all[0]
	}
	hash := hashBindings(with, bindings)
	switch {
	case res.status != bindOK:
		if !e.refuse(g.seq) {
			return denyAuth(c.xid, AuthRejectedVerf)
		}
	case e.sc.VerifyMIC(bindInput(c.raw, hash), a.mic) != nil:
		s.open.halve(e) // RFC 5403 §9
		return denyAuth(c.xid, CredProblem)
	case !e.commit(g.seq):
		return nil
	}
	s.open.touch(e)
	mic, err := e.sc.MIC(nil, res.input(g.seq, hash))
	verf := res.auth(mic)
	if err != nil || len(verf.body) > maxAuth {
		return denyAuth(c.xid, CtxProblem)
	}
	if res.status == bindOK {
		e.bind(p.channel)
	}
	return accept(c.xid, verf, answer{})
}

// refuse takes the number of a BIND_CHANNEL that nobody authenticated.
func (e *entry) refuse(seq uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused == maxBindRefused || seq > e.high && seq-e.high > Window/(2*maxBindRefused) || e.win.Commit(uint64(seq)) != nil {
		return false
	}
	e.refused++
	e.high = max(e.high, seq)
	return true
}

// badBindings is the error of a channel that is not the same for both sides, as far as
// they can tell.
func badBindings(sc gss.Context, remote bool, err error) error {
	return &gss.Error{Op: "Bind_channel", Mech: sc.Info().Mech, Major: gss.BadBindings, Remote: remote, Err: err}
}
