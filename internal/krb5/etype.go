package krb5

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"strings"
)

// An EType is an encryption type number, RFC 3961 §8. Four are for use; others are there
// to be understood, see Legacy. Single DES is not.
type EType int32

const (
	AES128SHA1 EType = 17 // aes128-cts-hmac-sha1-96, RFC 3962
	AES256SHA1 EType = 18 // aes256-cts-hmac-sha1-96, RFC 3962
	AES128SHA2 EType = 19 // aes128-cts-hmac-sha256-128, RFC 8009
	AES256SHA2 EType = 20 // aes256-cts-hmac-sha384-192, RFC 8009
)

// Errors of this package's cryptography. None says more: what else went wrong is
// not for whoever sent the message.
var (
	ErrIntegrity = errors.New("krb5: integrity check failed")
	ErrEType     = errors.New("krb5: encryption type not supported")
	ErrKeyLength = errors.New("krb5: key of the wrong length")
	ErrS2KParams = errors.New("krb5: string-to-key parameters refused")
	ErrErased    = errors.New("krb5: key was erased")
)

// A profile is what RFC 3961 §3 calls an encryption algorithm profile.
type profile struct {
	etype      EType
	name       string // RFC 3962 §7, RFC 8009 §4: also goes into the salt of the latter
	alias      []string
	keyLen     int   // octets of the protocol key and of Ke
	macLen     int   // octets of a truncated MAC, in a message and as a checksum
	sumType    int32 // the required checksum mechanism
	iterations int   // default string-to-key parameter; 0: there is no string-to-key
	confounder int   // octets
	pad        int   // to a multiple of so many octets
	tagFirst   bool  // the MAC comes before what is encrypted
	suite      suite
}

// A suite is what RFC 3962 and RFC 8009 do differently. Its methods are pure but
// for the scratch that they are lent.
type suite interface {
	// deriveSum and deriveEncrypt return the keys of one usage; derivePRF those
	// of the pseudo-random function.
	deriveSum(p *profile, key []byte, usage uint32) (*derived, error)
	deriveEncrypt(p *profile, key []byte, usage uint32) (*derived, error)
	derivePRF(p *profile, key []byte) (*derived, error)

	// seal encrypts msg, which begins with the confounder, in place and writes
	// the truncated MAC into tag, which lies right behind it. The MAC is of
	// pieces, see covered.
	seal(d *derived, s *scratch, msg, tag []byte, pieces []Piece)

	// open decrypts ct and checks tag. It writes the plaintext without its
	// confounder to out, of len(ct)-16 octets, and leaves zeros there if it
	// returns false. out and ct may begin at the same octet.
	open(d *derived, s *scratch, out, ct, tag []byte, pieces []Piece) bool

	// checksum returns the MAC of the octets in s.list, whole or longer than macLen.
	checksum(d *derived, s *scratch) []byte

	// prf returns RFC 3961's pseudo-random of head and in together, which lies in s.
	prf(d *derived, s *scratch, head, in []byte) []byte

	stringToKey(p *profile, password, salt string, iterations int) ([]byte, error)
	scratch() *scratch
	release(*scratch)
}

var profiles = [...]profile{
	{AES128SHA1, "aes128-cts-hmac-sha1-96", []string{"aes128-cts", "aes128-sha1"}, 16, 12, 15, 4096, blockSize, 1, false, aesSHA1{}},
	{AES256SHA1, "aes256-cts-hmac-sha1-96", []string{"aes256-cts", "aes256-sha1"}, 32, 12, 16, 4096, blockSize, 1, false, aesSHA1{}},
	{AES128SHA2, "aes128-cts-hmac-sha256-128", []string{"aes128-sha2"}, 16, 16, 19, 32768, blockSize, 1, false, sha256Suite},
	{AES256SHA2, "aes256-cts-hmac-sha384-192", []string{"aes256-sha2"}, 32, 24, 20, 32768, blockSize, 1, false, sha384Suite},
}

func (e EType) profile() *profile {
	if e >= AES128SHA1 && e <= AES256SHA2 {
		return &profiles[e-AES128SHA1]
	}
	for i := range legacyProfiles {
		if legacyProfiles[i].etype == e {
			return &legacyProfiles[i]
		}
	}
	return nil
}

// Supported reports whether e may be used unasked: not if it is Legacy. SHA-1 cannot be
// used under GODEBUG=fips140=only.
func (e EType) Supported() bool {
	return e >= AES128SHA1 && e <= AES256SHA2 && (e >= AES128SHA2 || !fips140.Enforced())
}

// String returns e's registered name, or "etype(n)".
func (e EType) String() string {
	if p := e.profile(); p != nil {
		return p.name
	}
	return fmt.Sprintf("etype(%d)", int32(e))
}

// KeyLen returns the octets of a key of e; 0 if e is unknown.
func (e EType) KeyLen() int {
	if p := e.profile(); p != nil {
		return p.keyLen
	}
	return 0
}

// ChecksumType returns the number of e's required checksum mechanism (RFC 3961
// §8); 0, which is reserved, if e is unknown.
func (e EType) ChecksumType() int32 {
	if p := e.profile(); p != nil {
		return p.sumType
	}
	return 0
}

// ChecksumLen returns the octets of a checksum of e; 0 if e is unknown.
func (e EType) ChecksumLen() int {
	if p := e.profile(); p != nil {
		return p.macLen
	}
	return 0
}

// ParseEType reads a name or an alias as krb5.conf has them, in any case. A
// family such as "aes" is not one type and is refused. Error: ErrEType.
func ParseEType(name string) (EType, error) {
	name = strings.ToLower(name)
	for i := range profiles {
		p := &profiles[i]
		if name == p.name {
			return p.etype, nil
		}
		for _, a := range p.alias {
			if name == a {
				return p.etype, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrEType, name)
}
