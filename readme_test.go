package gss_test

import (
	"os"
	"strings"
	"testing"
)

// The program in the README is the one in examples, which is built with the rest.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(readme), "```go\n")
	code, _, ok2 := strings.Cut(code, "```\n")
	if !ok || !ok2 || !strings.Contains(string(program), code) {
		t.Error("the README shows another program than examples/hello")
	}
}
