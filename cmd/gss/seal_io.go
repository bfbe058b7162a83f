package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// An input is a file, or standard input for "-", that says how far it has been read
// if that takes long.
type input struct {
	io.Reader
	size  int64 // 0: not known
	close func()
}

func (sh *shell) open(ctx context.Context, name string) (*input, error) {
	if name == "-" {
		// Nobody interrupts a read of a terminal or a pipe: another goroutine waits
		// for it, and is left behind.
		r, w := io.Pipe()
		go func() {
			_, err := io.Copy(w, sh.stdin)
			w.CloseWithError(err)
		}()
		stop := context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
		return &input{sh.progress(ctx, r, 0), 0, func() { stop(); r.Close() }}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a folder: pack it into a file first, with tar for example", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &input{sh.progress(ctx, f, st.Size()), st.Size(), func() { f.Close() }}, nil
}

// An output is a file that appears when all of it is there, and never in part; or
// standard output.
type output struct {
	io.Writer
	path string   // "" for standard output
	tmp  *os.File // nil: directly to standard output
	dst  io.Writer
}

// create makes an output. path "" is standard output: spooled goes there at commit,
// and otherwise what is written goes there at once.
func (sh *shell) create(path string, mode fs.FileMode, spooled bool) (*output, error) {
	if path == "" && !spooled {
		return &output{Writer: sh.stdout}, nil
	}
	if path == "" {
		tmp, err := os.CreateTemp("", "gss-*")
		if err != nil {
			return nil, err
		}
		return &output{tmp, "", tmp, sh.stdout}, nil
	}
	// A link stays, and what it points to is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	switch st, err := os.Stat(path); {
	case err == nil && !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file: leave out the flag that names it, and redirect standard output", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:10])
	tmp, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &output{tmp, path, tmp, nil}, nil
}

// sync puts what was written on the disk: what remains is to show it.
func (o *output) sync() error {
	if o.tmp == nil || o.path == "" {
		return nil
	}
	return o.tmp.Sync()
}

// commit makes everything appear.
func (o *output) commit() error {
	switch {
	case o.tmp == nil:
		return nil
	case o.path == "":
		defer o.discard()
		if _, err := o.tmp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(o.dst, o.tmp)
		return err
	}
	name := o.tmp.Name()
	if err := o.tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(name, o.path); err != nil {
		return err
	}
	o.tmp = nil
	syncFolder(filepath.Dir(o.path))
	return nil
}

// discard removes what did not become an output. After commit it has no effect.
func (o *output) discard() {
	if o.tmp != nil {
		o.tmp.Close()
		os.Remove(o.tmp.Name())
		o.tmp = nil
	}
}

// syncFolder makes a rename last, where the system has that.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// A progress is a reader that shows on a terminal how far it is, if that takes more
// than a second.
type progress struct {
	ctx          context.Context
	r            io.Reader
	w            io.Writer // nil: no terminal
	n, size      int64
	start, shown time.Time
}

func (sh *shell) progress(ctx context.Context, r io.Reader, size int64) *progress {
	p := &progress{ctx: ctx, r: r, size: size, start: time.Now()}
	if isTerminal(sh.stderr) {
		p.w = sh.stderr
	}
	return p
}

func (p *progress) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.n += int64(n)
	if p.w == nil {
		return n, err
	}
	now := time.Now()
	switch {
	case err != nil && !p.shown.IsZero():
		fmt.Fprint(p.w, "\r\x1b[K")
		p.w = nil
	case err == nil && now.Sub(p.start) > time.Second && now.Sub(p.shown) > 100*time.Millisecond:
		p.shown = now
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.line(now))
	}
	return n, err
}

// line is what is shown: " 45 % ██████░░░░░░░  12.3 MiB of 27.3 MiB, 5.1 MiB/s".
func (p *progress) line(now time.Time) string {
	speed := size(int64(float64(p.n)/now.Sub(p.start).Seconds())) + "/s"
	if p.size <= 0 {
		return fmt.Sprintf("%s, %s", size(p.n), speed)
	}
	part := min(float64(p.n)/float64(p.size), 1)
	return fmt.Sprintf("%3.0f %% %s %s of %s, %s", part*100, bar(part, 24), size(p.n), size(p.size), speed)
}

// bar is width characters, as many of them full as part says.
func bar(part float64, width int) string {
	full := int(part * float64(width))
	b := make([]rune, width)
	for i := range b {
		b[i] = '░'
		if i < full {
			b[i] = '█'
		}
	}
	return string(b)
}

// size writes n octets for the eye.
func size(n int64) string {
	x, unit := float64(n), "octets"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if x < 1024 {
			break
		}
		x, unit = x/1024, u
	}
	if unit == "octets" {
		return octets(int(n))
	}
	return fmt.Sprintf("%.1f %s", x, unit)
}

// isTerminal reports whether w is one; the null device is none, though it looks so.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(st, null)
}
