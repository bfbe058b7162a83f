package krb5

import (
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// What per-message tokens of RFC 1964 do with an Old key beside checksums: their data is
// encrypted without a MAC, and so is their sequence number.

// OldData encrypts or decrypts the data of the token with number seq in place: RC4 as in
// RFC 4757 §7.3, or triple DES in CBC mode under the key itself, for which b has to be
// whole blocks. Errors: ErrErased; ErrEType if the key is not Old; ErrIntegrity.
func (k *Key) OldData(b []byte, seq uint32, decrypt bool) error {
	return k.old(func() error {
		if k.p.etype == DES3SHA1 {
			return k.des3(b, des3IV, decrypt)
		}
		local := make([]byte, len(k.value))
		defer clear(local)
		for i, x := range k.value {
			local[i] = x ^ 0xf0
		}
		rc4HMAC{}.xor(md5MAC(md5MAC(local, make([]byte, 4)), binary.BigEndian.AppendUint32(nil, seq)), b)
		return nil
	})
}

// OldSeq encrypts or decrypts the eight octets of a sequence number in place, with the
// first eight of the token's checksum. Errors as OldData's.
func (k *Key) OldSeq(b, sum []byte, decrypt bool) error {
	return k.old(func() error {
		if len(sum) < 8 {
			return ErrIntegrity
		}
		if k.p.etype == DES3SHA1 {
			return k.des3(b, sum[:8], decrypt)
		}
		rc4HMAC{}.xor(md5MAC(md5MAC(k.value, make([]byte, 4)), sum[:8]), b)
		return nil
	})
}

func (k *Key) old(do func() error) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	switch {
	case !k.p.etype.Old():
		return ErrEType
	case k.value == nil:
		return ErrErased
	}
	return do()
}

func (k *Key) des3(b, iv []byte, decrypt bool) error {
	block, err := des.NewTripleDESCipher(k.value)
	if err != nil || len(b)%des.BlockSize != 0 {
		return ErrIntegrity
	}
	mode := cipher.NewCBCEncrypter(block, iv)
	if decrypt {
		mode = cipher.NewCBCDecrypter(block, iv)
	}
	mode.CryptBlocks(b, b)
	return nil
}

// unpadded takes padding off a message that is DER, as all are that Kerberos encrypts; any
// other is as it was.
func unpadded(b []byte, pad int) []byte {
	s := cryptobyte.String(b)
	var tag asn1.Tag
	var body cryptobyte.String
	if pad > 1 && s.ReadAnyASN1Element(&body, &tag) && len(s) < pad {
		return b[:len(body)]
	}
	return b
}
