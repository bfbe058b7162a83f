package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// A second implementation, from the protocol's text, which shares no code with the
// first and knows no caches: it seals whatever plaintext it is told to.

func refHMAC(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(bytes.Join(parts, nil))
	return m.Sum(nil)
}

// refExpand is HKDF-Expand, RFC 5869 §2.3.
func refExpand(prk []byte, info []byte, n int) []byte {
	var out, t []byte
	for i := byte(1); len(out) < n; i++ {
		t = refHMAC(prk, t, info, []byte{i})
		out = append(out, t...)
	}
	return out[:n]
}

type refKeys struct{ tag, hdr, root []byte }

func refDerive(r, oidDER []byte, d string) refKeys {
	s := refHMAC([]byte("gss seal 1"), r, oidDER) // HKDF-Extract: the salt is the key
	return refKeys{
		refExpand(s, []byte("tag "+d), 32),
		refExpand(s, []byte("hdr "+d), 32),
		refExpand(s, []byte("epochs "+d), 32),
	}
}

func (k refKeys) epoch(e uint32) []byte {
	node := k.root
	for bit := 23; bit >= 0; bit-- {
		node = refHMAC(node, []byte{byte(e >> bit & 1)})
	}
	return node
}

func refGCM(key, aad, p []byte) []byte {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	return a.Seal(nil, make([]byte, 12), p, aad)
}

func refAES(key, block []byte) []byte {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, 16)
	b.Encrypt(out, block)
	return out
}

// refTU returns T | U.
func (k refKeys) refTU(n uint64, e uint32, l int, salt string) []byte {
	t := refAES(k.tag, append(binary.BigEndian.AppendUint64(nil, n), make([]byte, 8)...))
	u := append([]byte{byte(e >> 16), byte(e >> 8), byte(e)}, binary.BigEndian.AppendUint32(nil, uint32(l))...)
	return append(t, refAES(k.hdr, append(u, salt...))...)
}

// seal makes a message of the plaintext p, whose length U gives, whatever is in it.
func (k refKeys) seal(n uint64, e uint32, salt string, p, aad []byte) []byte {
	m := k.refTU(n, e, len(p), salt)
	kc := refExpand(k.epoch(e), append([]byte("msg"), m...), 64)
	m = append(m, kc[32:]...)
	return append(m, refGCM(kc[:32], aad, p)...)
}

// refPADME computes with logarithms, as the paper does.
func refPADME(l int) int {
	e := math.Floor(math.Log2(float64(l)))
	s := math.Floor(math.Log2(e)) + 1
	m := int(math.Pow(2, e-s)) - 1
	return (l + m) &^ m
}

// A refHeader is a plaintext to be: each field goes out as it stands.
type refHeader struct {
	version, flags     byte
	reserved           uint16
	bodyLen            uint32
	n                  uint64
	sealedAt, notAfter int64
	from, to           [32]byte
	relay, key         [32]byte
	body               []byte
	pad                []byte // nil: zeros to PADMÉ
}

func (h refHeader) plaintext() []byte {
	b := []byte{h.version, h.flags}
	b = binary.BigEndian.AppendUint16(b, h.reserved)
	b = binary.BigEndian.AppendUint32(b, h.bodyLen)
	b = binary.BigEndian.AppendUint64(b, h.n)
	b = binary.BigEndian.AppendUint64(b, uint64(h.sealedAt))
	b = binary.BigEndian.AppendUint64(b, uint64(h.notAfter))
	b = append(b, h.from[:]...)
	b = append(b, h.to[:]...)
	b = append(b, h.relay[:]...)
	b = append(b, h.key[:]...)
	b = append(b, h.body...)
	if h.pad != nil {
		return append(b, h.pad...)
	}
	return append(b, make([]byte, refPADME(max(256, len(b)))-len(b))...)
}
