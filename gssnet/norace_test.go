//go:build !race

package gssnet

const raceDetector = false
