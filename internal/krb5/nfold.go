package krb5

// nfold is RFC 3961 §5.1's n-fold: it stretches or shrinks in to n octets so that
// every input bit counts about equally. Copies of in, each rotated 13 bits further
// to the right, fill lcm(len(in), n) octets; these are cut into pieces of n
// octets, which are added in ones' complement. in must not be empty.
func nfold(in []byte, n int) []byte {
	out := make([]byte, n)
	total := len(in) / gcd(len(in), n) * n
	carry := 0
	// From the last octet to the first, all pieces at once: column i of the
	// output sums the octets i, i+n, i+2n, ...
	add := func(i int) {
		for j := i; j < total; j += n {
			carry += int(rotated(in, j))
		}
		carry += int(out[i])
		out[i] = byte(carry)
		carry >>= 8
	}
	for i := n - 1; i >= 0; i-- {
		add(i)
	}
	// The end-around carry.
	for i := n - 1; carry != 0; i = (i + n - 1) % n {
		carry += int(out[i])
		out[i] = byte(carry)
		carry >>= 8
	}
	return out
}

// rotated returns octet j of the endless row of copies of in.
func rotated(in []byte, j int) byte {
	bits := 8 * len(in)
	shift := j / len(in) * 13 % bits
	// The octet begins at this bit of in.
	b := (8*(j%len(in)) + bits - shift) % bits
	hi, lo := in[b/8], in[(b/8+1)%len(in)]
	return byte((uint(hi)<<8 | uint(lo)) >> (8 - b%8))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
