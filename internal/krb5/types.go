package krb5

import (
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// EncryptedData is a ciphertext and what it was encrypted under.
type EncryptedData struct {
	EType   EType
	KVNO    uint32 // if HasKVNO; only with a principal's long-term key
	HasKVNO bool
	Cipher  []byte
}

// EncryptedData ::= SEQUENCE {                    RFC 4120 §5.2.9
//
//	etype  [0] Int32,
//	kvno   [1] UInt32 OPTIONAL,
//	cipher [2] OCTET STRING }
func readEncryptedData(s *cryptobyte.String, n uint8, out *EncryptedData) bool {
	var body cryptobyte.String
	return readSequence(s, n, &body) && readEncryptedDataBody(&body, out)
}

func readEncryptedDataBody(body *cryptobyte.String, out *EncryptedData) bool {
	return readInt32(body, 0, &out.EType) &&
		peek(body, 1, &out.HasKVNO) && optional(body, 1, &out.KVNO, readUint32) &&
		readOctets(body, 2, &out.Cipher) &&
		body.Empty()
}

func addEncryptedData(b *builder, n uint8, e *EncryptedData) {
	addSequence(b, n, e.addBody)
}

func (e *EncryptedData) addBody(b *builder) {
	addInt(b, 0, int64(e.EType))
	if e.HasKVNO {
		addInt(b, 1, int64(e.KVNO))
	}
	addOctets(b, 2, e.Cipher)
}

// ParseEncryptedData reads a bare EncryptedData, as in the value of PA-ENC-TIMESTAMP.
func ParseEncryptedData(b []byte) (*EncryptedData, error) {
	return parse(b, "EncryptedData", func(s *cryptobyte.String, out *EncryptedData) bool {
		var body cryptobyte.String
		return s.ReadASN1(&body, asn1.SEQUENCE) && readEncryptedDataBody(&body, out)
	})
}

// Append appends the DER of e to dst.
func (e *EncryptedData) Append(dst []byte) []byte {
	return build(dst, func(b *builder) { b.add(asn1.SEQUENCE, e.addBody) })
}

// An EncryptionKey is a key as it travels inside encrypted parts. Printing it shows
// its type only.
type EncryptionKey struct {
	EType EType
	Value []byte
}

// Key makes it usable; it fails for an unknown etype or a wrong length.
func (k *EncryptionKey) Key() (*Key, error) { return NewKey(k.EType, k.Value) }

// Erase overwrites the value.
func (k *EncryptionKey) Erase() { clear(k.Value) }

// Format keeps the value out of every verb of package fmt.
func (k EncryptionKey) Format(f fmt.State, _ rune) {
	io.WriteString(f, fmt.Sprintf("key of etype %d", int32(k.EType)))
}

// EncryptionKey ::= SEQUENCE {                    RFC 4120 §5.2.9
//
//	keytype  [0] Int32,
//	keyvalue [1] OCTET STRING }
func readEncryptionKey(s *cryptobyte.String, n uint8, out *EncryptionKey) bool {
	var body cryptobyte.String
	return readSequence(s, n, &body) &&
		readInt32(&body, 0, &out.EType) &&
		readOctets(&body, 1, &out.Value) &&
		body.Empty()
}

func addEncryptionKey(b *builder, n uint8, k *EncryptionKey) {
	addSequence(b, n, func(b *builder) {
		addInt(b, 0, int64(k.EType))
		addOctets(b, 1, k.Value)
	})
}

// A Checksum is a checksum and its type, RFC 3961 §4 (0x8003 in the authenticator
// of a GSS-API context, RFC 4121 §4.1.1, where it is no checksum).
type Checksum struct {
	Type int32
	Sum  []byte
}

// Checksum ::= SEQUENCE {                         RFC 4120 §5.2.9
//
//	cksumtype [0] Int32,
//	checksum  [1] OCTET STRING }
func readChecksum(s *cryptobyte.String, n uint8, out *Checksum) bool {
	var body cryptobyte.String
	return readSequence(s, n, &body) &&
		readInt32(&body, 0, &out.Type) &&
		readOctets(&body, 1, &out.Sum) &&
		body.Empty()
}

func addChecksum(b *builder, n uint8, c *Checksum) {
	addSequence(b, n, func(b *builder) {
		addInt(b, 0, int64(c.Type))
		addOctets(b, 1, c.Sum)
	})
}

// Authorization data types, RFC 4120 §5.2.6 and §7.5.4, RFC 4537.
const (
	ADIfRelevant       = 1   // the value is AuthorizationData, which may be ignored
	ADETypeNegotiation = 129 // the value is a list of etypes
)

// An AuthDataEntry is one element of AuthorizationData.
type AuthDataEntry struct {
	Type int32
	Data []byte
}

// ParseAuthData reads a bare AuthorizationData, as inside AD-IF-RELEVANT.
func ParseAuthData(b []byte) ([]AuthDataEntry, error) {
	return parseSequenceOf(b, "AuthorizationData", maxAuthData, readAuthDataEntry)
}

// AppendAuthData appends the DER of list to dst.
func AppendAuthData(dst []byte, list []AuthDataEntry) []byte {
	return appendSequenceOf(dst, list, addAuthDataEntry)
}

// AuthorizationData ::= SEQUENCE OF SEQUENCE {    RFC 4120 §5.2.6
//
//	ad-type [0] Int32,
//	ad-data [1] OCTET STRING }
func readAuthData(s *cryptobyte.String, n uint8, out *[]AuthDataEntry) bool {
	return readList(s, n, out, maxAuthData, readAuthDataEntry)
}

func readAuthDataEntry(s *cryptobyte.String, out *AuthDataEntry) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readInt32(&body, 0, &out.Type) &&
		readOctets(&body, 1, &out.Data) &&
		body.Empty()
}

func addAuthDataEntry(b *builder, e *AuthDataEntry) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addInt(b, 0, int64(e.Type))
		addOctets(b, 1, e.Data)
	})
}

// A HostAddress is an address and its type, RFC 4120 §7.5.3. Tickets with addresses
// are rare: they do not survive address translation.
type HostAddress struct {
	Type    int32
	Address []byte
}

// HostAddresses ::= SEQUENCE OF SEQUENCE {        RFC 4120 §5.2.5
//
//	addr-type [0] Int32,
//	address   [1] OCTET STRING }
func readHostAddresses(s *cryptobyte.String, n uint8, out *[]HostAddress) bool {
	return readList(s, n, out, maxAddresses, readHostAddressItem)
}

func readHostAddressItem(s *cryptobyte.String, out *HostAddress) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readInt32(&body, 0, &out.Type) &&
		readOctets(&body, 1, &out.Address) &&
		body.Empty()
}

func readHostAddress(s *cryptobyte.String, n uint8, out *HostAddress) bool {
	var field cryptobyte.String
	return s.ReadASN1(&field, explicit(n)) && readHostAddressItem(&field, out) && field.Empty()
}

func addHostAddresses(b *builder, n uint8, list []HostAddress) {
	addList(b, n, list, addHostAddressItem)
}

func addHostAddressItem(b *builder, a *HostAddress) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addInt(b, 0, int64(a.Type))
		addOctets(b, 1, a.Address)
	})
}
