package krb5

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A dirCollection is a folder with a file per cache, whose names begin with "tkt",
// and a file "primary" with the name of one of them and a newline.
type dirCollection struct {
	path string
	own  bool // it has to be this user's own, and so has each file
}

const (
	dirPrimary     = "primary"
	dirPrefix      = "tkt"
	maxPrimarySize = 512
)

// openDir reads what follows "DIR:".
func openDir(name string, own bool) (cacheStore, cacheCollection, error) {
	if path, ok := strings.CutPrefix(name, ":"); ok {
		dir, base := filepath.Split(path)
		if dir == "" || !strings.HasPrefix(base, dirPrefix) {
			return nil, nil, errors.New("not a cache in a folder")
		}
		d := &dirCollection{filepath.Clean(dir), own}
		return d.member(base), d, nil
	}
	if name == "" {
		return nil, nil, errors.New("no folder")
	}
	return nil, &dirCollection{name, own}, nil
}

func (d *dirCollection) String() string { return "DIR:" + d.path }

func (d *dirCollection) member(base string) *fileCache {
	return &fileCache{path: filepath.Join(d.path, base), dir: d, own: d.own}
}

// check makes sure of whose the folder is, if it is there.
func (d *dirCollection) check() error {
	if !d.own {
		return nil
	}
	info, err := os.Lstat(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !ownFolder(info):
		return fmt.Errorf("%s: %w", d.path, errNotOurFolder)
	}
	return nil
}

func (d *dirCollection) primary(context.Context) (cacheStore, error) {
	if err := d.check(); err != nil {
		return nil, errors.Join(errNoCache, err)
	}
	b, err := readFile(filepath.Join(d.path, dirPrimary), maxPrimarySize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.member(dirPrefix), nil
	case err != nil:
		return nil, err
	}
	base, ok := strings.CutSuffix(string(b), "\n")
	if !ok || !strings.HasPrefix(base, dirPrefix) || strings.ContainsAny(base, "/\\\x00\n") {
		return nil, fmt.Errorf("krb5: %s: not the name of a cache in that folder", filepath.Join(d.path, dirPrimary))
	}
	return d.member(base), nil
}

func (d *dirCollection) members(ctx context.Context) ([]cacheStore, error) {
	first, err := d.primary(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var out []cacheStore
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), dirPrefix) {
			continue
		}
		s := d.member(e.Name())
		if s.path == first.(*fileCache).path {
			out = slices.Insert(out, 0, cacheStore(s))
		} else {
			out = append(out, s)
		}
	}
	return out, nil
}

// make makes the folder, for this user alone, if it is not there.
func (d *dirCollection) make() error {
	if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.check()
}

func (d *dirCollection) create(context.Context) (cacheStore, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	return d.member(dirPrefix + rand.Text()), nil
}

func (d *dirCollection) setPrimary(_ context.Context, s cacheStore) error {
	if err := d.make(); err != nil {
		return err
	}
	return writeFile(filepath.Join(d.path, dirPrimary), []byte(filepath.Base(s.(*fileCache).path)+"\n"))
}
