package boltstore

import "flag"

// soak makes the tests of crashes, damage and races many times as long.
var soak = flag.Bool("soak", false, "test for minutes")
