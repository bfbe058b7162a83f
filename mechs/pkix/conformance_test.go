package pkix_test

import (
	"testing"

	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/mechs/pkix"
)

func TestConformance(t *testing.T) {
	var suites func(*pkix.Config)
	if stride > 1 {
		suites = small // ML-KEM is slow under the race detector
	}
	conformance.Run(t, conformance.Setup{
		Initiator: mechanism(t, aliceCert, suites), Acceptor: mechanism(t, bobCert, suites), Target: bob,
	})
}
