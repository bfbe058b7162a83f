// Package krb5 is what Kerberos needs below the GSS-API: the AES encryption types of
// RFC 3962 and RFC 8009 in the framework of RFC 3961, older ones that have to be asked for
// (RC4, triple DES and Camellia; see NewAnyKey), the messages of RFC 4120, and PACs (MS-PAC).
//
// A [Key] encrypts, makes checksums and derives. Every message has a Parse function
// and an Append method, which are DER and nothing else; what is inside an
// [EncryptedData] is parsed after it was decrypted. Nothing here does I/O, looks at a
// clock or decides whether to believe a message: that is for mechs/krb5 and kdctest.
package krb5
