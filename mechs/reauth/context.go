package reauth

import (
	"bytes"
	"crypto/sha256"
	"iter"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
)

// A Context is one that was resumed, or that an introduction led to: a gss.AEADContext,
// gss.Claimer and gss.Attributed. One that was established in full is the inner
// mechanism's, and of its type. It ends when its ticket would have.
type Context struct {
	*record.Context
	authTime time.Time
	app      []byte
}

// AuthTime returns when the peer authenticated in full, or redeemed its grant, by the clock of
// the acceptor that it was; zero on an initiator.
func (c *Context) AuthTime() time.Time { return c.authTime }

// Authorization returns a copy of what Options.Authorization had put into the first ticket, or
// of what the introducer had sealed for the acceptor; nil on an initiator.
func (c *Context) Authorization() []byte { return bytes.Clone(c.app) }

// Names under which PeerAttributes yields Authorization.
const (
	AttributeAuthorization = "reauth authorization"
	AttributeIntroduction  = "introduction" // the introducer's words
)

// PeerAttributes yields Authorization, if there is any: AttributeIntroduction if the peer was
// introduced, else AttributeAuthorization.
func (c *Context) PeerAttributes() iter.Seq2[string, gss.Attribute] {
	name := AttributeAuthorization
	if c.Info().Mech == oid.Introduced {
		name = AttributeIntroduction
	}
	return func(yield func(string, gss.Attribute) bool) {
		if len(c.app) > 0 {
			yield(name, gss.Attribute{Value: bytes.Clone(c.app), Authenticated: true})
		}
	}
}

// resumed returns the context of ms.
func (h *handshake) resumed(i gss.Info, t *ticket) (gss.Context, error) {
	i.Mech = h.m.oid
	i.Flags |= gss.ProtReady
	rc, err := record.New(record.Params{Info: i, MS: h.ms, Hash: sha256.New, AEAD: record.AES256GCM, Now: h.m.o.Time})
	if err != nil {
		return nil, err
	}
	c := &Context{Context: rc}
	if t != nil {
		c.authTime, c.app = t.authTime, bytes.Clone(t.app)
	}
	return c, nil
}

var (
	_ gss.AEADContext = (*Context)(nil)
	_ gss.Claimer     = (*Context)(nil)
	_ gss.Attributed  = (*Context)(nil)
)
