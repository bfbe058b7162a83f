package gss

import "crypto/sha256"

// HashBindings returns how this project's own protocols carry channel bindings:
// an octet that says whether any were given, and
//
//	cbh = SHA-256("gss cb 1" | application data), 32 zero octets if none were
//
// where bindings is RFC 5056 application data with its prefix, such as
// "tls-server-end-point:" and a hash. (krb5 carries them as RFC 4121 §4.1.1.2
// says.) Compare the hashes in constant time.
func HashBindings(bindings []byte) (present byte, cbh [sha256.Size]byte) {
	if len(bindings) == 0 {
		return 0, cbh
	}
	h := sha256.New()
	h.Write([]byte("gss cb 1"))
	h.Write(bindings)
	h.Sum(cbh[:0])
	return 1, cbh
}
