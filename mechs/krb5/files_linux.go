package krb5

// setLock is F_OFD_SETLK, fcntl(2): a lock of the open file. A lock of the process,
// which MIT takes where there is nothing better, conflicts with it; but within this
// process it would let everybody in, and end as soon as anybody closes the file.
const setLock = 37
