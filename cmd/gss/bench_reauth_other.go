//go:build !unix

package main

import "time"

func ownCPU() (time.Duration, bool) { return 0, false }

func threadCPU(int) (time.Duration, bool) { return 0, false }
