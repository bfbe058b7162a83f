package reauth

import (
	"sync/atomic"
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
			x := stage(t, m, m, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1})}, o, &gssseal.RecipientOptions{Quota: 1 << 30})
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
	c, err := FromGrant(h, x.ca.Info().Local)
	if err != nil {
		return err
	}
	s.InitOptions.Credentials = []gss.Credential{c}
	return nil
}

// TestConformanceIntroducedResumed comes back by ticket every time.
func TestConformanceIntroducedResumed(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	var resumed atomic.Int64
	conformance.Run(t, conformance.Setup{
		Initiator: x.client, Acceptor: x.server, Target: x.ab.Info().Peer,
		InitOptions: gss.InitOptions{Credentials: []gss.Credential{x.introduce("")}},
		Prepare: func(s *conformance.Setup) error {
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
			before := x.client.m.o.Cache.Len()
			conformance.Pump(t.Context(), ih, ah).Close()
			if x.client.m.o.Cache.Len() > before {
				resumed.Add(1)
			}
			return nil
		},
	})
	if n := resumed.Load(); n < 100 {
		t.Errorf("only %d had a ticket", n)
	}
}
