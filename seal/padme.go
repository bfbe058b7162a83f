package seal

import "math/bits"

// Sizes of a sealed message, in octets: T(16) | U(16) | C(32) | ciphertext(L) |
// GCM tag(16), L = PADMÉ(max(256, 160 + body)).
const (
	headerSize = 160
	minPadded  = 256
	maxPadded  = 1<<31 - 1
	offCommit  = 32
	offCipher  = 64
	gcmTag     = 16
	overhead   = offCipher + gcmTag
)

// padme rounds n up so that its length leaks O(log log n) bits and costs at most
// 12 % (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs", PETS 2019, §4.2):
//
//	E = ⌊log2 n⌋, S = ⌊log2 E⌋ + 1, m = 2^(E-S) - 1, (n + m) &^ m
func padme(n uint64) uint64 {
	if n < 4 {
		return n
	}
	e := bits.Len64(n) - 1
	s := bits.Len64(uint64(e))
	m := uint64(1)<<(e-s) - 1
	return (n + m) &^ m
}

// padded returns L for a body of n octets.
func padded(n int) uint64 { return padme(max(minPadded, headerSize+uint64(n))) }

// Size returns how many octets Seal makes of a body of n octets; 0 if n is too long.
func Size(n int) int {
	if l := padded(n); n >= 0 && l <= maxPadded {
		return overhead + int(l)
	}
	return 0
}
