//go:build unix

package krb5

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gsseal/gss"
)

// A pipe that somebody put where a file should be is refused at once.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "krb5cc")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	for name, open := range map[string]func(string) (*Credential, error){
		"cache": FromCCacheFile, "keytab": func(p string) (*Credential, error) { return FromKeytabFile(p, "") },
	} {
		if _, err := FileSource(path, open)(t.Context()); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadConfig(path); !errors.Is(err, ErrConfig) {
		t.Errorf("configuration: %v", err)
	}
	if _, err := LoadConfig(os.DevNull); err != nil {
		t.Errorf("no configuration: %v", err)
	}
}
