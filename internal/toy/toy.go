// Package toy holds mechanisms for tests of what runs over any mechanism. They
// have the shapes of real ones (how many tokens, who completes first, what can be
// refused when) and pass the conformance suite, but not their formats, and their
// security is one secret that all parties share. Only tests may import it.
//
//	Krb   Kerberos' shape: 1 token, 2 with Mutual, 3 in DCE style; delegation,
//	      error tokens, bare first tokens, export
//	PK    SIGMA's: 3 tokens, the initiator completes first, alerts
//	Uni   1 token from a known sender
//	Nego  negotiation among others, with a MIC over what was offered
package toy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// The toys' OIDs. Their names are KrbOID's.
const (
	arc     = oid.Arc + "\x7e"
	KrbOID  = arc + "\x01"
	PKOID   = arc + "\x02"
	UniOID  = arc + "\x03"
	NegoOID = arc + "\x04"
)

// A Party is what the mechanisms of one process share: the secret, who it is, and
// what it has seen. All parties that talk to each other have one Secret.
type Party struct {
	Secret []byte
	User   string // default identity; empty: none

	mu   sync.Mutex
	seen map[string]bool
}

// NewParty returns a party with the secret of all parties that are made so.
func NewParty(user string) *Party { return &Party{Secret: []byte("toy secret"), User: user} }

// strike reports whether key is new.
func (p *Party) strike(key []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[string(key)] {
		return false
	}
	if p.seen == nil {
		p.seen = make(map[string]bool)
	}
	p.seen[string(key)] = true
	return true
}

// mac is HMAC-SHA-256 of a label and the parts, each with its length.
func (p *Party) mac(label string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, p.Secret)
	for _, b := range append([][]byte{[]byte(label)}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return h.Sum(nil)
}

// A Cred is a toy credential of one mechanism.
type Cred struct {
	OID  oid.OID
	User string
}

func (c *Cred) Mech() oid.OID     { return c.OID }
func (c *Cred) Name() gss.Name    { return name(c.User) }
func (c *Cred) Expiry() time.Time { return time.Time{} }
func (c *Cred) Close() error      { return nil }

func name(user string) gss.Name { return gss.Name{Mech: KrbOID, Text: "user:" + user} }

// canonical is Canonicalize of all toys: "user:" or "svc:" and the name as given.
func canonical(mech oid.OID, n gss.Name) (gss.Name, error) {
	var text string
	bad := &gss.Error{Op: "Canonicalize_name", Mech: mech, Major: gss.BadName}
	switch {
	case n.IsZero():
		return gss.Name{}, bad
	case n.Mech == KrbOID && n.Type == "":
		text = n.Text
	case n.Mech != "":
		return gss.Name{}, bad
	case n.Type == oid.NTHostService:
		text = "svc:" + n.Text
	case n.Type == oid.NTUser:
		text = "user:" + n.Text
	default:
		bad.Major = gss.BadNameType
		return gss.Name{}, bad
	}
	kind, rest, _ := strings.Cut(text, ":")
	service, host, at := strings.Cut(rest, "@")
	if rest == "" || len(rest) > 1024 || !utf8.ValidString(rest) || strings.ContainsRune(rest, 0) ||
		kind != "user" && kind != "svc" || kind == "svc" && (service == "" || host == "" || !at) {
		return gss.Name{}, bad
	}
	return gss.Name{Mech: KrbOID, Text: text}, nil
}

// An ask is what an Initiate comes to.
type ask struct {
	local, target gss.Name
	flags         gss.Flags // required or requested, as far as the mechanism has them
	cbp           byte
	cbh           [sha256.Size]byte
	opts          gss.InitOptions
}

// begin checks what every Initiate checks.
func (p *Party) begin(mech oid.OID, can gss.Flags, target gss.Name, o *gss.InitOptions) (*ask, error) {
	if err := o.Check(gss.Info{Mech: mech, Flags: can}); err != nil {
		return nil, err
	}
	a := &ask{opts: o.Resolved()}
	c, err := gss.SelectCredential(a.opts.Credentials, mech)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		a.local = c.Name()
	case p.User == "":
		return nil, &gss.Error{Op: "Init_sec_context", Mech: mech, Major: gss.NoCred}
	default:
		a.local = name(p.User)
	}
	if a.target, err = canonical(mech, target); err != nil {
		return nil, err
	}
	a.flags = (a.opts.Require|a.opts.Request)&can | gss.Integ
	a.cbp, a.cbh = gss.HashBindings(a.opts.Bindings)
	return a, nil
}

// An ear is what an Accept comes to.
type ear struct {
	opts gss.AcceptOptions
	cbp  byte
	cbh  [sha256.Size]byte
}

func listen(mech oid.OID, o *gss.AcceptOptions) (*ear, error) {
	e := &ear{opts: o.Resolved()}
	if _, err := gss.SelectCredential(e.opts.Credentials, mech); err != nil {
		return nil, err
	}
	e.cbp, e.cbh = gss.HashBindings(e.opts.Bindings)
	return e, nil
}

// bound compares the initiator's bindings as krb5 acceptors do: it is the flag
// Bound if both gave the same, and BadBindings if both gave some that differ.
func (e *ear) bound(mech oid.OID, cbp byte, cbh []byte) (gss.Flags, error) {
	switch {
	case e.cbp == 0 || cbp == 0:
		return 0, nil
	case !hmac.Equal(e.cbh[:], cbh):
		return 0, &gss.Error{Op: "Accept_sec_context", Mech: mech, Major: gss.BadBindings}
	}
	return gss.Bound, nil
}

// A leg is one Step of a mechanism.
type leg func(ctx context.Context, in []byte) (out []byte, sc gss.Context, err error)

// A handshake is a leg that ends as gss.Handshake says.
type handshake struct {
	mech oid.OID
	leg  leg
	done bool
	sc   gss.Context // not handed out yet
}

func (h *handshake) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if h.done {
		return nil, nil, &gss.Error{Op: "Step", Mech: h.mech, Major: gss.NoContext}
	}
	out, sc, err := h.leg(ctx, slices.Clone(in))
	h.done = sc != nil || err != nil
	return out, sc, err
}

func (h *handshake) Close() error {
	h.done, h.leg = true, nil
	if h.sc != nil {
		h.sc.Close()
		h.sc = nil
	}
	return nil
}

func defective(mech oid.OID) error {
	return &gss.Error{Op: "Step", Mech: mech, Major: gss.DefectiveToken}
}

func addString(b *cryptobyte.Builder, s string) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
}

func readString(s *cryptobyte.String, out *string) bool {
	var c cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&c)
	*out = string(c)
	return ok
}

// readName reads a canonical name's Text.
func readName(s *cryptobyte.String, out *gss.Name) bool {
	var text string
	if !readString(s, &text) {
		return false
	}
	n, err := canonical(KrbOID, gss.Name{Mech: KrbOID, Text: text})
	*out = n
	return err == nil
}
