package main

import (
	"encoding/json"
	"testing"
)

func TestBenchRPC(t *testing.T) {
	code, out, stderr := gssRun(t, "", "bench", "rpc", "--json", "--rounds", "1", "--round", "1us", "--contexts", "200")
	var r benchReport
	if code != exitOK || json.Unmarshal([]byte(out), &r) != nil {
		t.Fatalf("%d %s%s", code, out, stderr)
	}
	if len(r.Rows) != 5 || len(r.LeftOut) != 0 {
		t.Errorf("%+v", r)
	}
	for _, row := range r.Rows {
		if row.Ours <= 0 || row.Rival == nil || *row.Rival <= 0 || row.Ratio == nil || *row.Ratio <= 0 {
			t.Errorf("%+v", row)
		}
	}
}
