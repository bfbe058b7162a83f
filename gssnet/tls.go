package gssnet

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/gsseal/gss"
)

// Channel bindings tie a context to the TLS connection that carries it: they go
// into InitOptions.Bindings and AcceptOptions.Bindings, on both sides of the same
// type (RFC 5056 §2.1). The prefix and the colon are part of the value.
const (
	prefixExporter  = "tls-exporter:"         // RFC 9266 §5.1
	prefixEndPoint  = "tls-server-end-point:" // RFC 5929 §4.2
	exporterLabel   = "EXPORTER-Channel-Binding"
	exporterOctets  = 32
	opChannelBinds  = "Channel_bindings"
	unavailableHash = "the certificate's signature has no single hash function"
)

// TLSExporter returns the bindings "tls-exporter" (RFC 9266 §2) of an established
// connection, which both sides compute and no other connection shares. Error:
// Unavailable, before the handshake, below TLS 1.2, and in TLS 1.2 without extended
// master secret or with renegotiation.
func TLSExporter(cs tls.ConnectionState) ([]byte, error) {
	if !cs.HandshakeComplete || cs.Version < tls.VersionTLS12 {
		return nil, &gss.Error{Op: opChannelBinds, Major: gss.Unavailable, Err: errors.New("no TLS connection, or too old a one")}
	}
	// The context is empty, which in TLS 1.2 is not the same as none (RFC 5705 §4).
	ekm, err := cs.ExportKeyingMaterial(exporterLabel, []byte{}, exporterOctets)
	if err != nil {
		return nil, &gss.Error{Op: opChannelBinds, Major: gss.Unavailable, Err: err}
	}
	return append([]byte(prefixExporter), ekm...), nil
}

// TLSServerEndPoint returns the bindings "tls-server-end-point" (RFC 5929 §4) of
// connections to whoever has this certificate: the client's
// ConnectionState.PeerCertificates[0], the server's own leaf. Unlike TLSExporter's
// they are those of every connection to it, and survive a proxy that has the
// certificate too. Error: Unavailable, if the signature on the certificate has no
// single hash function (Ed25519) or none that is known.
func TLSServerEndPoint(cert *x509.Certificate) ([]byte, error) {
	var hash crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, // RFC 5929 §4.1: SHA-256 in their place
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil, &gss.Error{Op: opChannelBinds, Major: gss.Unavailable, Err: errors.New(unavailableHash)}
	}
	h := hash.New() // crypto/tls and crypto/x509 link all three
	h.Write(cert.Raw)
	return h.Sum([]byte(prefixEndPoint)), nil
}
