//go:build !unix

package krb5

import (
	"io/fs"
	"os"
)

const noFollow = 0

// ownedFile and ownFile: where files have no owner and no mode, folders have.
func ownedFile(info fs.FileInfo) bool { return info.Mode().IsRegular() }
func ownFile(info fs.FileInfo) bool   { return info.Mode().IsRegular() }
func ownFolder(info fs.FileInfo) bool { return info.IsDir() }

func tryLock(*os.File, bool) (bool, error) { return false, errNoLock }
