package krb5

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// AES in CBC mode with ciphertext stealing and a zero initial vector (RFC 3962
// §5; CBC-CS3 in RFC 8009 §5): the last two blocks are swapped, the then last is
// cut to what the message has of it. One single block is plain CBC.
//
// The chaining is done here on a cipher.Block, which has no state, rather than by
// a cipher.BlockMode, which has: so one expanded key serves all goroutines
// without a copy of itself per message, and decryption, whose blocks do not wait
// for each other, goes faster.

const blockSize = aes.BlockSize

// ctsEncrypt encrypts buf, of at least one block, in place.
func ctsEncrypt(b cipher.Block, s *scratch, buf []byte) {
	n := len(buf)
	whole := (n - 1) &^ (blockSize - 1) // up to the last block, which may be short
	if whole == 0 {
		b.Encrypt(buf, buf)
		return
	}
	b.Encrypt(buf[:blockSize], buf[:blockSize])
	i := blockSize
	for ; i < whole; i += blockSize {
		x := buf[i : i+blockSize : i+blockSize]
		subtle.XORBytes(x, x, buf[i-blockSize:i])
		b.Encrypt(x, x)
	}
	last, prev := s.block[:], buf[whole-blockSize:whole]
	copy(last, prev)
	subtle.XORBytes(last, last, buf[whole:])
	b.Encrypt(last, last)
	copy(buf[whole:], prev)
	copy(prev, last)
}

// ctsDecrypt decrypts ct, of at least one block. Its first block, the confounder,
// goes to s.confounder, the rest to out, of len(ct)-16 octets. out and ct may
// begin at the same octet; else they must not overlap.
func ctsDecrypt(b cipher.Block, s *scratch, out, ct []byte) {
	n := len(ct)
	whole := (n - 1) &^ (blockSize - 1)
	if whole == 0 {
		b.Decrypt(s.confounder[:], ct)
		return
	}
	// Blocks before the last two are plain CBC. Each piece is copied first, which
	// costs little and lets out lie on ct. What was the last ciphertext block of
	// the piece before stays in front of it.
	const head = blockSize
	clear(s.chunk[:head])
	plain := whole - blockSize
	for done := 0; done < plain; {
		m := copy(s.chunk[head:], ct[done:plain])
		to := out[max(done-blockSize, 0):][:m]
		if done == 0 {
			b.Decrypt(s.confounder[:], s.chunk[head:])
			to = to[:m-blockSize]
		}
		from := s.chunk[head+m-len(to) : head+m]
		for i := 0; i < len(to); i += blockSize {
			b.Decrypt(to[i:i+blockSize:i+blockSize], from[i:i+blockSize:i+blockSize])
		}
		subtle.XORBytes(to, to, s.chunk[m-len(to):m])
		copy(s.chunk[:head], s.chunk[m:m+head])
		done += m
	}

	// The last two. s.chunk[:head] is the block before them (zero if none); then
	// come the swapped last block and the rest of the one before it.
	tail := copy(s.chunk[head:], ct[plain:]) - blockSize // 1 to 16
	prev, last, rest := s.chunk[:head], s.chunk[head:head+blockSize], s.chunk[head+blockSize:][:blockSize]
	b.Decrypt(s.block[:], last)
	copy(rest[tail:], s.block[tail:]) // the stolen part of the block before
	subtle.XORBytes(s.block[:tail], s.block[:tail], rest[:tail])
	copy(out[whole-blockSize:], s.block[:tail])
	b.Decrypt(s.block[:], rest)
	subtle.XORBytes(s.block[:], s.block[:], prev)
	if plain == 0 {
		copy(s.confounder[:], s.block[:])
	} else {
		copy(out[plain-blockSize:], s.block[:])
	}
}
