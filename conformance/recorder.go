package conformance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/gsseal/gss"
)

// A recorder is what a case sees: the Setup, and where to report.
type recorder struct {
	ctx context.Context
	s   Setup

	mu       sync.Mutex
	failures []string
	na       string
	cleanups []func()
}

func newRecorder(ctx context.Context, s Setup) *recorder {
	return &recorder{ctx: ctx, s: s}
}

// stop ends a case from within.
type stop struct{}

// maxFailures is how many lines a case reports: a tampering case that is wrong
// is wrong a thousand times.
const maxFailures = 12

// run runs a case; a panic is a failure of the mechanism.
func (r *recorder) run(f func(*recorder)) {
	defer func() {
		r.recovered(recover())
		for _, c := range r.cleanups {
			c()
		}
	}()
	f(r)
}

func (r *recorder) recovered(p any) {
	if _, ok := p.(stop); p != nil && !ok {
		r.errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// goes runs f in n goroutines and waits for them.
func (r *recorder) goes(n int, f func(g int)) {
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() {
			defer func() { r.recovered(recover()) }()
			f(g)
		})
	}
	wg.Wait()
}

func (r *recorder) cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) < maxFailures {
		r.failures = append(r.failures, where()+fmt.Sprintf(format, args...))
	} else {
		r.failures = append(r.failures[:maxFailures], "and more")
	}
}

func (r *recorder) fatalf(format string, args ...any) {
	r.errorf(format, args...)
	panic(stop{})
}

// notApplicable ends the case: it cannot be asked of this mechanism.
func (r *recorder) notApplicable(format string, args ...any) {
	r.mu.Lock()
	r.na = fmt.Sprintf(format, args...)
	r.mu.Unlock()
	panic(stop{})
}

func (r *recorder) text() string { return strings.Join(r.failures, "\n") }

// where names the line of the case that reports.
func where() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if base := filepath.Base(f.File); strings.HasPrefix(base, "case_") {
			return fmt.Sprintf("%s:%d: ", base, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// refused checks that err is what a GSS call has to return: a *gss.Error with a
// Major that RFC 2744 knows, one of want if there are any.
func (r *recorder) refused(err error, what string, want ...gss.Major) {
	if err == nil {
		r.errorf("%s: no error", what)
		return
	}
	e, ok := errors.AsType[*gss.Error](err)
	if !ok {
		r.errorf("%s: %T is no *gss.Error: %v", what, err, err)
		return
	}
	if strings.HasPrefix(e.Major.Symbol(), "0x") {
		r.errorf("%s: Major %v is none of RFC 2744's: %v", what, e.Major.Symbol(), err)
	}
	if len(want) == 0 {
		return
	}
	for _, m := range want {
		if e.Major == m {
			return
		}
	}
	r.errorf("%s: %v, want one of %v", what, err, want)
}
