//go:build !linux

package boltstore

import (
	"io/fs"
	"time"
)

// changed is when the file's content last changed, unless somebody set it back.
func changed(info fs.FileInfo) time.Time { return info.ModTime() }

func inode(fs.FileInfo) uint64 { return 0 }

// syncDir: a file that a crash takes back starts a new store, as a lost one does.
func syncDir(string) error { return nil }
