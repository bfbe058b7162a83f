package krb5

import (
	"context"
	"errors"
	"slices"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// maxHops bounds the realms between a client and a service.
const maxHops = 10

var errPath = errors.New("krb5: no path to the service's realm, or one too long or in a circle")

// tgtRealm returns the realm whose ticket-granting service p is; "" if it is none.
func tgtRealm(p ikrb5.Principal) string {
	if c := p.Name.Components; len(c) == 2 && c[0] == "krbtgt" {
		return c[1]
	}
	return ""
}

// tgtFor returns a TGT of s for the KDCs of a realm, for who holds s.exchange: one that s
// has, or one that it gets by going from realm to realm, RFC 4120 §1.2. Each KDC is
// asked for the realm itself first. It may answer with a TGT for one that is nearer (RFC
// 4120 §3.3.1); if it does not know the realm it is asked for those on the configured
// path, or else on that of the hierarchy of names, from far to near. Where a path is
// configured no other realm will do. A TGT that was got on the way to another realm is
// taken only if the client's own issued it: every realm on a path knows the keys of
// those behind it, and would be on this one too.
func (m *Mech) tgtFor(ctx context.Context, s *shared, realm string) (*ticket, error) {
	home := s.principal.Realm
	if realm == home {
		return m.homeTGT(ctx, s)
	}
	if t := s.tgtOf(realm, time.Now().Add(freshness)); t != nil {
		return t, nil
	}
	at, err := m.homeTGT(ctx, s)
	if err != nil {
		return nil, err
	}
	path, fixed := m.config.path(home, realm)
	for seen := []string{home}; len(seen) <= maxHops; {
		if at, err = m.nextTGT(ctx, s, at, path, fixed, seen); err != nil {
			return nil, err
		}
		s.put(at)
		here := tgtRealm(at.server)
		if here == realm {
			s.alias(toward(realm), at)
			return at, nil
		}
		seen = append(seen, here)
	}
	return nil, errPath
}

// tgtOf returns a TGT for a realm, from the client's own or got on the way to it, that is
// good until then, or nil.
func (s *shared) tgtOf(realm string, until time.Time) *ticket {
	if t := s.get(tgtName(realm, s.principal.Realm).String(), until); t != nil {
		return t
	}
	return s.get(toward(realm), until)
}

// toward is the name under which a TGT is kept that was got on the way to realm, besides
// its own: no principal's.
func toward(realm string) string { return "@@" + realm }

// path returns the realms from one to another, both included; fixed, if [capaths] says so.
func (c *Config) path(from, to string) (path []string, fixed bool) {
	between, fixed := c.CAPaths[from][to]
	if !fixed {
		return ikrb5.RealmPath(from, to), false
	}
	path = append(path, from)
	for _, r := range between {
		if r != "." {
			path = append(path, r)
		}
	}
	return append(path, to), true
}

// nextTGT is one step of tgtFor, from the last realm of seen, for which at is.
func (m *Mech) nextTGT(ctx context.Context, s *shared, at *ticket, path []string, fixed bool, seen []string) (t *ticket, err error) {
	here := seen[len(seen)-1]
	onward := path[slices.Index(path, here)+1:]
	if !fixed && !slices.Contains(path, here) {
		onward = path[len(path)-1:] // sent off the path: only the KDCs know
	}
	err = errPath
	for _, realm := range slices.Backward(onward[max(len(onward)-maxHops, 0):]) {
		if slices.Contains(seen, realm) {
			continue
		}
		r := tgsRequest{server: tgtName(realm, here), client: s.principal, options: m.passOn(at)}
		r.instead = func(got ikrb5.Principal) bool {
			next := tgtRealm(got)
			return next != "" && got.Realm == here && !slices.Contains(seen, next) && (!fixed || slices.Contains(onward, next))
		}
		if t, err = m.tgs(ctx, s.principal, at, &r); !errors.Is(err, ikrb5.KDC_ERR_S_PRINCIPAL_UNKNOWN) {
			return t, err
		}
	}
	return nil, err
}

// refers reports whether server is a service of which nobody said that it is in the
// client's realm: by its host's name, for which there is no realm in the configuration.
func (c *Config) refers(server ikrb5.Principal, home string) bool {
	n := server.Name
	return server.Realm == home && n.Type == ikrb5.NTSrvHst && len(n.Components) == 2 && c.realmOf(n.Components[1]) == ""
}

// refer gets a ticket for a service of an unknown realm, for who holds s.exchange: the
// client's KDC is asked first, and may say which realm to ask next (RFC 6806 §8), by a
// TGT for it. Only the realm of the ticket may be another than that of server.
func (m *Mech) refer(ctx context.Context, s *shared, server ikrb5.Principal) (*ticket, error) {
	asked := referred(server)
	if t := s.get(asked, time.Now().Add(freshness)); t != nil {
		return t, nil
	}
	at, err := m.homeTGT(ctx, s)
	if err != nil {
		return nil, err
	}
	for seen := []string{server.Realm}; len(seen) <= maxHops; {
		r := tgsRequest{server: server, client: s.principal, options: ikrb5.KDCCanonicalize | m.passOn(at)}
		r.instead = func(got ikrb5.Principal) bool {
			next := tgtRealm(got)
			return next != "" && got.Realm == server.Realm && !slices.Contains(seen, next)
		}
		t, err := m.tgs(ctx, s.principal, at, &r)
		if err != nil {
			return nil, err
		}
		s.put(t)
		if t.server.Equal(server) {
			s.alias(asked, t)
			return t, nil
		}
		at, server.Realm = t, tgtRealm(t.server)
		seen = append(seen, server.Realm)
	}
	return nil, errPath
}

// referred is the name under which a ticket is kept that was found by referral, besides
// its own: no principal's, so that who names a realm gets a ticket of that realm.
func referred(server ikrb5.Principal) string { return "@" + server.Name.String() }

// alias keeps t also under another name.
func (s *shared) alias(name string, t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tickets != nil && len(s.tickets) < maxTickets {
		s.tickets[name] = t
	}
}

// passOn are the options for a ticket that is to be as forwardable as the TGT, if the
// configuration wants that.
func (m *Mech) passOn(tgt *ticket) uint32 {
	if m.config.Forwardable && tgt.flags&ikrb5.TicketForwardable != 0 {
		return ikrb5.KDCForwardable
	}
	return 0
}
