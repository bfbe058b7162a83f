package main

import (
	"context"
	"errors"
	"sync"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/gssnet"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
)

// The originator, Alice: seals to Bob, and grants it to whoever asks for it first.
type originator struct {
	host
	body  []byte
	known gss.Name // to Bob
	bob   *gssnet.Conn

	mu    sync.Mutex
	toBob *seal.Sender // serve uses it
}

func newOriginator(p *person, body []byte) *originator {
	a := &originator{body: body}
	a.host.person, a.host.serve = p, a.serve
	return a
}

// meet makes the context with Bob, and the sender from it.
func (a *originator) meet(ctx context.Context, mech oid.OID, bob *recipient) (string, error) {
	c, err := a.person.dial(ctx, mech, &bob.host)
	if err != nil {
		return "", err
	}
	a.bob = c
	sc := c.SecContext()
	if _, err := ask(ctx, c, askSeal, nil); err != nil {
		return "", err
	}
	s, err := seal.NewSender(sc)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	a.toBob = s
	a.mu.Unlock()
	a.known, bob.known = sc.Info().Local, sc.Info().Peer
	return who(sc.Info()), nil
}

// serve seals the file to Bob for the relay at the other end of c: she has to hand it
// over under the name that she has here, and with the key that c's context gives.
func (a *originator) serve(_ context.Context, c *gssnet.Conn) {
	kind, _, err := receive(c)
	if err != nil || kind != askGrant {
		c.Close()
		return
	}
	grant, err := a.grant(c.SecContext())
	if err != nil {
		c.Close()
		return
	}
	send(c, askGrant, grant)
}

func (a *originator) grant(withRelay gss.Context) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.toBob == nil {
		return nil, errors.New("there is no context with Bob yet")
	}
	via, err := seal.NewSender(withRelay)
	if err != nil {
		return nil, err
	}
	defer via.Close()
	return a.toBob.Grant(nil, a.body, via, &seal.Options{OneTime: true, Relay: withRelay.Info().Peer, Lifetime: demoMaxAge})
}

func (a *originator) close() {
	a.host.close()
	if a.bob != nil {
		a.bob.Close()
	}
	if a.toBob != nil {
		a.toBob.Close()
	}
}

// The recipient, Bob: takes what the peers of his contexts sealed.
type recipient struct {
	host
	known    gss.Name // to Alice
	box      *seal.Recipient
	verdicts chan verdict // what he made of each presentation, for the narrator
}

// A verdict is Bob's own. The relay learns only whether he took it.
type verdict struct {
	message *seal.Message
	err     error
}

func newRecipient(p *person) *recipient {
	b := &recipient{box: seal.NewRecipient(nil), verdicts: make(chan verdict, 1)}
	b.host.person, b.host.serve = p, b.serve
	return b
}

func (b *recipient) serve(ctx context.Context, c *gssnet.Conn) {
	for {
		kind, in, err := receive(c)
		if err != nil {
			return
		}
		answer := []byte{0}
		switch kind {
		case askSeal:
			if _, err := b.box.Add(c.SecContext()); err != nil {
				c.Close()
				return
			}
		case askBring:
			m, err := b.box.Unseal(ctx, nil, in, &seal.UnsealOptions{
				Require: seal.OneTime | seal.RelayByName | seal.RelayByKey,
				MaxAge:  demoMaxAge,
				Relay:   c.SecContext(),
			})
			if err == nil {
				answer[0] = 1
			}
			select {
			case b.verdicts <- verdict{&m, err}:
			case <-ctx.Done():
				return
			}
		default:
			c.Close()
			return
		}
		if send(c, kind, answer) != nil {
			return
		}
	}
}

func (b *recipient) close() {
	b.host.close()
	b.box.Close()
}

// A relay, Carol or Mallory: carries what it cannot read.
type relay struct {
	person *person
	known  gss.Name // to Bob
	held   *seal.Held
	alice  *gssnet.Conn
	conn   *gssnet.Conn // with Bob
	bob    *recipient
	sent   []byte // the last presentation
}

// visit makes the context with Alice.
func (r *relay) visit(ctx context.Context, mech oid.OID, alice *originator) (string, error) {
	c, err := r.person.dial(ctx, mech, &alice.host)
	if err != nil {
		return "", err
	}
	r.alice = c
	return who(c.SecContext().Info()), nil
}

// fetch takes the grant from Alice.
func (r *relay) fetch(ctx context.Context) error {
	granted, err := ask(ctx, r.alice, askGrant, nil)
	if err != nil {
		return err
	}
	keys, err := seal.NewRelay(r.alice.SecContext())
	if err != nil {
		return err
	}
	defer keys.Close()
	r.held, err = keys.Accept(granted)
	return err
}

// meet makes the context with Bob.
func (r *relay) meet(ctx context.Context, mech oid.OID, bob *recipient) (string, error) {
	c, err := r.person.dial(ctx, mech, &bob.host)
	if err != nil {
		return "", err
	}
	r.conn, r.bob, r.known = c, bob, c.SecContext().Info().Local
	return who(c.SecContext().Info()), nil
}

// bring hands the message over with a new proof, as change makes it, if given.
func (r *relay) bring(ctx context.Context, change func([]byte) []byte) (verdict, error) {
	p, err := r.held.Present(nil, nil, seal.Channel{Context: r.conn.SecContext()})
	if err != nil {
		return verdict{}, err
	}
	if change != nil {
		return r.hand(ctx, change(p))
	}
	r.sent = p
	return r.hand(ctx, p)
}

// again hands over the very octets of the last time.
func (r *relay) again(ctx context.Context) (verdict, error) { return r.hand(ctx, r.sent) }

func (r *relay) hand(ctx context.Context, presentation []byte) (verdict, error) {
	answer, err := ask(ctx, r.conn, askBring, presentation)
	if err != nil {
		return verdict{}, err
	}
	v := <-r.bob.verdicts
	if took := len(answer) == 1 && answer[0] == 1; took != (v.err == nil) {
		return v, errors.New("the answer is not the verdict")
	}
	return v, nil
}

func (r *relay) close() {
	if r.held != nil {
		r.held.Close()
	}
	for _, c := range []*gssnet.Conn{r.alice, r.conn} {
		if c != nil {
			c.Close()
		}
	}
}
