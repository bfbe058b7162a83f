//go:build !race

package pkix_test

const stride = 1
