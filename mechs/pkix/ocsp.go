package pkix

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// checkStaple checks the OCSP response (RFC 6960) that came with a chain: it must
// be current, signed by the leaf's issuer or by a responder whom that issuer
// certified for it, be about that issuer's certificate, and say "good".
func checkStaple(chain []*x509.Certificate, staple []byte, now time.Time) error {
	if len(chain) < 2 {
		return errors.New("pkix: OCSP response without an issuer")
	}
	r, err := ocsp.ParseResponseForCert(staple, chain[0], chain[1])
	if err != nil {
		return fmt.Errorf("pkix: OCSP response: %w", err)
	}
	// x/crypto takes SHA-1, which a responder that signs a stranger's nonce must not use,
	// and a serial number that is some other issuer's.
	if isSHA1(r.SignatureAlgorithm) || r.Certificate != nil && isSHA1(r.Certificate.SignatureAlgorithm) {
		return errors.New("pkix: OCSP response signed with SHA-1")
	}
	if !isAbout(r, chain[0], chain[1]) {
		return errors.New("pkix: OCSP response about another issuer's certificate")
	}
	if d := r.Certificate; d != nil && !d.Equal(chain[1]) {
		// x/crypto has checked that the issuer signed it; RFC 6960 §4.2.2.2 wants more.
		responder := false
		for _, u := range d.ExtKeyUsage {
			responder = responder || u == x509.ExtKeyUsageOCSPSigning
		}
		if !responder || now.Before(d.NotBefore) || now.After(d.NotAfter) {
			return errors.New("pkix: OCSP response of somebody who may not give it")
		}
		if err := checkKey(d.PublicKey); err != nil {
			return err
		}
	}
	switch {
	case now.Before(r.ThisUpdate) || r.NextUpdate.IsZero() || now.After(r.NextUpdate):
		return errors.New("pkix: OCSP response is not current")
	case r.Status != ocsp.Good:
		return errors.New("pkix: certificate is revoked, or unknown to its issuer")
	}
	return nil
}

func isSHA1(a x509.SignatureAlgorithm) bool {
	return a == x509.SHA1WithRSA || a == x509.DSAWithSHA1 || a == x509.ECDSAWithSHA1
}

// isAbout reports whether the answer that x/crypto took out of r, the first with
// the serial number of cert, names issuer too. One responder may answer for many.
//
//	ResponseData ::= SEQUENCE { version [0] DEFAULT v1, responderID, producedAt GeneralizedTime,
//		responses SEQUENCE OF SEQUENCE { certID CertID, … }, … }
//	CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash OCTET STRING, issuerKeyHash OCTET STRING, serialNumber }
func isAbout(r *ocsp.Response, cert, issuer *x509.Certificate) bool {
	q, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: r.IssuerHash})
	if err != nil {
		return false
	}
	want, err := ocsp.ParseRequest(q)
	if err != nil {
		return false
	}
	s := cryptobyte.String(r.TBSResponseData)
	var list cryptobyte.String
	var tag asn1.Tag
	if !s.ReadASN1(&s, asn1.SEQUENCE) || !s.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) ||
		!s.ReadAnyASN1(&list, &tag) || !s.SkipASN1(asn1.GeneralizedTime) || !s.ReadASN1(&list, asn1.SEQUENCE) {
		return false
	}
	for !list.Empty() {
		var one, id, name, key cryptobyte.String
		serial := new(big.Int)
		if !list.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1(&id, asn1.SEQUENCE) || !id.SkipASN1(asn1.SEQUENCE) ||
			!id.ReadASN1(&name, asn1.OCTET_STRING) || !id.ReadASN1(&key, asn1.OCTET_STRING) || !id.ReadASN1Integer(serial) {
			return false
		}
		if serial.Cmp(cert.SerialNumber) == 0 {
			return bytes.Equal(name, want.IssuerNameHash) && bytes.Equal(key, want.IssuerKeyHash)
		}
	}
	return false
}
