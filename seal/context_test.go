package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A testContext is an end of a context: what sealing needs of it, over a key that
// both ends have. Real mechanisms run sealtest.
type testContext struct {
	gss.Context
	info gss.Info
	key  []byte

	mu      sync.Mutex
	claimed map[string]bool // nil: imported, claims nothing
	prfErr  error
}

func (c *testContext) Info() gss.Info { return c.info }

func (c *testContext) PRF(_ gss.PRFKey, in []byte, n int) (out []byte, err error) {
	if c.prfErr != nil {
		return nil, c.prfErr
	}
	for i := uint32(0); len(out) < n; i++ {
		m := hmac.New(sha256.New, c.key)
		m.Write(binary.BigEndian.AppendUint32(nil, i))
		m.Write(in)
		out = m.Sum(out)
	}
	return out[:n], nil
}

func (c *testContext) Claim(label string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claimed == nil || c.claimed[label] {
		return false
	}
	c.claimed[label] = true
	return true
}

func (c *testContext) Close() error { return nil }

// imported returns another process's copy of c.
func (c *testContext) imported() *testContext { return &testContext{info: c.info, key: c.key} }

func mn(text string) gss.Name { return gss.Name{Mech: oid.Krb5, Text: text} }

// pair returns both ends of a context, the initiator's first.
func pair(initiator, acceptor string) (i, a *testContext) {
	key := sha256.Sum256([]byte(initiator + " to " + acceptor))
	end := func(local, peer string, isInitiator bool) *testContext {
		return &testContext{
			info:    gss.Info{Mech: oid.Krb5, Local: mn(local), Peer: mn(peer), Initiator: isInitiator, Flags: gss.DefaultFlags},
			key:     key[:],
			claimed: map[string]bool{},
		}
	}
	return end(initiator, acceptor, true), end(acceptor, initiator, false)
}

func mustSender(t testing.TB, sc Secret) *Sender {
	t.Helper()
	s, err := NewSender(sc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustRecipient(t testing.TB, o *RecipientOptions, from ...Secret) *Recipient {
	t.Helper()
	r := NewRecipient(o)
	t.Cleanup(func() { r.Close() })
	for _, sc := range from {
		if _, err := r.Add(sc); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func mustSeal(t testing.TB, s *Sender, body string, o *Options) []byte {
	t.Helper()
	m, err := s.Seal(nil, []byte(body), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
