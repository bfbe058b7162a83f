package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
)

var (
	errUntyped = errors.New("something went wrong")
	leak       chan struct{} // ends the goroutines of a fault
)

func oneToken(s *Setup)         { s.InitOptions.Require = toy.UniFlags }
func withDCE(s *Setup)          { s.InitOptions.Require = gss.DefaultFlags | gss.DCEStyle }
func refusal(m gss.Major) error { return &gss.Error{Op: "Test", Major: m} }

// lenient unwraps what its check refused: headers are 9 octets, the tag 16.
func lenient(majors ...gss.Major) func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
	return func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
		out, l, err := c.full.Unwrap(dst, tok)
		for _, m := range majors {
			if errors.Is(err, m) {
				return append(dst, "hello"...), l, nil
			}
		}
		return out, l, err
	}
}

func lenientMIC(majors ...gss.Major) func(c *brokenContext, msg, mic []byte) error {
	return func(c *brokenContext, msg, mic []byte) error {
		err := c.full.VerifyMIC(msg, mic)
		for _, m := range majors {
			if errors.Is(err, m) {
				return nil
			}
		}
		return err
	}
}

// stepIgnoring accepts, with no key in it, whatever comes.
func stepIgnoring(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.healthy(ctx, in)
	if err != nil && !h.initiator && h.steps == 1 {
		other, _ := (&toy.Krb{Party: toy.NewParty("x")}).Initiate(gss.Service("a", "b"), &gss.InitOptions{Require: toy.UniFlags})
		_, sc, _ = other.Step(ctx, nil)
		return nil, sc, nil
	}
	return out, sc, err
}

var faults = []*fault{
	// Handshakes.
	{name: "the acceptor's last token is dropped", fails: []string{"handshake/script"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if sc != nil {
				out = nil
			}
			return out, sc, err
		}},
	{name: "a token after the end", fails: []string{"handshake/script"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if sc != nil && h.initiator {
				out = []byte("thank you")
			}
			return out, sc, err
		}},
	{name: "a context with an error", fails: []string{"handshake/script"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if sc != nil {
				err = refusal(gss.Failure)
			}
			return out, sc, err
		}},
	{name: "the token is overwritten", fails: []string{"handshake/script"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			clear(in)
			return out, sc, err
		}},
	{name: "the token is kept", setup: withDCE, fails: []string{"handshake/script"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			if h.steps == 2 && !h.initiator && h.kept[0] != 0x6e {
				return nil, nil, refusal(gss.DefectiveToken)
			}
			h.kept = in
			return h.healthy(ctx, in)
		}},
	{name: "names differ", fails: []string{"handshake/names", "handshake/script"},
		info: func(i gss.Info) gss.Info {
			if !i.Initiator {
				i.Local.Text += ".example.net"
			}
			return i
		}},
	{name: "names are of no mechanism", fails: []string{"handshake/names"},
		info: func(i gss.Info) gss.Info { i.Local.Type = oid.NTUser; i.Peer.Type = oid.NTUser; return i }},
	{name: "flags differ", fails: []string{"handshake/info"},
		info: func(i gss.Info) gss.Info {
			if !i.Initiator {
				i.Flags &^= gss.Conf
			}
			return i
		}},
	{name: "both initiate", fails: []string{"handshake/info"}, info: func(i gss.Info) gss.Info { i.Initiator = true; return i }},
	{name: "a context belongs to negotiation", fails: []string{"handshake/info"}, info: func(i gss.Info) gss.Info { i.Mech = oid.SPNEGO; return i }},
	{name: "a second context from one handshake", fails: []string{"handshake/after-end"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			if h.last != nil {
				return nil, h.last, nil
			}
			return h.healthy(ctx, in)
		}},
	{name: "another try after an error", fails: []string{"handshake/after-error"},
		accept: func(m *toy.Krb, o *gss.AcceptOptions) (gss.Handshake, error) { return &retry{m: m, o: o}, nil }},
	{name: "a closed handshake goes on", fails: []string{"handshake/close"}, closeHS: func(*brokenHandshake) error { return nil }},
	{name: "Close of a handshake closes its context", fails: []string{"handshake/close", "prf/after-handshake-close"},
		closeHS: func(h *brokenHandshake) error {
			if h.last != nil {
				h.last.Close()
			}
			return h.Handshake.Close()
		}},
	{name: "Close of a handshake erases a shared key", fails: []string{"prf/after-handshake-close", "handshake/script"},
		closeHS: func(h *brokenHandshake) error {
			if h.last != nil {
				h.last.erased = true
			}
			return h.Handshake.Close()
		},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			if c.erased && c.Info().Initiator {
				return make([]byte, n), nil
			}
			return c.full.PRF(key, in, n)
		}},
	{name: "a bare context.Canceled", fails: []string{"handshake/canceled"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			return h.healthy(ctx, in)
		}},
	{name: "a mechanism with room for one handshake", fails: []string{"handshake/concurrent"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			defer inside.Add(-1)
			if inside.Add(1) > 1 {
				return nil, nil, refusal(gss.Failure)
			}
			time.Sleep(time.Millisecond)
			return h.healthy(ctx, in)
		}},
	{name: "a goroutine is left", fails: []string{"handshake/goroutines"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			go func() { <-leak }()
			return h.healthy(ctx, in)
		}},

	// Hostile tokens.
	{name: "an empty token panics", fails: []string{"hostile/garbage"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			if !h.initiator {
				_ = in[0]
			}
			return h.healthy(ctx, in)
		}},
	{name: "a length is taken at its word", fails: []string{"hostile/memory"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			if len(in) > 5 && in[1] == 0x84 {
				h.kept = make([]byte, min(binary.BigEndian.Uint32(in[2:]), 64<<20))
			}
			return h.healthy(ctx, in)
		}},
	{name: "errors without a Major", fails: []string{"hostile/garbage", "hostile/truncated", "hostile/bit-flips", "handshake/after-error"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if err != nil {
				err = errUntyped
			}
			return out, sc, err
		}},
	{name: "a Major of nobody", fails: []string{"hostile/garbage"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if err != nil {
				err = refusal(0)
			}
			return out, sc, err
		}},
	{name: "whatever comes is accepted", setup: oneToken, step: stepIgnoring,
		fails: []string{"hostile/garbage", "hostile/framing", "hostile/truncated", "hostile/extended", "hostile/bit-flips"}},
	{name: "no check of the framing", fails: []string{"hostile/framing", "hostile/extended"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			der := toy.KrbOID.AppendDER(nil)
			if at := bytes.Index(in, der) + len(der); !h.initiator && at >= len(der) {
				inner := in[at:min(len(in), at+1+4+32+2+len("user:alice")+2+len("svc:host@files.example.org")+1+32+32)]
				in = gss.AppendToken(nil, toy.KrbOID, inner)
			}
			return h.healthy(ctx, in)
		}},
	{name: "any reply completes the initiator", fails: []string{"hostile/spliced", "hostile/bit-flips", "hostile/reflected", "hostile/garbage"},
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if err != nil && h.initiator && h.steps == 2 {
				other, _ := (&toy.Krb{Party: toy.NewParty("x")}).Initiate(gss.Service("a", "b"), &gss.InitOptions{Require: toy.UniFlags})
				_, sc, _ = other.Step(ctx, nil)
				return nil, sc, nil
			}
			return out, sc, err
		}},
	{name: "no memory of first tokens", setup: oneToken, fails: []string{"hostile/replayed"},
		accept: func(m *toy.Krb, o *gss.AcceptOptions) (gss.Handshake, error) {
			return (&toy.Krb{Party: toy.NewParty("files")}).Accept(o)
		}},

	// Options.
	{name: "nil options panic", fails: []string{"options/defaults"},
		accept: func(m *toy.Krb, o *gss.AcceptOptions) (gss.Handshake, error) { _ = o.Require; return m.Accept(o) }},
	{name: "Require is a wish", fails: []string{"options/require-refused"},
		initiate: func(m *toy.Krb, target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
			r := o.Resolved()
			r.Require &= gss.DefaultFlags
			return m.Initiate(target, &r)
		}},
	{name: "the acceptor's Require is a wish", fails: []string{"options/accept-require-refused"},
		accept: func(m *toy.Krb, o *gss.AcceptOptions) (gss.Handshake, error) {
			r := o.Resolved()
			r.Require = 0
			return m.Accept(&r)
		}},
	{name: "any target will do", fails: []string{"options/target"},
		initiate: func(m *toy.Krb, target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
			return m.Initiate(gss.Service("host", "files.example.org"), o)
		}},
	{name: "a default credential behind the caller's back", fails: []string{"options/credential-of-another"},
		initiate: func(m *toy.Krb, target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
			r := o.Resolved()
			r.Credentials = nil
			return m.Initiate(target, &r)
		}},
	{name: "options are kept", fails: []string{"options/not-kept"},
		initiate: func(m *toy.Krb, target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
			return &late{m: m, target: target, o: o}, nil
		}},
	{name: "the acceptor's bindings are ignored", fails: []string{"bindings/equal", "bindings/different", "bindings/acceptor-only"},
		accept: func(m *toy.Krb, o *gss.AcceptOptions) (gss.Handshake, error) {
			r := o.Resolved()
			r.Bindings = nil
			return m.Accept(&r)
		}},
	{name: "Bound without bindings", fails: []string{"bindings/initiator-only", "bindings/optional", "handshake/info"},
		info: func(i gss.Info) gss.Info { i.Flags |= gss.Bound; return i }},

	// Messages.
	{name: "large messages are cut", fails: []string{"wrap/roundtrip"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			return c.full.Wrap(dst, msg[:min(len(msg), 65535)], l)
		}},
	{name: "Overhead is a guess", fails: []string{"wrap/roundtrip"}, info: func(i gss.Info) gss.Info { i.Overhead = 16; return i }},
	{name: "the level is a guess", fails: []string{"wrap/roundtrip"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			out, _, err := c.full.Unwrap(dst, tok)
			return out, gss.Confidential, err
		}},
	{name: "Confidential is clear text", fails: []string{"wrap/confidential"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			return c.full.Wrap(dst, msg, gss.IntegrityOnly)
		}},
	{name: "Confidential without Conf is clear text", fails: []string{"wrap/level"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			out, err := c.full.Wrap(dst, msg, l)
			if errors.Is(err, gss.Unavailable) {
				return c.full.Wrap(dst, msg, gss.IntegrityOnly)
			}
			return out, err
		}},
	{name: "an unknown level is the best", fails: []string{"wrap/level"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			if l > gss.IntegrityOnly {
				l = gss.Confidential
			}
			return c.full.Wrap(dst, msg, l)
		}},
	{name: "forged tokens pass", unwrap: lenient(gss.BadMIC),
		fails: []string{"wrap/tampered", "wrap/truncated", "wrap/extended", "wrap/reflected", "wrap/another-context", "dst/on-error"}},
	{name: "forged MICs pass", verify: lenientMIC(gss.BadMIC),
		fails: []string{"mic/tampered", "mic/reflected", "mic/another-context"}},
	{name: "a MIC of any length", verify: lenientMIC(gss.DefectiveToken), fails: []string{"mic/truncated", "mic/tampered", "message/type-confusion"}},
	{name: "a MIC needs to begin well", fails: []string{"mic/truncated"},
		verify: func(c *brokenContext, msg, mic []byte) error {
			return c.full.VerifyMIC(msg, mic[:min(len(mic), 1+8+sha256.Size)])
		}},
	{name: "MIC overwrites its message", fails: []string{"mic/roundtrip"},
		mic: func(c *brokenContext, dst, msg []byte) ([]byte, error) {
			out, err := c.full.MIC(dst, msg)
			clear(msg)
			return out, err
		}},
	{name: "types are not told apart", unwrap: lenient(gss.DefectiveToken), fails: []string{"message/type-confusion", "message/garbage"}},
	{name: "forgeries move the window", fails: []string{"wrap/tampered"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			out, l, err := c.full.Unwrap(dst, tok)
			if errors.Is(err, gss.BadMIC) {
				c.erased = true
			} else if c.erased {
				return dst, 0, refusal(gss.UnseqToken)
			}
			return out, l, err
		}},
	{name: "one scratch buffer for all", fails: []string{"message/concurrent"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			scratch.Lock()
			scratch.msg = append(scratch.msg[:0], msg...)
			scratch.Unlock()
			time.Sleep(100 * time.Microsecond) // somebody else's turn
			scratch.Lock()
			defer scratch.Unlock()
			return c.full.Wrap(dst, scratch.msg, l)
		}},

	// Sequence.
	{name: "duplicates pass", unwrap: lenient(gss.DuplicateToken), fails: []string{"sequence/replayed", "sequence/replay-only"}},
	{name: "duplicate MICs pass", verify: lenientMIC(gss.DuplicateToken), fails: []string{"sequence/replayed"}},
	{name: "old tokens pass", unwrap: lenient(gss.OldToken), fails: []string{"sequence/old"}},
	{name: "gaps pass", unwrap: lenient(gss.GapToken), fails: []string{"sequence/gap", "sequence/reordered"}},
	{name: "late MICs pass", verify: lenientMIC(gss.UnseqToken), fails: []string{"sequence/reordered"}},
	{name: "a gap is the end", fails: []string{"sequence/gap"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			if c.erased {
				return dst, 0, refusal(gss.GapToken)
			}
			out, l, err := c.full.Unwrap(dst, tok)
			c.erased = errors.Is(err, gss.GapToken)
			return out, l, err
		}},
	{name: "duplicates come with their message", fails: []string{"sequence/replayed", "dst/on-error"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			out, l, err := c.full.Unwrap(dst, tok)
			if errors.Is(err, gss.DuplicateToken) {
				out = append(dst, text(200)...)
			}
			return out, l, err
		}},

	// dst.
	{name: "a message is left behind dst", fails: []string{"dst/on-error"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			out, l, err := c.full.Unwrap(dst, tok)
			if errors.Is(err, gss.DuplicateToken) {
				_ = append(dst, text(200)...)
			}
			return out, l, err
		}},
	{name: "dst is not appended to", fails: []string{"dst/append"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			return c.full.Wrap(dst[:0], msg, l)
		}},
	{name: "dst is never used", fails: []string{"dst/append", "dst/allocations"},
		wrap: func(c *brokenContext, dst, msg []byte, l gss.Level) ([]byte, error) {
			return c.full.Wrap(bytes.Clone(dst), msg, l)
		}},
	{name: "dst is nil on an error", fails: []string{"dst/on-error", "close/every-method"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			out, l, err := c.full.Unwrap(dst, tok)
			if err != nil {
				out = nil
			}
			return out, l, err
		}},
	{name: "the message aliases its token", fails: []string{"dst/append"},
		unwrap: func(c *brokenContext, dst, tok []byte) ([]byte, gss.Level, error) {
			out, l, err := c.full.Unwrap(dst, tok)
			if err == nil && l == gss.IntegrityOnly && len(dst) > 0 {
				return append(dst[:0:0], "prefix"...), l, err
			}
			return out, l, err
		}},
	{name: "a PRF's result is kept", fails: []string{"dst/not-kept"},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			if string(in) == "kept" && c.kept != nil {
				return c.kept, nil
			}
			k, err := c.full.PRF(key, in, n)
			if string(in) == "kept" {
				c.kept = k
			}
			return k, err
		}},
	{name: "MIC allocates", fails: []string{"dst/allocations"},
		mic: func(c *brokenContext, dst, msg []byte) ([]byte, error) { return c.full.MIC(dst, bytes.Clone(msg)) }},

	// PRF.
	{name: "the PRF is a constant", fails: []string{"prf/agreement", "prf/distinct", "prf/after-handshake-close"},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			return make([]byte, max(n, 0)), nil
		}},
	{name: "the PRF knows no context", fails: []string{"prf/distinct"},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			h := sha256.Sum256(in)
			if n == 32 {
				return h[:], nil
			}
			return c.full.PRF(key, in, n)
		}},
	{name: "each side has a PRF of its own", fails: []string{"prf/agreement", "handshake/script", "handshake/concurrent"},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			if c.Info().Initiator {
				in = append(bytes.Clone(in), 1)
			}
			return c.full.PRF(key, in, n)
		}},
	{name: "no limit to a PRF", fails: []string{"prf/limits"},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			return c.full.PRF(key, in[:min(len(in), gss.MaxPRF)], min(max(n, 0), gss.MaxPRF))
		}},

	// Close.
	{name: "Close does nothing", fails: []string{"close/every-method"}, close: func(*brokenContext) error { return nil }},
	{name: "Close twice is an error", fails: []string{"close/every-method"},
		close: func(c *brokenContext) error {
			if c.erased {
				return refusal(gss.NoContext)
			}
			c.erased = true
			return c.full.Close()
		}},
	{name: "Close closes all contexts", fails: []string{"close/independent"},
		close: func(c *brokenContext) error { open.Delete(c); open.Range(closeAll); return c.full.Close() },
		step: func(h *brokenHandshake, ctx context.Context, in []byte) ([]byte, gss.Context, error) {
			out, sc, err := h.healthy(ctx, in)
			if sc != nil {
				open.Store(sc, true)
			}
			return out, sc, err
		}},
	{name: "Close does not wait", fails: []string{"close/concurrent"},
		prf: func(c *brokenContext, key gss.PRFKey, in []byte, n int) ([]byte, error) {
			k, err := c.full.PRF(key, in, n)
			if errors.Is(err, gss.NoContext) {
				return make([]byte, n), nil // the key was just erased
			}
			return k, err
		}},

	// What is optional.
	{name: "everybody is first", fails: []string{"optional/claim"}, claim: func(*brokenContext, string) bool { return true }},
	{name: "Claim after Close", fails: []string{"close/every-method"},
		claim: func(c *brokenContext, label string) bool { return label == "after close" || c.full.Claim(label) }},
	{name: "one state is imported twice", fails: []string{"optional/export"},
		imports: func(m *toy.Krb, state []byte) (gss.Context, error) {
			return (&toy.Krb{Party: toy.NewParty("x")}).Import(state)
		}},
	{name: "an exported context lives on", fails: []string{"optional/export"},
		export: func(c *brokenContext) ([]byte, error) { return []byte("state"), nil }},
	{name: "delegation from nowhere", fails: []string{"optional/delegated"},
		deleg: func(*brokenContext) (gss.Credential, error) { return &toy.Cred{OID: toy.KrbOID, User: "root"}, nil }},
	{name: "associated data is ignored", fails: []string{"optional/aead"},
		unaead: func(c *brokenContext, dst, tok, ad []byte) ([]byte, gss.Level, error) {
			out, l, err := c.full.UnwrapAEAD(dst, tok, ad)
			if errors.Is(err, gss.BadMIC) {
				return append(dst, "hello"...), l, nil
			}
			return out, l, err
		}},
	{name: "names are cut at a NUL", fails: []string{"optional/canonicalize"},
		canonical: func(m *toy.Krb, n gss.Name) (gss.Name, error) {
			user, _, _ := bytes.Cut([]byte(n.Text), []byte{0})
			if n.Text == "alice" {
				user = []byte("a")
			}
			n.Text = string(user)
			return m.Canonicalize(context.Background(), n)
		}},
	{name: "an attribute is missing", fails: []string{"optional/attributes"},
		attributes: func(m *toy.Krb) []oid.OID { return m.Attributes()[:5] }},
}

var (
	scratch struct {
		sync.Mutex
		msg []byte
	}
	inside atomic.Int32 // Steps
	open   sync.Map     // contexts
)

func closeAll(sc, _ any) bool { sc.(*brokenContext).full.Close(); return true }

// retry begins again after an error.
type retry struct {
	m *toy.Krb
	o *gss.AcceptOptions
	h gss.Handshake
}

func (r *retry) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if r.h == nil {
		r.h, _ = r.m.Accept(r.o)
	}
	out, sc, err := r.h.Step(ctx, in)
	if err != nil {
		r.h = nil
	}
	return out, sc, err
}

func (r *retry) Close() error { return nil }

// late looks at its options in Step.
type late struct {
	m      *toy.Krb
	target gss.Name
	o      *gss.InitOptions
	h      gss.Handshake
}

func (l *late) Step(ctx context.Context, in []byte) (out []byte, sc gss.Context, err error) {
	if l.h == nil {
		if l.h, err = l.m.Initiate(l.target, l.o); err != nil {
			return nil, nil, err
		}
	}
	return l.h.Step(ctx, in)
}

func (l *late) Close() error { return nil }
