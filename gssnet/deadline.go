package gssnet

import (
	"net"
	"sync"
	"time"
)

// deadlines remembers the deadlines of a connection, so that one that was set to
// interrupt it can be taken back.
type deadlines struct {
	nc          net.Conn
	mu          sync.Mutex
	read, write time.Time
	interrupted bool
}

// set sets those that are not nil.
func (d *deadlines) set(read, write *time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if read != nil {
		d.read = *read
	}
	if write != nil {
		d.write = *write
	}
	switch {
	case d.interrupted: // resume sets them
		return nil
	case read != nil && write != nil && read.Equal(*write):
		return d.nc.SetDeadline(*read)
	case read != nil:
		return d.nc.SetReadDeadline(*read)
	case write != nil:
		return d.nc.SetWriteDeadline(*write)
	}
	return nil
}

func (d *deadlines) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = true
	d.nc.SetDeadline(past)
}

func (d *deadlines) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = false
	d.nc.SetReadDeadline(d.read)
	d.nc.SetWriteDeadline(d.write)
}
