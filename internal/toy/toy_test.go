package toy

import (
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
)

var svc = gss.Service("host", "files.example.org")

func TestConformance(t *testing.T) {
	alice, files := NewParty("alice"), NewParty("files")
	for name, s := range map[string]conformance.Setup{
		"krb":           {Initiator: &Krb{Party: alice}, Acceptor: &Krb{Party: files}},
		"krb-one":       {Initiator: &Krb{Party: alice}, Acceptor: &Krb{Party: files}, InitOptions: gss.InitOptions{Require: UniFlags}},
		"krb-dce":       {Initiator: &Krb{Party: alice}, Acceptor: &Krb{Party: files}, InitOptions: gss.InitOptions{Require: gss.DefaultFlags | gss.DCEStyle}},
		"pk":            {Initiator: &PK{alice}, Acceptor: &PK{files}},
		"nego":          {Initiator: &Nego{[]gss.Mechanism{&Krb{Party: alice}, &PK{alice}}}, Acceptor: &Nego{[]gss.Mechanism{&PK{files}, &Krb{Party: files}}}},
		"nego-reselect": {Initiator: &Nego{[]gss.Mechanism{&Krb{Party: alice}, &PK{alice}}}, Acceptor: &Nego{[]gss.Mechanism{&PK{files}}}},
		"nego-orphan":   {Initiator: &Nego{[]gss.Mechanism{&Uni{alice}, &PK{alice}}}, Acceptor: &Nego{[]gss.Mechanism{&PK{files}}}, InitOptions: gss.InitOptions{Require: UniFlags}},
		"nego-one":      {Initiator: &Nego{[]gss.Mechanism{&Uni{alice}}}, Acceptor: &Nego{[]gss.Mechanism{&Uni{files}}}, InitOptions: gss.InitOptions{Require: UniFlags}},
		"uni":           {Initiator: &Uni{alice}, Acceptor: &Uni{files}, InitOptions: gss.InitOptions{Require: UniFlags}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Target = svc
			conformance.Run(t, s)
		})
	}
}
