package reauth

import (
	"sync"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	gssseal "github.com/gsseal/gss/seal"
)

// TestConformanceIntroduced introduces somebody for every handshake.
func TestConformanceIntroduced(t *testing.T) {
	m := toyMeeting(t)
	for how, store := range map[string]*vouching{"confirmed": nil, "at-once": {}} {
		t.Run(how, func(t *testing.T) {
			o := IntroducedOptions{}
			if store != nil {
				o.Store = store
			}
			x := stage(t, m, m, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1}), Group: P256}, o, &gssseal.RecipientOptions{Quota: 1 << 30})
			conformance.Run(t, conformance.Setup{
				Initiator: x.client, Acceptor: x.server, Target: x.ab.Info().Peer,
				InitOptions: gss.InitOptions{Credentials: []gss.Credential{x.introduce("")}},
				Prepare:     x.anew,
			})
		})
	}
}

// anew puts a new credential in the place of the one in s, if there is one.
func (x *affair) anew(s *conformance.Setup) error {
	if len(s.InitOptions.Credentials) == 0 || s.InitOptions.Credentials[0].Mech() != x.client.OID() {
		return nil
	}
	g, err := x.toBob.Introduce(nil, []byte("words"), x.toCarol, &gssseal.Options{Relay: x.carol})
	if err != nil {
		return err
	}
	h, err := x.relay.Accept(g)
	if err != nil {
		return err
	}
	c, err := FromGrant(h, x.ab.Info().Local, x.ca.Info().Local)
	if err != nil {
		return err
	}
	s.InitOptions.Credentials = []gss.Credential{c}
	return nil
}

// TestConformanceIntroducedResumed comes back by ticket every time: of one introduction without
// bindings, and of one with.
func TestConformanceIntroducedResumed(t *testing.T) {
	x := toys(t, IntroducedOptions{Group: P256}, IntroducedOptions{})
	var mu sync.Mutex
	creds, resumed := make(map[bool]*Credential), 0
	conformance.Run(t, conformance.Setup{
		Initiator: x.client, Acceptor: x.server, Target: x.ab.Info().Peer,
		InitOptions: gss.InitOptions{Credentials: []gss.Credential{x.introduce("")}},
		Prepare: func(s *conformance.Setup) error {
			mu.Lock()
			defer mu.Unlock()
			bound := len(s.InitOptions.Bindings) > 0
			c := creds[bound]
			if c == nil || !x.client.m.o.Cache.holds(c.key()) {
				if err := x.anew(s); err != nil || len(s.InitOptions.Credentials) == 0 {
					return err
				}
				ih, err := x.client.Initiate(s.Target, &s.InitOptions)
				if err != nil {
					return nil
				}
				ah, err := x.server.Accept(&s.AcceptOptions)
				if err != nil {
					ih.Close()
					return nil
				}
				conformance.Pump(t.Context(), ih, ah).Close()
				c = ih.(*presenting).cred
				if !x.client.m.o.Cache.holds(c.key()) {
					return nil
				}
				creds[bound] = c
			}
			if len(s.InitOptions.Credentials) > 0 && s.InitOptions.Credentials[0].Mech() == c.Mech() {
				s.InitOptions.Credentials = []gss.Credential{c}
				resumed++
			}
			return nil
		},
	})
	if resumed < 100 {
		t.Errorf("only %d had a ticket", resumed)
	}
}
