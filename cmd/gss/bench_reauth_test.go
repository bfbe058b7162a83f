package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gsseal/gss/internal/peers"
)

func TestBenchReauth(t *testing.T) {
	run := func() benchReport {
		t.Helper()
		code, out, stderr := gssRun(t, "", "bench", "reauth", "--json", "--rounds", "1", "--round", "1us", "--contexts", "500")
		var r benchReport
		if code != exitOK || json.Unmarshal([]byte(out), &r) != nil {
			t.Fatalf("%d %s%s", code, out, stderr)
		}
		for _, row := range r.Rows[:len(r.Rows)-1] {
			if row.Ours <= 0 || row.Rival == nil || *row.Rival <= 0 || row.Ratio == nil || *row.Ratio <= 0 {
				t.Errorf("%+v", row)
			}
		}
		if last := r.Rows[len(r.Rows)-1]; last.Unit != "octets" || last.Ours <= 0 {
			t.Errorf("%+v", last)
		}
		return r
	}
	t.Run("without MIT krb5", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if r := run(); len(r.Rows) != 5 || len(r.LeftOut) != 1 || !strings.Contains(r.LeftOut[0], "libkrb5-dev") {
			t.Errorf("%+v", r)
		}
	})
	peers.Need(t, "cc", "krb5-config")
	if r := run(); len(r.Rows) != 7 || len(r.LeftOut) != 0 {
		t.Errorf("%+v", r)
	}
}
