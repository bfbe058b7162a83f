package striketest

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss/strike"
)

const childEnv = "STRIKETEST_CHILD"

// Processes lets ten processes, each with a store of its own over what they share,
// race for one key, rounds times: exactly one is first. open is called in each of
// them, which are this test binary again, running this test alone; where says what
// is shared, a file or an address, and reaches open as its argument.
func Processes(t *testing.T, rounds int, where string, open func(where string) (strike.Store, error)) {
	if os.Getenv(childEnv) == t.Name() {
		child(open) // does not return
	}
	const processes = 10
	type proc struct {
		in  io.WriteCloser
		out *bufio.Reader
	}
	var procs []proc
	for range processes {
		cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childEnv+"="+t.Name(), childEnv+"_WHERE="+where)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close() // and it ends
			if err := cmd.Wait(); err != nil {
				t.Errorf("a process: %v", err)
			}
		})
		procs = append(procs, proc{in, bufio.NewReader(out)})
	}
	for _, p := range procs {
		if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("a process did not start: %q, %v", line, err)
		}
	}
	for n := range rounds {
		// Who strikes is told when, a little later than the last can be told.
		at := time.Now().Add(time.Millisecond)
		k := key(t, n)
		for _, p := range procs {
			fmt.Fprintf(p.in, "%x %d\n", k, at.UnixNano())
		}
		first, seen := 0, 0
		for _, p := range procs {
			switch line, err := p.out.ReadString('\n'); {
			case err != nil:
				t.Fatal(err)
			case line == "first\n":
				first++
			case line == "seen\n":
				seen++
			default:
				t.Errorf("round %d: %s", n, line)
			}
		}
		if first != 1 || seen != processes-1 {
			t.Fatalf("round %d: %d processes were first, %d saw that they were not", n, first, seen)
		}
	}
}

// child strikes what it reads, when it says so.
func child(open func(string) (strike.Store, error)) {
	err := func() error {
		s, err := open(os.Getenv(childEnv + "_WHERE"))
		if err != nil {
			return err
		}
		fmt.Println("ready")
		from := time.Now()
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			var name string
			var at int64
			if _, err := fmt.Sscan(lines.Text(), &name, &at); err != nil {
				return err
			}
			k, err := hex.DecodeString(name)
			if err != nil {
				return err
			}
			time.Sleep(time.Until(time.Unix(0, at)))
			switch err := s.Strike(context.Background(), [32]byte(k), from, from.Add(time.Hour)); {
			case err == nil:
				fmt.Println("first")
			case errors.Is(err, strike.ErrSeen):
				fmt.Println("seen")
			default:
				fmt.Println(err)
			}
		}
		if c, ok := s.(io.Closer); ok {
			return c.Close()
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
