//go:build race

package rpcsecgss

// race says that everything is slower by an order of magnitude.
const race = true
