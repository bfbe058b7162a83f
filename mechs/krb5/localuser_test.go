package krb5

import (
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

func TestLocalUser(t *testing.T) {
	ours := []string{"OURS"}
	for _, tt := range []struct {
		policy *LocalPolicy
		name   string
		want   string // "": nobody
	}{
		// Nobody, unless the policy says so.
		{nil, "alice@OURS", ""},
		{&LocalPolicy{}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours}, "alice@OURS", ""},
		{&LocalPolicy{Rules: []string{"DEFAULT"}}, "alice@OURS", ""},

		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, "alice@OURS", "alice"},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, "alice/admin@OURS", ""},
		{&LocalPolicy{Users: map[string]string{"alice/admin@OURS": "root", "x@FAR": "guest"}}, "alice/admin@OURS", "root"},
		{&LocalPolicy{Users: map[string]string{"alice/admin@OURS": "root", "x@FAR": "guest"}}, "x@FAR", "guest"},
		{&LocalPolicy{Users: map[string]string{"alice@OURS": "al"}, Realms: ours, Rules: []string{"DEFAULT"}}, "alice@OURS", "al"},
		{&LocalPolicy{Users: map[string]string{"alice@OURS": ""}, Realms: ours, Rules: []string{"DEFAULT"}}, "alice@OURS", ""}, // said to be nobody

		// What cannot be a user's name, and the one that nobody gets by a rule.
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, "root@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[2:root]"}}, "a/b@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, `..@OURS`, ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, `-rf@OURS`, ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, `a\/b@OURS`, ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, `alice\@FAR@OURS`, ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, `alice\n@OURS`, ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, `alice:0@OURS`, ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"DEFAULT"}}, strings.Repeat("a", 257) + "@OURS", ""},

		// The expression has to match all.
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1](lice)"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1](alic)"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1](bob|alice)"}}, "alice@OURS", "alice"},

		// A malformed rule is in the way of those behind it.
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[2:$1](x)", "DEFAULT"}}, "alice@OURS", "alice"},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1](", "DEFAULT"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$2]", "DEFAULT"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1", "DEFAULT"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[x:$1]", "DEFAULT"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1](*)", "DEFAULT"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"RULE:[1:$1]s/a/b", "DEFAULT"}}, "alice@OURS", ""},
		{&LocalPolicy{Realms: ours, Rules: []string{"rule:[1:$1]", "DEFAULT"}}, "alice@OURS", ""},
	} {
		n := gss.Name{Mech: oid.Krb5, Text: tt.name}
		got, err := LocalUser(n, tt.policy)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && gss.MajorOf(err) != gss.Unauthorized {
			t.Errorf("%s by %+v: %q, %v", tt.name, tt.policy, got, err)
		}
	}
	all := &LocalPolicy{Users: map[string]string{"alice": "alice", "WELLKNOWN/ANONYMOUS@R": "nobody"}, Realms: []string{"OURS", ""}, Rules: []string{"DEFAULT", "RULE:[2:$2@$0]s/@.*//"}}
	for want, names := range map[gss.Major][]gss.Name{
		gss.BadNameType: {{}, gss.User("alice@OURS"), gss.Service("host", "h"), {Mech: oid.PKIX, Text: "alice@OURS"}, {Mech: oid.Krb5, Type: oid.NTUser, Text: "alice@OURS"}},
		gss.BadName: {
			{Mech: oid.Krb5, Text: "alice"}, {Mech: oid.Krb5, Text: ""}, {Mech: oid.Krb5, Text: `\alice@OURS`}, {Mech: oid.Krb5, Text: "alice@OURS@OURS"}, {Mech: oid.Krb5, Text: "alice\x00@OURS"},
			{Mech: oid.Krb5, Text: "\xff@OURS"}, {Mech: oid.Krb5, Text: strings.Repeat("a", 1<<16) + "@OURS"}, {Mech: oid.Krb5, Text: "WELLKNOWN/ANONYMOUS@R"}, {Mech: oid.Krb5, Text: "WELLKNOWN/ANONYMOUS@OURS"},
		},
	} {
		for _, n := range names {
			if got, err := LocalUser(n, all); got != "" || gss.MajorOf(err) != want {
				t.Errorf("%.50q: %q, %v", n.Text, got, err)
			}
		}
	}
}

// CVE-2020-25717: no principal of a foreign realm becomes one of our users for want
// of something better, whatever its name reads like.
func TestCVE_2020_25717(t *testing.T) {
	for _, rules := range [][]string{
		nil,
		{"DEFAULT"},
		{"RULE:[1:$1]"},
		{"RULE:"},
		{"RULE:(.*)"},
		{"RULE:s/@.*//"},
		{"RULE:[1:$1](alice)", "RULE:[2:$1]"},
		{"RULE:[1:$1@$0](.*@OURS)s/@.*//", "DEFAULT"},
	} {
		p := &LocalPolicy{Realms: []string{"OURS"}, Rules: rules}
		for _, name := range []string{"alice@FOREIGN", "alice@OURS.FOREIGN", "alice@ours", `alice\@OURS@FOREIGN`, `alice@OURS\@`, "alice/admin@FOREIGN", `alice@OURS\0`} {
			if user, err := LocalUser(gss.Name{Mech: oid.Krb5, Text: name}, p); err == nil {
				t.Errorf("%s is %s by %q", name, user, rules)
			}
		}
	}
}
