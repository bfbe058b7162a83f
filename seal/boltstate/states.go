package boltstate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

// The bucket of the states: u64 ID to the octets of a seal.State. Its sequence is the
// last ID.
var statesName = []byte("gss seal state 1")

// some bounds how many states one transaction touches.
const some = 256

func (id ID) key() []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// update calls do with the bucket of the states, and commits what it changed.
func (f *File) update(ctx context.Context, do func(*bolt.Bucket) (changed bool, err error)) error {
	tx, err := f.store.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var changed bool
	err = tx.Do(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(statesName)
		if err != nil {
			return broken(err)
		}
		changed, err = do(b)
		return err
	})
	if err != nil || !changed {
		return err
	}
	return tx.Commit()
}

// sweep calls visit for all states in order, some in each transaction, writes those
// that it changed, and deletes those that are over.
func (f *File) sweep(ctx context.Context, visit func(ID, *seal.State) (changed bool, err error)) error {
	for next, more := ID(0), true; more; {
		write := map[ID][]byte{} // nil: delete
		err := f.update(ctx, func(b *bolt.Bucket) (bool, error) {
			c, n := b.Cursor(), 0
			k, v := c.Seek(next.key())
			for ; k != nil && n < some; k, v = c.Next() {
				if len(k) != 8 {
					return false, fmt.Errorf("%w: key of a state", boltstore.ErrCorrupt)
				}
				id := ID(binary.BigEndian.Uint64(k))
				s, err := parse(v)
				if err != nil {
					return false, err
				}
				changed, err := visit(id, s)
				switch {
				case changed && s.Over():
					write[id] = nil
				case changed:
					write[id] = s.Append(nil)
				}
				s.Close()
				if err != nil {
					return false, err
				}
				next, n = id+1, n+1
			}
			more = k != nil
			for id, octets := range write {
				var err error
				if octets == nil {
					err = b.Delete(id.key())
				} else {
					err = b.Put(id.key(), octets)
				}
				if err != nil {
					return false, broken(err)
				}
			}
			return len(write) > 0, nil
		})
		for _, octets := range write {
			clear(octets) // bbolt has done with them
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// load erases what is old of a state, and adds it to the Recipient.
func (f *File) load(id ID, s *seal.State) (changed bool, err error) {
	changed = s.Erase(f.o.Recipient.MaxLifetime)
	src, err := f.r.AddState(s)
	if errors.Is(err, gss.ContextExpired) {
		return changed || s.Over(), nil
	} else if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources[id] = src
	return changed, nil
}

// age erases what is old of a state, and notes which numbers are expected.
func (f *File) age(id ID, s *seal.State) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	src := f.sources[id]
	followed := src != nil && s.Follow(src)
	changed = s.Erase(f.o.Recipient.MaxLifetime) || followed
	if s.Over() {
		delete(f.sources, id)
		changed = true
	}
	return changed, nil
}

// eraseHourly is the File's goroutine.
func (f *File) eraseHourly(ctx context.Context) {
	defer close(f.done)
	wait := untilNextHour()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := f.sweep(ctx, f.age)
		wait = untilNextHour()
		if err != nil && ctx.Err() == nil {
			wait = time.Minute
			if f.o.Failed != nil {
				f.o.Failed(err)
			}
		}
	}
}

// untilNextHour is never zero, so that a stepping clock makes no busy loop.
func untilNextHour() time.Duration {
	now := time.Now()
	return max(now.Truncate(time.Hour).Add(time.Hour).Sub(now), time.Second)
}

func parse(octets []byte) (*seal.State, error) {
	s, err := seal.ParseState(octets)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", boltstore.ErrCorrupt, err)
	}
	return s, nil
}

// broken marks an error of bbolt's.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("boltstate: %w: %w", strike.ErrBroken, err)
}
