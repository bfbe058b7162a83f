//go:build !race

package rpcsecgss

const race = false
