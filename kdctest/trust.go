package kdctest

import (
	"errors"
	"slices"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// An incoming trust is a realm whose tickets are accepted.
type incoming struct {
	realm *Realm
	key   principal // krbtgt/HERE@THERE
}

// Trust makes r accept the users of another realm: that realm's KDC can then issue
// tickets for r's. For both directions call it twice. Realms that trust each other
// through others are reached through those:
//
//	a, b, c := kdctest.New(t, …), kdctest.New(t, …), kdctest.New(t, …)
//	b.Trust(a)
//	c.Trust(b) // users of a get tickets for services of c, which name b on the way
//
// Who asks a KDC for a service that it does not know, and says canonicalize, is sent
// towards the realm that has it (RFC 6806 §8). Krb5Conf knows every realm that r trusts
// or is trusted by, also through others.
func (r *Realm) Trust(other *Realm) error {
	return r.check(func() error {
		if r == other || r.o.Realm == other.o.Realm {
			return errors.New("kdctest: a realm and itself")
		}
		p := principal{service: true, name: tgsName(r.o.Realm), session: r.etypes}
		for _, e := range r.etypes {
			p.keys = append(p.keys, newLongTermKey(e, 1, "", ""))
		}
		r.mu.Lock()
		_, there := r.trusts[other.o.Realm]
		if !there {
			r.trusts[other.o.Realm] = incoming{other, p}
		}
		r.mu.Unlock()
		if there {
			return nil
		}
		other.mu.Lock()
		defer other.mu.Unlock()
		other.principals[p.name.String()] = p
		other.trustedBy = append(other.trustedBy, r)
		return nil
	}())
}

// tgsName is the name of realm's ticket-granting service.
func tgsName(realm string) krb5.PrincipalName {
	return krb5.PrincipalName{Type: krb5.NTSrvInst, Components: []string{"krbtgt", realm}}
}

// isTGS reports whether a name is that of a ticket-granting service.
func isTGS(n krb5.PrincipalName) bool { return len(n.Components) == 2 && n.Components[0] == "krbtgt" }

// onward are the realms for which r issues TGTs.
func (r *Realm) onward() []*Realm {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.trustedBy)
}

// neighbours are the realms that r trusts or is trusted by.
func (r *Realm) neighbours() []*Realm {
	list := r.onward()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range r.trusts {
		list = append(list, t.realm)
	}
	return list
}

// search looks breadth first from r, by next, for a realm, and returns the first step
// towards it.
func (r *Realm) search(next func(*Realm) []*Realm, found func(*Realm) bool) (step *Realm) {
	type place struct{ realm, step *Realm }
	seen := map[*Realm]bool{r: true}
	for queue := []place{{r, nil}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at.realm != r && found(at.realm) {
			return at.step
		}
		for _, n := range next(at.realm) {
			if seen[n] {
				continue
			}
			seen[n] = true
			step := at.step
			if step == nil {
				step = n
			}
			queue = append(queue, place{n, step})
		}
	}
	return nil
}

// path is the realms between r and another, as [capaths] has them: "." for none, nil if
// there is no path.
func (r *Realm) path(to *Realm) []string {
	var between []string
	for at := r; at != to; {
		step := at.search((*Realm).onward, func(o *Realm) bool { return o == to })
		if step == nil {
			return nil
		}
		if step != to {
			between = append(between, step.o.Realm)
		} else if at == r {
			return []string{"."}
		}
		at = step
	}
	return between
}

// reachable are all realms that have to do with r, r first, the others by name.
func (r *Realm) reachable() []*Realm {
	var others []*Realm
	r.search((*Realm).neighbours, func(o *Realm) bool { others = append(others, o); return false })
	slices.SortFunc(others, func(a, b *Realm) int {
		if a.o.Realm < b.o.Realm {
			return -1
		}
		return 1
	})
	return append([]*Realm{r}, others...)
}

// referral returns the TGS that is a step nearer to a service that r does not have: to
// the realm of a TGS, RFC 4120 §3.3.1, or, if the client says canonicalize, to the
// realm that has it, RFC 6806 §8.
func (r *Realm) referral(body *krb5.KDCReqBody) (principal, bool) {
	name := body.SName
	found := func(o *Realm) bool { return isTGS(name) && o.o.Realm == name.Components[1] }
	if !isTGS(name) {
		if body.Options&krb5.KDCCanonicalize == 0 {
			return principal{}, false
		}
		found = func(o *Realm) bool {
			p, ok := o.lookup(name)
			return ok && p.service
		}
	}
	step := r.search((*Realm).onward, found)
	if step == nil {
		return principal{}, false
	}
	return r.lookup(tgsName(step.o.Realm))
}

// transit decides about the path of a foreign client, RFC 4120 §2.7 and §3.3.3.2: every
// realm on it has to be one that the next one trusts. It sets what t says of the path.
func (r *Realm) transit(t *krb5.EncTicketPart, p *presentation, options uint32) error {
	t.TransitedType, t.Transited = krb5.TransitedX500, p.part.Transited
	if p.issuer != r.o.Realm && p.issuer != t.CRealm {
		t.Transited = krb5.AppendTransited(slices.Clone(t.Transited), p.issuer)
	}
	if options&krb5.KDCNoTransitCheck != 0 && len(t.Transited) > 0 {
		return nil
	}
	path, err := krb5.ParseTransited(t.Transited, t.CRealm, r.o.Realm)
	if err != nil || p.part.TransitedType != krb5.TransitedX500 && len(p.part.Transited) > 0 {
		return refuse(krb5.KDC_ERR_TRTYPE_NOSUPP, "the path is not understood")
	}
	if !r.trustsPath(t.CRealm, path) {
		return refuse(krb5.KDC_ERR_PATH_NOT_ACCEPTED, "a realm on the path is not trusted")
	}
	t.Flags |= krb5.TicketTransitedOK
	return nil
}

func (r *Realm) trustsPath(client string, path []string) bool {
	if client == r.o.Realm {
		return len(path) == 0
	}
	at := r
	for i, name := range slices.Backward(append([]string{client}, path...)) {
		if i > 0 && r.o.Transit != nil && !r.o.Transit(name) {
			return false
		}
		at.mu.RLock()
		next, ok := at.trusts[name]
		at.mu.RUnlock()
		if !ok {
			return false
		}
		at = next.realm
	}
	return true
}

// Advance sets the KDC's clock forward, or back; what it was told before stays.
func (r *Realm) Advance(d time.Duration) { r.shift.Add(int64(d)) }

// now is the KDC's clock.
func (r *Realm) now() time.Time { return r.o.Clock().Add(time.Duration(r.shift.Load())) }
