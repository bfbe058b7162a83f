package pkix_test

import (
	"testing"

	"github.com/gsseal/gss/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Setup{
		Initiator: mechanism(t, aliceCert, nil), Acceptor: mechanism(t, bobCert, nil), Target: bob,
	})
}
