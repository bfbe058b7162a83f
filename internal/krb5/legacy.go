package krb5

import "crypto/fips140"

// Encryption types that are here to be understood, and are off unless somebody asks:
// Supported says no to them. RFC 8429 deprecates the first two; Camellia is sound, but
// our implementation of it is slow, and keeps no secrets from who shares the processor.
const (
	DES3SHA1    EType = 16 // des3-cbc-sha1-kd, RFC 3961 §6.3
	RC4HMAC     EType = 23 // rc4-hmac, RFC 4757
	Camellia128 EType = 25 // camellia128-cts-cmac, RFC 6803
	Camellia256 EType = 26 // camellia256-cts-cmac, RFC 6803
)

var legacyProfiles = [...]profile{
	{etype: DES3SHA1, name: "des3-cbc-sha1", keyLen: 24, macLen: 20, sumType: 12, confounder: 8, pad: 8, suite: des3SHA1{}},
	{etype: RC4HMAC, name: "arcfour-hmac", keyLen: 16, macLen: 16, sumType: -138, confounder: 8, pad: 1, tagFirst: true, suite: rc4HMAC{}},
	{etype: Camellia128, name: "camellia128-cts-cmac", keyLen: 16, macLen: 16, sumType: 17, iterations: 32768, confounder: 16, pad: 1, suite: camelliaCMAC{}},
	{etype: Camellia256, name: "camellia256-cts-cmac", keyLen: 32, macLen: 16, sumType: 18, iterations: 32768, confounder: 16, pad: 1, suite: camelliaCMAC{}},
}

// Legacy reports whether e is one of those types, and can be used here: none of their
// algorithms can under GODEBUG=fips140=only.
func (e EType) Legacy() bool {
	for i := range legacyProfiles {
		if legacyProfiles[i].etype == e {
			return !fips140.Enforced()
		}
	}
	return false
}

// Old reports whether per-message tokens of e are those of RFC 1964 and RFC 4757, not
// RFC 4121's.
func (e EType) Old() bool { return e == DES3SHA1 || e == RC4HMAC }

// AnyKey is Key, but the type may be Legacy.
func (k *EncryptionKey) AnyKey() (*Key, error) { return NewAnyKey(k.EType, k.Value) }
