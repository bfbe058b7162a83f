package reauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile is more than a file of this package ever has.
const maxFile = 8 << 20

var errMode = errors.New("reauth: a file of secrets must be a regular file of this user's that nobody else can read")

// A ringFile is the Keeper of a Ring in the file of that name.
type ringFile string

func (f ringFile) Update(ctx context.Context, change func(old []byte) []byte) error {
	return updateFile(ctx, string(f), true, change)
}

// updateFile calls change with what is in the file at path, nil if there is none,
// and puts what it returns in its place, unless that is nil. Processes that do so at the
// same time wait for each other. Readers see the old file or the new one. It erases both
// slices. With durable it has reached the disk on return.
func updateFile(ctx context.Context, path string, durable bool, change func(old []byte) []byte) error {
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return fmt.Errorf("reauth: %w", err)
	}
	defer unlock()
	old, err := readFile(path)
	if err != nil {
		return err
	}
	b := change(old)
	clear(old)
	if b == nil {
		return nil
	}
	defer clear(b)
	if err := replaceFile(path, durable, b); err != nil {
		return fmt.Errorf("reauth: %w", err)
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := openPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reauth: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reauth: %w", err)
	}
	if !private(info) {
		return nil, fmt.Errorf("%w: %s", errMode, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reauth: %w", err)
	}
	return b, nil
}

// replaceFile is called by whoever has the lock. What a process that was killed here leaves
// goes with the next call.
func replaceFile(path string, durable bool, b []byte) (err error) {
	dir := filepath.Dir(path)
	name := filepath.Join(dir, "."+filepath.Base(path)+".new")
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(name)
		}
	}()
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(name, path)
	}
	if err == nil && durable {
		err = syncDir(dir)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
