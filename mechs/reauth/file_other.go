//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package reauth

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

func lockFile(context.Context, string) (unlock func(), err error) { return nil, errors.ErrUnsupported }

func openPrivate(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func private(fs.FileInfo) bool { return false }
