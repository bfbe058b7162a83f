//go:build race

package gssnet

const raceDetector = true
