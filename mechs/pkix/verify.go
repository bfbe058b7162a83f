package pkix

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/gsseal/gss/oid"
)

// verifyPeer builds a chain from the peer's certificates to a root, and returns
// the first, the leaf in front, that passes every rule. asAcceptor says which side
// the peer is.
func (m *Mechanism) verifyPeer(leaf *certificate, rest []*x509.Certificate, staple []byte, asAcceptor bool) ([]*x509.Certificate, error) {
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, errors.New("pkix: the certificate's key usage is not to sign")
	}
	intermediates := x509.NewCertPool()
	for _, c := range rest {
		intermediates.AddCert(c)
	}
	now := m.now()
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         m.roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		// The default would be ServerAuth. Usages are checked below, where "any" is
		// not every one, and where ours are known.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	usages := []oid.OID{oid.EKUPKIX}
	switch {
	case asAcceptor && m.serverAuth:
		usages = append(usages, ekuServerAuth)
	case !asAcceptor && m.clientAuth:
		usages = append(usages, ekuClientAuth)
	}
	for _, chain := range chains {
		if err = m.judge(chain, usages, staple, now); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

func (m *Mechanism) judge(chain []*x509.Certificate, usages []oid.OID, staple []byte, now time.Time) error {
	// The peer's own certificates passed checkKey already, the root may not have.
	if err := checkKey(chain[len(chain)-1].PublicKey); err != nil {
		return err
	}
	if !permitted(chain, usages) {
		return errors.New("pkix: the certificate's extended key usage does not allow this")
	}
	if len(staple) > 0 {
		if err := checkStaple(chain, staple, now); err != nil {
			return err
		}
	}
	if m.verifyChain != nil {
		return m.verifyChain(chain)
	}
	return nil
}

// permitted reports whether every certificate of chain permits one of usages.
func permitted(chain []*x509.Certificate, usages []oid.OID) bool {
	for _, u := range usages {
		ok := true
		for i, c := range chain {
			ok = ok && permits(c, u, i == 0)
		}
		if ok {
			return true
		}
	}
	return false
}

// expiry returns the earliest end of certificates, and of limit if it is not zero.
func expiry(limit time.Time, chains ...[]*x509.Certificate) time.Time {
	for _, chain := range chains {
		for _, c := range chain {
			if limit.IsZero() || c.NotAfter.Before(limit) {
				limit = c.NotAfter
			}
		}
	}
	return limit
}
