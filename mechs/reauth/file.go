package reauth

import (
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

// updateFile calls change with what is in the file at path, nil if there is none,
// and puts what it returns in its place, unless that is nil. Processes that do so at the
// same time wait for each other. Readers see the old file or the new one. It erases both
// slices. With durable it has reached the disk on return.
func updateFile(path string, durable bool, change func(old []byte) []byte) error {
	unlock, err := lockFile(path + ".lock")
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

func replaceFile(path string, durable bool, b []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
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
		err = os.Rename(f.Name(), path)
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
