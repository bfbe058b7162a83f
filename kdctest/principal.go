package kdctest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gsseal/gss/internal/krb5"
)

// A principal is an entry of the database. It is passed by value; its slices are
// replaced, never changed.
type principal struct {
	name         krb5.PrincipalName
	service      bool     // tickets for it are issued
	okAsDelegate bool     // flag of its tickets
	impersonates bool     // its tickets in the name of users are forwardable
	delegateTo   []string // services to which it may show those, without realm
	refused      krb5.ErrorCode
	logon        *krb5.LogonInfo // for PACs; nil: none
	upn          string
	session      []krb5.EType // of session keys for it
	keys         []longTermKey
}

// A longTermKey is made when it is first needed: those from passwords are slow.
type longTermKey struct {
	etype krb5.EType
	kvno  uint32
	salt  string // "" if random
	get   func() (*krb5.Key, error)
}

func newLongTermKey(e krb5.EType, kvno uint32, password, salt string) longTermKey {
	return longTermKey{e, kvno, salt, sync.OnceValues(func() (*krb5.Key, error) {
		if password == "" {
			return krb5.RandomKey(e)
		}
		return krb5.StringToKey(e, password, salt, nil)
	})}
}

// current returns the newest key of e.
func (p principal) current(e krb5.EType) (longTermKey, bool) {
	for _, k := range p.keys {
		if k.etype == e {
			return k, true
		}
	}
	return longTermKey{}, false
}

// choose returns the first of the client's etypes for which the principal has a key.
func (p principal) choose(wanted []krb5.EType) (longTermKey, bool) {
	for _, e := range wanted {
		if k, ok := p.current(e); ok {
			return k, true
		}
	}
	return longTermKey{}, false
}

// add adds p under name. With no keys given, it has those of the realm.
func (r *Realm) add(name, password string, p principal, keys []krb5.EType) error {
	full, err := krb5.ParsePrincipal(name, r.o.Realm)
	if err != nil {
		return fmt.Errorf("kdctest: %w", err)
	}
	if full.Realm != r.o.Realm {
		return fmt.Errorf("kdctest: %v is not in the realm %s", full, r.o.Realm)
	}
	p.name = full.Name
	if keys == nil {
		keys = r.etypes
	}
	if p.session == nil {
		p.session = keys
	}
	salt := ""
	if password != "" { // RFC 4120 §4: realm and components, joined
		salt = r.o.Realm + strings.Join(p.name.Components, "")
	}
	for _, e := range keys {
		p.keys = append(p.keys, newLongTermKey(e, 1, password, salt))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := p.name.String()
	if _, ok := r.principals[id]; ok {
		return fmt.Errorf("kdctest: %s is there already", id)
	}
	r.principals[id] = p
	return nil
}

// lookup returns the principal of a request.
func (r *Realm) lookup(name krb5.PrincipalName) (principal, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, ok := r.principals[name.String()]
	return p, ok
}

// find returns the principal that a caller names. r.mu is held.
func (r *Realm) find(name string) (id string, p principal, err error) {
	full, err := krb5.ParsePrincipal(name, r.o.Realm)
	if err != nil {
		return "", p, fmt.Errorf("kdctest: %w", err)
	}
	id = full.Name.String()
	p, ok := r.principals[id]
	if !ok || full.Realm != r.o.Realm {
		return "", p, fmt.Errorf("kdctest: no principal %v", full)
	}
	return id, p, nil
}

// quoteRealm is a realm as a component of the single-string form.
func quoteRealm(realm string) string {
	return krb5.PrincipalName{Components: []string{realm}}.String()
}
