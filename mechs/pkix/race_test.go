//go:build race

package pkix_test

// stride thins out tests that try every bit and octet: the race detector makes
// them slow and has nothing new to see in them.
const stride = 17
