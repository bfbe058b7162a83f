package krb5

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// Camellia, RFC 3713, with keys of 128 and 256 bits. It looks its S-boxes up in tables,
// so that whoever shares a processor's cache with it may learn of its keys: one reason
// why encryption types that use it are off by default.
type camellia struct {
	kw     [4]uint64  // whitening
	k      [24]uint64 // of the rounds; 18 with 128 bits
	ke     [6]uint64  // of FL and FL⁻¹; 4 with 128 bits
	rounds int
}

var _ cipher.Block = (*camellia)(nil)

// sbox1 is SBOX1 of RFC 3713 §2.4.1; the other three are rotations of it.
var sbox1 = [256]byte{
	112, 130, 44, 236, 179, 39, 192, 229, 228, 133, 87, 53, 234, 12, 174, 65,
	35, 239, 107, 147, 69, 25, 165, 33, 237, 14, 79, 78, 29, 101, 146, 189,
	134, 184, 175, 143, 124, 235, 31, 206, 62, 48, 220, 95, 94, 197, 11, 26,
	166, 225, 57, 202, 213, 71, 93, 61, 217, 1, 90, 214, 81, 86, 108, 77,
	139, 13, 154, 102, 251, 204, 176, 45, 116, 18, 43, 32, 240, 177, 132, 153,
	223, 76, 203, 194, 52, 126, 118, 5, 109, 183, 169, 49, 209, 23, 4, 215,
	20, 88, 58, 97, 222, 27, 17, 28, 50, 15, 156, 22, 83, 24, 242, 34,
	254, 68, 207, 178, 195, 181, 122, 145, 36, 8, 232, 168, 96, 252, 105, 80,
	170, 208, 160, 125, 161, 137, 98, 151, 84, 91, 30, 149, 224, 255, 100, 210,
	16, 196, 0, 72, 163, 247, 117, 219, 138, 3, 230, 218, 9, 63, 221, 148,
	135, 92, 131, 2, 205, 74, 144, 51, 115, 103, 246, 243, 157, 127, 191, 226,
	82, 155, 216, 38, 200, 55, 198, 59, 129, 150, 111, 75, 19, 190, 99, 46,
	233, 121, 167, 140, 159, 110, 188, 142, 41, 245, 249, 182, 47, 253, 180, 89,
	120, 152, 6, 106, 231, 70, 113, 186, 212, 37, 171, 66, 136, 162, 141, 250,
	114, 7, 185, 85, 248, 238, 172, 10, 54, 73, 42, 104, 60, 56, 241, 164,
	64, 40, 211, 123, 187, 201, 67, 193, 21, 227, 173, 244, 119, 199, 128, 158,
}

// camelliaF is the function F, RFC 3713 §2.4.1.
func camelliaF(in, key uint64) uint64 {
	x := in ^ key
	s := func(shift uint) uint64 { return uint64(x >> shift & 0xff) }
	t1 := uint64(sbox1[s(56)])
	t2 := uint64(bits.RotateLeft8(sbox1[s(48)], 1))
	t3 := uint64(bits.RotateLeft8(sbox1[s(40)], 7))
	t4 := uint64(sbox1[bits.RotateLeft8(uint8(s(32)), 1)])
	t5 := uint64(bits.RotateLeft8(sbox1[s(24)], 1))
	t6 := uint64(bits.RotateLeft8(sbox1[s(16)], 7))
	t7 := uint64(sbox1[bits.RotateLeft8(uint8(s(8)), 1)])
	t8 := uint64(sbox1[s(0)])
	y1 := t1 ^ t3 ^ t4 ^ t6 ^ t7 ^ t8
	y2 := t1 ^ t2 ^ t4 ^ t5 ^ t7 ^ t8
	y3 := t1 ^ t2 ^ t3 ^ t5 ^ t6 ^ t8
	y4 := t2 ^ t3 ^ t4 ^ t5 ^ t6 ^ t7
	y5 := t1 ^ t2 ^ t6 ^ t7 ^ t8
	y6 := t2 ^ t3 ^ t5 ^ t7 ^ t8
	y7 := t3 ^ t4 ^ t5 ^ t6 ^ t8
	y8 := t1 ^ t4 ^ t5 ^ t6 ^ t7
	return y1<<56 | y2<<48 | y3<<40 | y4<<32 | y5<<24 | y6<<16 | y7<<8 | y8
}

func camelliaFL(x, key uint64) uint64 {
	l, r := uint32(x>>32), uint32(x)
	r ^= bits.RotateLeft32(l&uint32(key>>32), 1)
	l ^= r | uint32(key)
	return uint64(l)<<32 | uint64(r)
}

func camelliaFLInverse(y, key uint64) uint64 {
	l, r := uint32(y>>32), uint32(y)
	l ^= r | uint32(key)
	r ^= bits.RotateLeft32(l&uint32(key>>32), 1)
	return uint64(l)<<32 | uint64(r)
}

// camelliaSigma are the constants of the key schedule.
var camelliaSigma = [6]uint64{
	0xa09e667f3bcc908b, 0xb67ae8584caa73b2, 0xc6ef372fe94f82be,
	0x54ff53a5f1d36f1c, 0x10e527fade682d1d, 0xb05688c2b3e6c1fd,
}

// A pair is 128 bits.
type pair struct{ hi, lo uint64 }

func (p pair) rotl(n uint) pair {
	if n >= 64 {
		p, n = pair{p.lo, p.hi}, n-64
	}
	if n == 0 {
		return p
	}
	return pair{p.hi<<n | p.lo>>(64-n), p.lo<<n | p.hi>>(64-n)}
}

// newCamellia returns the cipher for a key of 16 or 32 octets. Error: ErrKeyLength.
func newCamellia(key []byte) (*camellia, error) {
	if len(key) != 16 && len(key) != 32 {
		return nil, ErrKeyLength
	}
	u := binary.BigEndian.Uint64
	kl := pair{u(key), u(key[8:])}
	var kr pair
	if len(key) == 32 {
		kr = pair{u(key[16:]), u(key[24:])}
	}
	d1, d2 := kl.hi^kr.hi, kl.lo^kr.lo
	d2 ^= camelliaF(d1, camelliaSigma[0])
	d1 ^= camelliaF(d2, camelliaSigma[1])
	d1, d2 = d1^kl.hi, d2^kl.lo
	d2 ^= camelliaF(d1, camelliaSigma[2])
	d1 ^= camelliaF(d2, camelliaSigma[3])
	ka := pair{d1, d2}
	d1, d2 = ka.hi^kr.hi, ka.lo^kr.lo
	d2 ^= camelliaF(d1, camelliaSigma[4])
	d1 ^= camelliaF(d2, camelliaSigma[5])
	kb := pair{d1, d2}

	c := new(camellia)
	both := func(dst []uint64, p pair, n uint) { p = p.rotl(n); dst[0], dst[1] = p.hi, p.lo }
	both(c.kw[:2], kl, 0)
	if len(key) == 16 { // RFC 3713 §2.2
		c.rounds = 18
		both(c.k[0:], ka, 0)
		both(c.k[2:], kl, 15)
		both(c.k[4:], ka, 15)
		both(c.ke[0:], ka, 30)
		both(c.k[6:], kl, 45)
		c.k[8] = ka.rotl(45).hi
		c.k[9] = kl.rotl(60).lo
		both(c.k[10:], ka, 60)
		both(c.ke[2:], kl, 77)
		both(c.k[12:], kl, 94)
		both(c.k[14:], ka, 94)
		both(c.k[16:], kl, 111)
		both(c.kw[2:], ka, 111)
		return c, nil
	}
	c.rounds = 24
	both(c.k[0:], kb, 0)
	both(c.k[2:], kr, 15)
	both(c.k[4:], ka, 15)
	both(c.ke[0:], kr, 30)
	both(c.k[6:], kb, 30)
	both(c.k[8:], kl, 45)
	both(c.k[10:], ka, 45)
	both(c.ke[2:], kl, 60)
	both(c.k[12:], kr, 60)
	both(c.k[14:], kb, 60)
	both(c.k[16:], kl, 77)
	both(c.ke[4:], ka, 77)
	both(c.k[18:], kr, 94)
	both(c.k[20:], ka, 94)
	both(c.k[22:], kl, 111)
	both(c.kw[2:], kb, 111)
	return c, nil
}

// BlockSize implements cipher.Block.
func (c *camellia) BlockSize() int { return blockSize }

// Encrypt implements cipher.Block.
func (c *camellia) Encrypt(dst, src []byte) {
	d1, d2 := binary.BigEndian.Uint64(src)^c.kw[0], binary.BigEndian.Uint64(src[8:])^c.kw[1]
	for i := 0; i < c.rounds; i += 2 {
		if i > 0 && i%6 == 0 {
			d1, d2 = camelliaFL(d1, c.ke[i/3-2]), camelliaFLInverse(d2, c.ke[i/3-1])
		}
		d2 ^= camelliaF(d1, c.k[i])
		d1 ^= camelliaF(d2, c.k[i+1])
	}
	binary.BigEndian.PutUint64(dst, d2^c.kw[2])
	binary.BigEndian.PutUint64(dst[8:], d1^c.kw[3])
}

// Decrypt implements cipher.Block.
func (c *camellia) Decrypt(dst, src []byte) {
	d1, d2 := binary.BigEndian.Uint64(src)^c.kw[2], binary.BigEndian.Uint64(src[8:])^c.kw[3]
	for i := c.rounds; i > 0; i -= 2 {
		if i < c.rounds && i%6 == 0 {
			d1, d2 = camelliaFL(d1, c.ke[i/3-1]), camelliaFLInverse(d2, c.ke[i/3-2])
		}
		d2 ^= camelliaF(d1, c.k[i-1])
		d1 ^= camelliaF(d2, c.k[i-2])
	}
	binary.BigEndian.PutUint64(dst, d2^c.kw[0])
	binary.BigEndian.PutUint64(dst[8:], d1^c.kw[1])
}
