package strike

// NewMemoryAt is NewMemory with a clock.
var NewMemoryAt = newMemory
