package krb5

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// A LocalPolicy says which principals are which users of this host. The zero value,
// and nil, know none: a name is nobody here unless the policy says so.
//
// No principal of a realm that is not in Realms becomes a user because of how the
// rest of its name reads. Whoever runs that realm would choose among our users.
type LocalPolicy struct {
	// Users are the users of principals, "alice/admin@EXAMPLE.ORG". They come first.
	Users map[string]string

	// Realms are those whose principals may be users of this host by their names.
	Realms []string

	// Rules are tried in turn, as the setting auth_to_local of MIT's krb5.conf.
	// "DEFAULT" makes a principal of one component and of one of the Realms the user
	// of that name. "RULE:[n:format](regexp)s/regexp/text/g..." is for principals of
	// n components, of which it puts together $1 to $n and the realm $0; if there is
	// a regexp in parentheses, that has to match all of the result, on which the
	// substitutions are made then. Without a $0 in its format, or without a format
	// (which is the name without the realm), a rule is for principals of Realms only,
	// other than with MIT; and none is for a principal with an @ in its realm or in a
	// component.
	Rules []string
}

// LocalPolicy is the policy of [realms], for the default realm: auth_to_local_names
// and auth_to_local. The latter, if there is none, is DEFAULT for MIT; here nobody
// is anybody then. It does not look at .k5login files.
func (c *Config) LocalPolicy() *LocalPolicy {
	if c.DefaultRealm == "" {
		return new(LocalPolicy)
	}
	p := &LocalPolicy{Realms: []string{c.DefaultRealm}, Rules: c.authToLocal}
	for name, user := range c.localNames {
		if q, err := ikrb5.ParsePrincipal(name, c.DefaultRealm); err == nil && q.Realm == c.DefaultRealm {
			if p.Users == nil {
				p.Users = make(map[string]string)
			}
			p.Users[q.String()] = user
		}
	}
	return p
}

var (
	errNotLocal = errors.New("krb5: nobody on this host by the policy")
	errRule     = errors.New("krb5: malformed rule for local users")
)

// LocalUser returns the user of this host that a peer is by p (GSS_Localname). n is
// a mechanism name, such as Info.Peer. Whether there is such a user it does not
// know. "root" is the answer to nobody but whom Users names. Errors: Unauthorized
// if p knows nobody by that name or has a malformed rule in its way; BadName,
// BadNameType if n is not a Kerberos name, or an anonymous one.
func LocalUser(n gss.Name, p *LocalPolicy) (string, error) {
	if !n.IsMN() || n.Mech != oid.Krb5 || n.Type != "" {
		return "", localError(gss.BadNameType, nil)
	}
	q, err := ikrb5.ParsePrincipal(n.Text, "")
	if err == nil && q.String() != n.Text {
		err = errors.New("krb5: not canonical")
	}
	if err == nil && isAnonymous(q.Name) {
		err = errors.New("krb5: an anonymous name")
	}
	if err != nil {
		return "", localError(gss.BadName, err)
	}
	if p == nil {
		return "", localError(gss.Unauthorized, errNotLocal)
	}
	if user, ok := p.Users[n.Text]; ok {
		if !userName(user) {
			return "", localError(gss.Unauthorized, errNotLocal)
		}
		return user, nil
	}
	// What has an @ within would read like a name of another realm in $1@$0.
	if strings.Contains(strings.Join(q.Name.Components, "")+q.Realm, "@") {
		return "", localError(gss.Unauthorized, errNotLocal)
	}
	for _, rule := range p.Rules {
		user, ok, err := p.apply(rule, q)
		if err != nil {
			return "", localError(gss.Unauthorized, fmt.Errorf("%w: %.100q", err, rule))
		}
		if ok { // the first that fits decides
			if !userName(user) || user == "root" {
				break
			}
			return user, nil
		}
	}
	return "", localError(gss.Unauthorized, errNotLocal)
}

func localError(m gss.Major, err error) error {
	return &gss.Error{Op: "Localname", Mech: oid.Krb5, Major: m, Err: err}
}

// userName reports whether s can be the name of a user: not a path, an option, or
// something that a line of /etc/passwd cannot hold.
func userName(s string) bool {
	return s != "" && len(s) <= 256 && s[0] != '-' && s != "." && s != ".." &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`/\:@`, r) })
}

// apply tries one rule; ok, if it is for that principal.
func (p *LocalPolicy) apply(rule string, q ikrb5.Principal) (user string, ok bool, err error) {
	ours := slices.Contains(p.Realms, q.Realm)
	if rule == "DEFAULT" {
		if !ours || len(q.Name.Components) != 1 {
			return "", false, nil
		}
		return q.Name.Components[0], true, nil
	}
	rest, ok := strings.CutPrefix(rule, "RULE:")
	if !ok {
		return "", false, errRule
	}
	selected := q.Name.String()
	if strings.HasPrefix(rest, "[") {
		var realm bool
		selected, rest, realm, ok, err = selection(rest[1:], q)
		if err != nil || !ok {
			return "", false, err
		}
		ours = ours || realm
	}
	substitutions, ok, err := matchRule(rest, selected)
	if err != nil || !ok || !ours {
		return "", false, err
	}
	user, err = substitute(substitutions, selected)
	return user, err == nil, err
}

// selection reads "n:format]" and puts the format's string together; realm, if $0
// is in it.
func selection(text string, q ikrb5.Principal) (selected, rest string, realm, ok bool, err error) {
	format, rest, closed := strings.Cut(text, "]")
	count, format, colon := strings.Cut(format, ":")
	n, err := strconv.ParseUint(count, 10, 8)
	if !closed || !colon || err != nil {
		return "", "", false, false, errRule
	}
	var b strings.Builder
	for format != "" {
		before, after, dollar := strings.Cut(format, "$")
		b.WriteString(before)
		if !dollar {
			break
		}
		digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
		i, err := strconv.ParseUint(after[:digits], 10, 8)
		if err != nil || i > n {
			return "", "", false, false, errRule
		}
		format = after[digits:]
		switch {
		case i == 0:
			b.WriteString(q.Realm)
			realm = true
		case i <= uint64(len(q.Name.Components)):
			b.WriteString(q.Name.Components[i-1])
		}
	}
	return b.String(), rest, realm, n == uint64(len(q.Name.Components)), nil
}

// matchRule reads "(regexp)", if there is one, which has to match all of selected.
func matchRule(text, selected string) (rest string, ok bool, err error) {
	inner, found := strings.CutPrefix(text, "(")
	if !found {
		return text, true, nil
	}
	expr, rest, closed := strings.Cut(inner, ")")
	if !closed {
		return "", false, errRule
	}
	re, err := regexp.CompilePOSIX(expr)
	if err != nil {
		return "", false, errRule
	}
	at := re.FindStringIndex(selected)
	return rest, at != nil && at[0] == 0 && at[1] == len(selected), nil
}

// substitute makes the substitutions "s/regexp/text/g", of which the g may be
// missing. The text is taken as it is.
func substitute(text, s string) (string, error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		parts := strings.SplitN(text, "/", 4)
		if len(parts) != 4 || parts[0] != "s" {
			return "", errRule
		}
		re, err := regexp.CompilePOSIX(parts[1])
		if err != nil {
			return "", errRule
		}
		var all bool
		text, all = strings.CutPrefix(parts[3], "g")
		var b strings.Builder
		for {
			at := re.FindStringIndex(s)
			if at == nil {
				break
			}
			b.WriteString(s[:at[0]])
			b.WriteString(parts[2])
			s = s[at[1]:]
			if !all || at[1] == 0 {
				break
			}
		}
		b.WriteString(s)
		s = b.String()
	}
	return s, nil
}
