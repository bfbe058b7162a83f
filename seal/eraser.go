package seal

import "time"

// An eraser calls f at the beginning of each hour, until f reports that there is
// nothing left to erase or it is stopped.
type eraser struct{ timer *time.Timer }

func newEraser(f func() (more bool)) *eraser {
	r := new(eraser)
	ready := make(chan struct{})
	r.timer = time.AfterFunc(untilNextHour(), func() {
		<-ready
		if f() {
			r.timer.Reset(untilNextHour())
		}
	})
	close(ready)
	return r
}

func (r *eraser) stop() { r.timer.Stop() }

// untilNextHour is never zero, so that a stepping clock makes no busy loop.
func untilNextHour() time.Duration {
	now := time.Now()
	return max(now.Truncate(time.Hour).Add(time.Hour).Sub(now), time.Second)
}
