//go:build !linux

package boltstore

import (
	"io/fs"
	"os"
	"time"
)

// changed is when the file's content last changed, unless somebody set it back.
func changed(info fs.FileInfo) time.Time { return info.ModTime() }

func inode(fs.FileInfo) uint64 { return 0 }

// lock leaves it to bbolt, which waits 50 ms between two attempts.
func lock(*os.File, time.Time, <-chan struct{}) error { return nil }

func unlock(*os.File) {}

// syncDir: a file that a crash takes back starts a new store, as a lost one does.
func syncDir(string) error { return nil }
