// Package boltstate keeps what sealing needs in one file, a bbolt database: the
// states of contexts, and what was struck. A recipient that ends, crashes or is
// killed at any instant goes on where it was: it knows the same originators, and
// nothing one-time opens twice.
//
//	f, err := boltstate.Open("seal.db", nil)
//	_, err = f.Add(ctx, bobToAlice)         // once, after the handshake
//	m, err := f.Recipient().Unseal(ctx, nil, sealed, o)
//
// What Add returned is on the disk, and so is the strike of what Unseal returned. A
// message that was struck and not yet acted upon when the process died is lost;
// [File.Once] acts and strikes in one transaction, so that none is.
//
// The file also serves who seals and relays: [File.Sender] and [File.Relay] make
// Senders and Relays of the contexts in it, each time with a lane of its own, so
// that a file that was restored, copied or opened on two hosts does not use a
// message key twice. Strikes are another matter: hosts that unseal from copies of
// one file each open a one-time message once.
//
// # What fails, and how
//
// All that package boltstore says of its file holds of this one, of which its table
// of strikes is a part: the lock, the checks when it is opened, what happens when
// the disk is full or broken, and what a restored backup does not vouch for any
// more. Errors of the file are strike.ErrBroken with their cause; what was not
// written does not count: Add has not added, and Unseal has not opened. A state
// that is damaged is boltstore.ErrCorrupt, and the file is not opened.
//
// # Secrets
//
// Who reads the file can be either end of its contexts to the other. Its mode is
// 0600, which Open requires. Once an hour, keys of the past are erased from all the
// states in it. But bbolt and the disk below it keep old pages until they are used
// again: against a thief of the disk, the past is as safe as the disk is, and no
// safer. Erasing believes the clock; a clock that runs far ahead for a while ends
// the contexts.
package boltstate

import (
	"context"
	"errors"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
)

var (
	// ErrNotFound: the file has no such context.
	ErrNotFound = errors.New("boltstate: no such context")

	errOptions = errors.New("boltstate: Recipient.Store and Strikes.Shared cannot be chosen")
)

// Options tune Open. The zero value, as nil, is useful.
type Options struct {
	Recipient seal.RecipientOptions // its Store has to be nil: it is the file
	Strikes   boltstore.Options     // Shared has to be false: one process uses the file

	// Failed, if not nil, hears of errors of the hourly erasure, which is tried
	// again every minute. It must not call the File.
	Failed func(error)
}

// A File is safe for concurrent use.
type File struct {
	o     Options
	store *boltstore.Store
	r     *seal.Recipient
	stop  context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	sources map[ID]*seal.Source
}

// An ID names a context in one file, and never another one.
type ID uint64

// A Context is what can be said of one without its keys.
type Context struct {
	ID          ID
	Mech        oid.OID
	Local, Peer gss.Name
	Established time.Time // when it was added first, by the clock of that host
	End         time.Time // the last instant at which anything can be sealed
}

// Open opens the file at path, which is made if it is not there, erases what is
// old, and adds all contexts in it to a Recipient.
//
// Errors: those of boltstore.Open; strike.ErrBroken with its cause.
func Open(path string, o *Options) (*File, error) {
	f := &File{sources: map[ID]*seal.Source{}, done: make(chan struct{})}
	if o != nil {
		f.o = *o
	}
	if f.o.Recipient.Store != nil || f.o.Strikes.Shared {
		return nil, errOptions
	}
	var err error
	if f.store, err = boltstore.Open(path, f.o.Strikes); err != nil {
		return nil, err
	}
	f.o.Recipient.Store = strikes{f.store}
	f.r = seal.NewRecipient(&f.o.Recipient)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	if err := f.sweep(ctx, f.load); err != nil {
		stop()
		f.r.Close()
		f.store.Close()
		return nil, err
	}
	go f.eraseHourly(ctx)
	return f, nil
}

// Recipient unseals what the peers of the file's contexts sealed. The File closes
// it. Contexts that are added to it itself are not in the file.
func (f *File) Recipient() *seal.Recipient { return f.r }

// Add lets the peer of sc seal to the Recipient, from now on and until Remove, and
// whoever has the file be either end of sc. The context is on the disk when Add
// returns. It keeps no reference to sc. Errors: those of seal.NewState; strike.ErrBroken
// with its cause, strike.ErrClosed, and ctx's, after which the context may be in the
// file or not.
func (f *File) Add(ctx context.Context, sc seal.Secret) (ID, error) {
	s, err := seal.NewState(sc)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return f.AddState(ctx, s)
}

// AddState is Add of a context that came as a State, which stays the caller's.
// Errors: those of Recipient.AddState besides.
func (f *File) AddState(ctx context.Context, s *seal.State) (ID, error) {
	s.Erase(f.o.Recipient.MaxLifetime)
	src, err := f.r.AddState(s)
	if err != nil {
		return 0, err
	}
	octets := s.Append(nil)
	defer clear(octets)
	var id ID
	err = f.update(ctx, func(b *bolt.Bucket) (bool, error) {
		n, err := b.NextSequence()
		if err != nil {
			return false, broken(err)
		}
		id = ID(n)
		return true, broken(b.Put(id.key(), octets))
	})
	if err != nil {
		src.Remove()
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources[id] = src
	return id, nil
}

// Close erases the past in the file, notes where the contexts were, and closes file
// and Recipient. It can be called twice. Errors: strike.ErrBroken with its cause, of
// no consequence but that the hour's erasure is left to the next Open.
func (f *File) Close() error {
	f.stop()
	<-f.done
	err := f.sweep(context.Background(), f.age)
	if errors.Is(err, strike.ErrClosed) {
		err = nil
	}
	f.r.Close()
	return errors.Join(err, f.store.Close())
}

// Remove removes a context: nothing from it opens any more. Errors: ErrNotFound;
// strike.ErrBroken with its cause, strike.ErrClosed, ctx's: then it is still in the
// file, and comes back when the file is opened again.
func (f *File) Remove(ctx context.Context, id ID) error {
	f.mu.Lock()
	if src := f.sources[id]; src != nil {
		src.Remove()
	}
	delete(f.sources, id)
	f.mu.Unlock()
	return f.update(ctx, func(b *bolt.Bucket) (bool, error) {
		if b.Get(id.key()) == nil {
			return false, ErrNotFound
		}
		return true, broken(b.Delete(id.key()))
	})
}

// Contexts returns the file's contexts, the oldest first. Errors: strike.ErrBroken
// with its cause, strike.ErrClosed, ctx's.
func (f *File) Contexts(ctx context.Context) ([]Context, error) {
	var all []Context
	err := f.sweep(ctx, func(id ID, s *seal.State) (bool, error) {
		all = append(all, Context{id, s.Mech(), s.Local(), s.Peer(), s.Established(), s.End()})
		return false, nil
	})
	return all, err
}

// State returns the state of a context, whose past is erased in the file first; the
// caller closes it. Errors: ErrNotFound; strike.ErrBroken with its cause,
// strike.ErrClosed, ctx's.
func (f *File) State(ctx context.Context, id ID) (*seal.State, error) {
	var s *seal.State
	var octets []byte
	defer func() { clear(octets) }()
	err := f.update(ctx, func(b *bolt.Bucket) (bool, error) {
		found := b.Get(id.key())
		if found == nil {
			return false, ErrNotFound
		}
		var err error
		if s, err = parse(found); err != nil || !s.Erase(f.o.Recipient.MaxLifetime) {
			return false, err
		}
		octets = s.Append(nil)
		return true, broken(b.Put(id.key(), octets))
	})
	if err != nil {
		if s != nil {
			s.Close()
		}
		return nil, err
	}
	return s, nil
}

// Sender makes a Sender to peer, of the context with it that was added last. The
// caller closes it. Errors: those of State and State.NewSender.
func (f *File) Sender(ctx context.Context, peer gss.Name) (*seal.Sender, error) {
	return use(ctx, f, peer, (*seal.State).NewSender)
}

// Relay makes a Relay for the grants of peer, of the context with it that was added
// last. The caller closes it. Errors: those of State and State.NewRelay.
func (f *File) Relay(ctx context.Context, peer gss.Name) (*seal.Relay, error) {
	return use(ctx, f, peer, (*seal.State).NewRelay)
}

func use[T any](ctx context.Context, f *File, peer gss.Name, role func(*seal.State) (*T, error)) (*T, error) {
	var last ID
	f.mu.Lock()
	for id, src := range f.sources {
		if id > last && src.Originator() == peer {
			last = id
		}
	}
	f.mu.Unlock()
	s, err := f.State(ctx, last)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return role(s)
}
