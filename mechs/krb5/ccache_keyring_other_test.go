//go:build !linux

package krb5

func RemoveCollection(*Cache) {}
