package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// pattern is data that has no period near that of chunks.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func mustStream(t testing.TB, s *Sender, data []byte, o *Options) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := s.SealStream(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, data)
	return out.Bytes()
}

func writeAll(t testing.TB, w io.WriteCloser, data []byte) {
	t.Helper()
	if n, err := w.Write(data); n != len(data) || err != nil {
		t.Fatalf("Write: %d of %d octets, %v", n, len(data), err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// openStream reads all of a stream; what it returns with an error is what came before.
func openStream(t testing.TB, r *Recipient, rd io.Reader, o *UnsealOptions) ([]byte, Message, error) {
	s, m, err := r.UnsealStream(t.Context(), rd, o)
	if err != nil {
		if s != nil || m.Claims != 0 || !m.Originator.IsZero() {
			t.Error("something leaves with an error")
		}
		return nil, m, err
	}
	got, err := io.ReadAll(s)
	if n, atEnd := s.WriteTo(io.Discard); n != 0 || atEnd != err {
		t.Errorf("WriteTo after %v: %d, %v", err, n, atEnd)
	}
	if _, again := s.Read(make([]byte, 1)); err != nil && again != err || err == nil && again != io.EOF {
		t.Errorf("the error is %v first, and then %v", err, again)
	}
	return got, m, err
}

// refChunks is the second implementation of the chunks: data cut into ns, each
// padded to sizes, the last of them final.
func refChunks(secret, message, data []byte, ns, sizes []int) []byte {
	digest := sha256.Sum256(message)
	key := refExpand(secret, append([]byte("gss seal stream 1"), digest[:]...), 32)
	var out []byte
	for i, n := range ns {
		p := append([]byte{byte(n >> 16), byte(n >> 8), byte(n)}, data[:n]...)
		data = data[n:]
		p = append(p, make([]byte, sizes[i]-len(p))...)
		nonce := append(make([]byte, 3), binary.BigEndian.AppendUint64(nil, uint64(i))...)
		if i == len(ns)-1 {
			nonce = append(nonce, 1)
		} else {
			nonce = append(nonce, 0)
		}
		out = append(out, refGCMNonce(key, nonce, p)...)
	}
	return out
}

// Streams of all sorts of lengths, written and read in all sorts of pieces, octet for
// octet what the reference makes of the secret that is in them.
func TestStream(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	root, _ := alice.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
	k := refDerive(root, oid.Krb5.AppendDER(nil), "i2a")
	const c, d = 65536, 65533
	for _, x := range []struct{ n, chunks, last int }{
		{0, 1, 256}, {1, 1, 256}, {253, 1, 256}, {254, 1, 272}, {60000, 1, 61440}, {d - 1, 1, c}, {d, 1, c},
		{d + 1, 2, 2048}, {2*d - 1, 2, c}, {2 * d, 2, c}, {2*d + 1, 3, 4096}, {10 * d, 10, c},
		// 65·65536 is rounded up to 66·65536: the data is full chunks, and one of zeros comes.
		{65 * d, 66, c}, {65*d - 5, 66, c}, {32*d + 2000, 33, c},
		// and here the last that has data is not full.
		{64*d + 9, 66, c},
	} {
		data := pattern(x.n)
		wire := mustStream(t, s, data, nil)
		if want := 336 + (x.chunks-1)*(c+16) + x.last + 16; len(wire) != want || StreamSize(int64(x.n)) != int64(want) {
			t.Errorf("%d octets: stream of %d, StreamSize %d, want %d", x.n, len(wire), StreamSize(int64(x.n)), want)
		}
		for _, f := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r },
			iotest.HalfReader, iotest.DataErrReader,
		} {
			got, m, err := openStream(t, r, f(bytes.NewReader(wire)), nil)
			if err != nil || !bytes.Equal(got, data) || m.Claims != Stream || m.Body != nil || m.Originator != mn("alice") {
				t.Fatalf("%d octets: %d come back, %+v, %v", x.n, len(got), m, err)
			}
		}
		if x.n > 3*d {
			continue // the reference is slow
		}
		// The reference finds the secret, and makes the same chunks.
		secret := k.open(t, wire[:336])[160:][:33]
		var ns, sizes []int
		for left := x.n; len(ns) < x.chunks; left -= ns[len(ns)-1] {
			ns, sizes = append(ns, min(left, d)), append(sizes, c)
		}
		sizes[x.chunks-1] = x.last
		if secret[0] != 1 || !bytes.Equal(wire[336:], refChunks(secret[1:], wire[:336], data, ns, sizes)) {
			t.Errorf("%d octets: not what the reference makes", x.n)
		}
	}
	if StreamSize(-1) != 0 || StreamSize(maxStream+1) != 0 || StreamSize(maxStream) != 336+1<<40+1<<28 {
		t.Error("StreamSize")
	}
	// Piece by piece.
	var out bytes.Buffer
	w, err := s.SealStream(&out, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := pattern(3*d + 17)
	if _, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(data))); err != nil {
		t.Fatal(err)
	}
	buf := w.(*streamWriter).buf
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte{1}); !errors.Is(err, gss.Failure) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write after Close: %v", err)
	}
	sr, _, err := r.UnsealStream(t.Context(), iotest.OneByteReader(&out), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sr.Read(nil); n != 0 || err != nil {
		t.Errorf("Read(nil): %d, %v", n, err)
	}
	opened := sr.buf
	if err := iotest.TestReader(sr, data); err != nil {
		t.Error(err)
	}
	if !isZero(opened[:]) || !isZero(buf[:]) {
		t.Error("plaintext is left behind the end")
	}
}

// open decrypts a message that the reference may have made, and its like.
func (k refKeys) open(t *testing.T, m []byte) []byte {
	t.Helper()
	kc := refExpand(k.epoch(epochOf(time.Now().UnixMilli())), append([]byte("msg"), m[:32]...), 64)
	a, err := newGCM(kc[:32])
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Open(nil, make([]byte, 12), m[64:], nil)
	if err != nil || !bytes.Equal(kc[32:], m[32:64]) {
		t.Fatal("the reference cannot open it")
	}
	return p
}

// A stream that was cut, lengthened, mixed or changed: what comes before is the
// beginning of what was sealed, and the end is an error.
func TestStreamTampered(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	const c = chunkWire
	data := pattern(4*chunkData - 100)
	wire := mustStream(t, s, data, nil)
	other := mustStream(t, s, data, nil)
	if len(wire) != 336+4*c {
		t.Fatal(len(wire))
	}
	chunk := func(w []byte, i int) []byte { return w[336+i*c:][:c] }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	head := wire[:336]
	for _, x := range []struct {
		what   string
		wire   []byte
		chunks int // that come before
		cause  error
	}{
		{"no chunk", head, 0, ErrTruncated},
		{"a chunk less", wire[:336+3*c], 2, ErrTruncated},
		{"an octet less", wire[:len(wire)-1], 3, ErrTruncated},
		{"cut within a tag", wire[:336+3*c+5], 3, ErrTruncated},
		{"cut within a chunk", wire[:336+c+1000], 1, ErrTruncated},
		{"an octet more", join(wire, []byte{0}), 3, nil},
		{"a chunk more", join(wire, chunk(wire, 3)), 3, nil},
		{"another stream behind it", join(wire, other), 3, nil},
		{"without the first", join(head, wire[336+c:]), 0, nil},
		{"without the second", join(head, chunk(wire, 0), chunk(wire, 2), chunk(wire, 3)), 1, nil},
		{"the last alone", join(head, chunk(wire, 3)), 0, ErrTruncated},
		{"two swapped", join(head, chunk(wire, 1), chunk(wire, 0), chunk(wire, 2), chunk(wire, 3)), 0, nil},
		{"one twice", join(head, chunk(wire, 0), chunk(wire, 0), chunk(wire, 1), chunk(wire, 2), chunk(wire, 3)), 1, nil},
		{"the last twice", join(wire[:336+2*c], chunk(wire, 3), chunk(wire, 3)), 2, nil},
		{"the second of another stream", join(head, chunk(wire, 0), chunk(other, 1), chunk(wire, 2), chunk(wire, 3)), 1, nil},
		{"another stream's chunks", join(head, other[336:]), 0, nil},
		{"the last of another stream", join(wire[:336+3*c], chunk(other, 3)), 3, ErrTruncated},
	} {
		for _, f := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader} {
			got, _, err := openStream(t, r, f(bytes.NewReader(x.wire)), nil)
			wantMajor(t, x.what, err, gss.BadMIC, x.cause)
			if errors.Is(err, io.ErrUnexpectedEOF) != (x.cause != nil) {
				t.Errorf("%s: %v", x.what, err)
			}
			if !bytes.Equal(got, data[:x.chunks*chunkData]) {
				t.Errorf("%s: %d octets come, want %d chunks", x.what, len(got), x.chunks)
			}
		}
	}
	for n := range 336 { // of the beginning
		_, _, err := openStream(t, r, bytes.NewReader(wire[:n]), nil)
		wantMajor(t, fmt.Sprintf("first %d octets", n), err, gss.BadMIC, ErrTruncated)
		f := bytes.Clone(wire[:400])
		f[n] ^= 1
		_, _, err = openStream(t, r, bytes.NewReader(f), nil)
		wantMajor(t, fmt.Sprintf("octet %d changed", n), err, gss.BadMIC, nil)
	}
	for _, dir := range []*testContext{alice} {
		_, _, err := openStream(t, mustRecipient(t, nil, dir), bytes.NewReader(wire), nil)
		wantMajor(t, "the other direction", err, gss.BadMIC, nil)
	}
	_, _, err := openStream(t, r, bytes.NewReader(wire), &UnsealOptions{Data: []byte("x")})
	wantMajor(t, "other Data", err, gss.BadMIC, nil)

	short := mustStream(t, s, []byte("short"), nil)
	for bit := 336 * 8; bit < len(short)*8; bit++ {
		f := bytes.Clone(short)
		f[bit/8] ^= 1 << (bit % 8)
		got, _, err := openStream(t, r, bytes.NewReader(f), nil)
		wantMajor(t, fmt.Sprintf("bit %d flipped", bit), err, gss.BadMIC, ErrTruncated)
		if len(got) != 0 {
			t.Fatal("something comes")
		}
	}
	for n := 336; n < len(short); n++ {
		_, _, err := openStream(t, r, bytes.NewReader(short[:n]), nil)
		wantMajor(t, fmt.Sprintf("first %d octets", n), err, gss.BadMIC, ErrTruncated)
	}
	_, _, err = openStream(t, r, bytes.NewReader(append(bytes.Clone(short), 0)), nil)
	wantMajor(t, "an octet behind it", err, gss.BadMIC, nil)
}

// Authentic chunks that no sender makes.
func TestStreamMalformed(t *testing.T) {
	at := time.Unix(497490*3600, 0)
	alice, bob := pair("alice", "bob")
	root, _ := alice.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
	k := refDerive(root, oid.Krb5.AppendDER(nil), "i2a")
	c := &clock{t: at}
	r := newRecipient(nil, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		t.Fatal(err)
	}
	hAlice, _ := hashName(mn("alice"))
	hBob, _ := hashName(mn("bob"))
	secret := bytes.Repeat([]byte{7}, 32)
	n := uint64(0)
	head := func(body []byte) []byte {
		h := refHeader{version: 1, flags: 0x10, bodyLen: uint32(len(body)), n: n, sealedAt: at.UnixMilli(), notAfter: at.UnixMilli() + 1000, from: hAlice, to: hBob, body: body}
		n++
		return k.seal(n-1, 497490, "saltsalt!", h.plaintext(), nil)
	}
	v1 := append([]byte{1}, secret...)
	for what, body := range map[string][]byte{
		"version 0": append([]byte{0}, secret...), "version 2": append([]byte{2}, secret...),
		"32 octets": v1[:32], "34 octets": append(v1, 0), "nothing": nil,
	} {
		m := head(body)
		_, _, err := openStream(t, r, bytes.NewReader(append(m, refChunks(secret, m, nil, []int{0}, []int{256})...)), nil)
		wantMajor(t, what, err, gss.DefectiveToken, errHeader)
	}

	const full, max = 65536, 65533
	data := pattern(70 * max)
	for what, x := range map[string]struct {
		ns, sizes []int
		data      int // that comes before
	}{
		"of 240 octets":                 {[]int{0}, []int{240}, 0},
		"of 272 octets":                 {[]int{0}, []int{272}, 0},
		"an empty one behind":           {[]int{10, 0}, []int{full, 256}, 0},
		"an empty one behind a full":    {[]int{max, 0}, []int{full, full}, max},
		"as the last, of 3 octets":      {[]int{max, 0}, []int{full, 3}, max},
		"not full in the middle":        {[]int{max, max - 1, 10}, []int{full, full, 2048}, max},
		"empty in the middle":           {[]int{0, max}, []int{full, full}, 0},
		"empty for ever":                {append([]int{0}, make([]int, 9)...), slices.Repeat([]int{full}, 10), 0},
		"not padded to the end":         {append(slices.Repeat([]int{max}, 65), 0), append(slices.Repeat([]int{full}, 65), 2048), 65 * max},
		"not padded at all":             {slices.Repeat([]int{max}, 65), slices.Repeat([]int{full}, 65), 64 * max},
		"padded twice":                  {append(slices.Repeat([]int{max}, 65), 0, 0), slices.Repeat([]int{full}, 67), 65 * max},
		"data behind the padding":       {append(slices.Repeat([]int{max}, 65), 1), append(slices.Repeat([]int{full}, 65), full), -1},
		"data behind what is not full":  {append(slices.Repeat([]int{max}, 64), 10, 5), slices.Repeat([]int{full}, 66), 64*max + 10},
		"an empty one between full":     {append(slices.Repeat([]int{max}, 65), 0, 1), slices.Repeat([]int{full}, 67), 65 * max},
		"the last longer than it takes": {[]int{max, 1}, []int{full, 4096}, max},
	} {
		m := head(v1)
		got, _, err := openStream(t, r, bytes.NewReader(append(m, refChunks(secret, m, data, x.ns, x.sizes)...)), nil)
		if x.data < 0 { // 65 full ones and an octet: that is as it should be
			if err != nil || len(got) != 65*max+1 {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		wantMajor(t, what, err, gss.DefectiveToken, errHeader)
		if !bytes.Equal(got, data[:x.data]) {
			t.Errorf("%s: %d octets come, want %d", what, len(got), x.data)
		}
	}
	// Length and padding within one.
	digest := func(m []byte) []byte { d := sha256.Sum256(m); return d[:] }
	for what, p := range map[string][]byte{
		"longer than it":       append([]byte{0, 0, 254}, make([]byte, 253)...),
		"16 MiB":               append([]byte{255, 255, 255}, make([]byte, 253)...),
		"padding not zero":     append(make([]byte, 255), 1),
		"padding from the end": append([]byte{0, 0, 10}, append(make([]byte, 10), append([]byte{1}, make([]byte, 242)...)...)...),
	} {
		m := head(v1)
		key := refExpand(secret, append([]byte("gss seal stream 1"), digest(m)...), 32)
		wire := append(m, refGCMNonce(key, append(make([]byte, 11), 1), p)...)
		_, _, err := openStream(t, r, bytes.NewReader(wire), nil)
		wantMajor(t, what, err, gss.DefectiveToken, errHeader)
	}
	for _, n := range []int{0, 1, 2} { // too little plaintext for a length
		m := head(v1)
		key := refExpand(secret, append([]byte("gss seal stream 1"), digest(m)...), 32)
		_, _, err := openStream(t, r, bytes.NewReader(append(m, refGCMNonce(key, append(make([]byte, 11), 1), make([]byte, n))...)), nil)
		wantMajor(t, "too short", err, gss.BadMIC, ErrTruncated)
	}
}

// A stream is no message and a message no stream, whatever Data is.
func TestStreamIsNoMessage(t *testing.T) {
	x := newTrio(t)
	for _, data := range [][]byte{nil, []byte(labelStream), []byte("x")} {
		stream := mustStream(t, x.alice, []byte("body"), &Options{Data: data})
		_, err := x.bob.Unseal(t.Context(), nil, stream[:336], &UnsealOptions{Data: data})
		wantMajor(t, "its beginning, unsealed", err, gss.Unauthorized, ErrStream)
		_, err = x.bob.Unseal(t.Context(), nil, stream, &UnsealOptions{Data: data})
		wantMajor(t, "all of it, unsealed", err, gss.BadMIC, nil)
		m := mustSeal(t, x.alice, "\x01................................", &Options{Data: data})
		_, _, err = openStream(t, x.bob, bytes.NewReader(append(m, stream[336:]...)), &UnsealOptions{Data: data})
		wantMajor(t, "a message, as a stream", err, gss.Unauthorized, ErrStream)
		if got, err := x.bob.Unseal(t.Context(), nil, m, &UnsealOptions{Data: data, Strike: true}); err != nil || len(got.Body) != 33 {
			t.Errorf("it is struck by then: %v", err)
		}
	}
	long := mustSeal(t, x.alice, string(pattern(1000)), nil)
	_, _, err := openStream(t, x.bob, bytes.NewReader(long), nil)
	wantMajor(t, "a longer message", err, gss.BadMIC, nil)
	g, err := x.alice.Introduce(nil, nil, x.grants, &Options{Relay: mn("carol")})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = openStream(t, x.bob, bytes.NewReader(append(g[len(g)-336:], make([]byte, 500)...)), nil)
	wantMajor(t, "an introduction", err, gss.Unauthorized, ErrStream)
	stream := mustStream(t, x.alice, nil, nil)
	_, err = x.bob.Redeem(t.Context(), stream[:336], nil)
	wantMajor(t, "a stream, redeemed", err, gss.Unauthorized, ErrStream)
}

// The claims of a stream are those of a message, and hold before anything is read of it.
func TestStreamClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTrio(t)
		carol := &UnsealOptions{Relay: x.onBob, Require: OneTime | RelayByName | Stream, MaxAge: time.Minute, Data: []byte("data")}
		o := &Options{OneTime: true, Relay: mn("carol"), Data: []byte("data")}
		wire := mustStream(t, x.alice, []byte("body"), o)
		_, _, err := openStream(t, x.bob, bytes.NewReader(wire), &UnsealOptions{Data: o.Data})
		wantMajor(t, "by nobody", err, gss.BadName, ErrRelay)
		rd := bytes.NewReader(wire)
		sr, m, err := x.bob.UnsealStream(t.Context(), rd, carol)
		if err != nil || m.Relay != mn("carol") || m.Claims != OneTime|RelayByName|Stream || rd.Len() != len(wire)-336 {
			t.Fatalf("%+v, %v, %d octets left", m, err, rd.Len())
		}
		if m.StrikeKey != sha256.Sum256(append([]byte("gss seal strike 1"), wire[:64]...)) {
			t.Error("strike key")
		}
		_, _, err = openStream(t, x.bob, bytes.NewReader(wire), carol)
		wantMajor(t, "again, before the first was read", err, gss.DuplicateToken, strike.ErrSeen)
		time.Sleep(2 * time.Hour) // it has begun in time
		if got, err := io.ReadAll(sr); err != nil || string(got) != "body" {
			t.Errorf("%q, %v", got, err)
		}
		_, _, err = openStream(t, x.bob, bytes.NewReader(mustStream(t, x.alice, nil, nil)), carol)
		wantMajor(t, "other Data", err, gss.BadMIC, nil)
		_, _, err = openStream(t, x.bob, bytes.NewReader(mustStream(t, x.alice, nil, nil)), &UnsealOptions{Require: OneTime})
		wantMajor(t, "a claim is missing", err, gss.Unauthorized, ErrClaim)
		old := mustStream(t, x.alice, nil, nil)
		time.Sleep(Skew + time.Hour + time.Millisecond)
		_, _, err = openStream(t, x.bob, bytes.NewReader(old), nil)
		wantMajor(t, "too old", err, gss.OldToken, ErrExpired)

		// Whoever is removed is not heard to the end.
		wire = mustStream(t, x.alice, pattern(3*chunkData), nil)
		if sr, _, err = x.bob.UnsealStream(t.Context(), bytes.NewReader(wire), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(sr, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		x.bob.sources[1].Remove()
		n, err := io.Copy(io.Discard, sr)
		if n != chunkData-10 {
			t.Errorf("%d octets more", n)
		}
		wantMajor(t, "removed", err, gss.NoContext, errRemoved)
	})
}

// Grants of streams: the relay presents the beginning, and passes the chunks on.
func TestStreamGrant(t *testing.T) {
	x := newTrio(t)
	tls := []byte("tls-exporter:0123456789")
	data := pattern(2*chunkData + 5)
	for what, c := range map[string]struct {
		via *Sender
		ch  Channel
		o   UnsealOptions
	}{
		"derived, context":  {x.grants, Channel{Context: x.toBob}, UnsealOptions{Relay: x.onBob}},
		"derived, bindings": {x.grants, Channel{Bindings: tls}, UnsealOptions{Bindings: tls, RelayNames: []gss.Name{mn("carol")}}},
		"carried, unbound":  {nil, Channel{Unbound: true}, UnsealOptions{Unbound: true, RelayNames: []gss.Name{mn("carol")}}},
	} {
		var chunks bytes.Buffer
		g, w, err := x.alice.GrantStream([]byte("dst"), &chunks, c.via, &Options{Relay: mn("carol"), OneTime: true})
		if err != nil || string(g[:3]) != "dst" || chunks.Len() != 0 {
			t.Fatal(err)
		}
		writeAll(t, w, data)
		if int64(chunks.Len()) != StreamSize(int64(len(data)))-336 {
			t.Errorf("%d octets of chunks", chunks.Len())
		}
		held, err := x.carol.Accept(g[3:])
		if err != nil {
			t.Fatal(err)
		}
		payload := pattern(MaxStreamPayload)
		begin, err := held.Present(nil, payload, c.ch)
		if err != nil || len(begin) != 336+96 {
			t.Fatalf("%d octets, %v", len(begin), err)
		}
		present := func(begin []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(begin), bytes.NewReader(chunks.Bytes()))
		}
		c.o.Require = RelayByKey | RelayByName | OneTime

		for n := 336; n < len(begin); n++ {
			_, _, err := openStream(t, x.bob, bytes.NewReader(begin[:n]), &c.o)
			wantMajor(t, fmt.Sprintf("%s: first %d octets", what, n), err, gss.BadMIC, ErrTruncated)
			f := bytes.Clone(begin)
			f[n] ^= 1
			_, _, err = openStream(t, x.bob, present(f), &c.o)
			wantMajor(t, fmt.Sprintf("%s: octet %d changed", what, n), err, gss.BadBindings, ErrProof)
		}
		_, _, err = openStream(t, x.bob, present(begin[:336]), &c.o)
		wantMajor(t, what+": without the proof", err, gss.BadBindings, ErrProof)
		_, _, err = openStream(t, x.bob, present(begin), &UnsealOptions{RelayNames: []gss.Name{mn("carol")}})
		wantMajor(t, what+": on no channel", err, gss.BadBindings, ErrProof)
		long, err := held.Present(nil, pattern(MaxStreamPayload+1), c.ch)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = openStream(t, x.bob, present(long), &c.o)
		wantMajor(t, what+": too much payload", err, gss.BadBindings, ErrProof)

		got, m, err := openStream(t, x.bob, present(begin), &c.o)
		if err != nil || !bytes.Equal(got, data) || !bytes.Equal(m.Payload, payload) || m.Relay != mn("carol") {
			t.Errorf("%s: %d octets, %v", what, len(got), err)
		}
		_, _, err = openStream(t, x.bob, present(begin), &c.o)
		wantMajor(t, what+": again", err, gss.DuplicateToken, strike.ErrSeen)
		again, err := held.Present(nil, nil, c.ch)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = openStream(t, x.bob, present(again), &c.o)
		wantMajor(t, what+": with a new proof", err, gss.DuplicateToken, strike.ErrSeen)
		held.Close()
	}
	x.grants.Close()
	g, w, err := x.alice.GrantStream([]byte("dst"), nil, x.grants, nil)
	wantMajor(t, "closed", err, gss.NoContext, nil)
	if string(g) != "dst" || w != nil {
		t.Error("something leaves")
	}
}

// A proof that takes its time is judged by when it came.
func TestStreamSlowProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTrio(t)
		g, w, err := x.alice.GrantStream(nil, io.Discard, x.grants, nil)
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, w, nil)
		held, err := x.carol.Accept(g)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		for _, c := range []struct {
			wait  time.Duration
			major gss.Major
		}{{Skew, 0}, {Skew + time.Millisecond, gss.OldToken}} {
			begin, err := held.Present(nil, nil, Channel{Context: x.toBob})
			if err != nil {
				t.Fatal(err)
			}
			rd, wr := io.Pipe()
			go func() {
				wr.Write(begin[:400])
				time.Sleep(c.wait)
				wr.Write(begin[400:])
				wr.Close()
			}()
			_, _, err = x.bob.UnsealStream(t.Context(), rd, &UnsealOptions{Relay: x.onBob})
			if gss.MajorOf(err) != c.major {
				t.Errorf("%v: %v", c.wait, err)
			}
		}
	})
}

// What the caller's reader and writer say reaches the caller.
func TestStreamErrors(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	broken := errors.New("broken")
	_, err := s.SealStream(iotest.TruncateWriter(brokenWriter{broken}, 0), nil)
	if err != nil {
		t.Fatal(err) // that one says nothing
	}
	_, err = s.SealStream(brokenWriter{broken}, nil)
	wantMajor(t, "the beginning", err, gss.Failure, broken)
	_, err = s.SealStream(shortWriter{}, nil)
	wantMajor(t, "a short write", err, gss.Failure, io.ErrShortWrite)
	_, err = s.SealStream(io.Discard, &Options{Lifetime: -1})
	wantMajor(t, "options", err, gss.Failure, ErrLifetime)
	_, _, err = s.GrantStream(nil, io.Discard, nil, &Options{Lifetime: -1})
	wantMajor(t, "options of a grant", err, gss.Failure, ErrLifetime)

	_, w, err := s.GrantStream(nil, brokenWriter{broken}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := w.Write(pattern(chunkData + 1))
	wantMajor(t, "a chunk", err, gss.Failure, broken)
	if n != chunkData {
		t.Errorf("%d octets were taken", n)
	}
	if _, again := w.Write([]byte{1}); again != err {
		t.Errorf("then %v", again)
	}
	if again := w.Close(); again != err {
		t.Errorf("at the end %v", again)
	}
	if again := w.Close(); again != err {
		t.Errorf("after it %v", again)
	}

	// At the largest size.
	var out bytes.Buffer
	_, w, err = s.GrantStream(nil, &out, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.(*streamWriter).i = maxChunks - 2
	if n, err = w.Write(pattern(2*chunkData + 1)); n != 2*chunkData {
		t.Errorf("%d octets were taken", n)
	}
	wantMajor(t, "beyond the largest", err, gss.Failure, ErrTooLong)
	wantMajor(t, "so that Close", w.Close(), gss.Failure, ErrTooLong)
	if out.Len() != chunkWire {
		t.Errorf("%d octets were written", out.Len())
	}
	out.Reset()
	if _, w, err = s.GrantStream(nil, &out, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.(*streamWriter).i = maxChunks - 2
	writeAll(t, w, pattern(2*chunkData))
	if out.Len() != 2*chunkWire {
		t.Errorf("%d octets were written", out.Len())
	}

	wire := mustStream(t, s, pattern(2*chunkData), nil)
	for _, n := range []int{0, 100, 336, 1000, len(wire) - 1, len(wire)} {
		got, _, err := openStream(t, r, io.MultiReader(bytes.NewReader(wire[:n]), iotest.ErrReader(broken)), nil)
		wantMajor(t, fmt.Sprintf("broken after %d", n), err, gss.Failure, broken)
		if want := pattern(max(0, n-336) / (chunkWire + 1) * chunkData); !bytes.Equal(got, want) {
			t.Errorf("broken after %d: %d octets come", n, len(got))
		}
	}
	s.Close()
	_, err = s.SealStream(io.Discard, nil)
	wantMajor(t, "closed", err, gss.NoContext, nil)
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write(p []byte) (int, error) { return 0, w.err }

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) - 1, nil }

// A StreamReader writes what it reads, from any place on, and goes on after w fails.
func TestStreamWriteTo(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	data := pattern(5*chunkData/2 + 1)
	wire := mustStream(t, s, data, nil)
	sr, _, err := r.UnsealStream(t.Context(), bytes.NewReader(wire), nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := sr.buf
	var got bytes.Buffer
	if _, err := io.CopyN(&got, sr, 10); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if n, err := sr.WriteTo(brokenWriter{broken}); n != 0 || err != broken {
		t.Errorf("%d, %v", n, err)
	}
	n, err := sr.WriteTo(shortWriter{})
	if n != chunkData-10-1 || err != io.ErrShortWrite {
		t.Errorf("%d, %v", n, err)
	}
	got.Write(data[10:][:n])
	if m, err := io.Copy(&got, sr); m != int64(len(data))-10-n || err != nil {
		t.Errorf("%d, %v", m, err)
	}
	if !bytes.Equal(got.Bytes(), data) || !isZero(buf[:]) {
		t.Error("other data, or some is left")
	}
}

// Streams outlive the Sender, and go on side by side.
func TestStreamsTogether(t *testing.T) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	const streams, chunks = 4, 5
	var outs [streams]bytes.Buffer
	var ws [streams]io.WriteCloser
	for i := range ws {
		var err error
		if ws[i], err = s.SealStream(&outs[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	done := make(chan error)
	for i := range ws {
		go func() {
			_, err := ws[i].Write(bytes.Repeat([]byte{byte(i)}, chunks*chunkData))
			done <- errors.Join(err, ws[i].Close())
		}()
	}
	for range ws {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i := range outs {
		go func() {
			sr, _, err := r.UnsealStream(t.Context(), &outs[i], nil)
			if err == nil {
				var got []byte
				if got, err = io.ReadAll(sr); !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, chunks*chunkData)) {
					err = errors.Join(err, errors.New("other data"))
				}
			}
			done <- err
		}()
	}
	for range outs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// However long a stream is, sealing and reading it allocates what a chunk takes.
func TestStreamAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	alice, bob := pair("alice", "bob")
	s, r := mustSender(t, alice), mustRecipient(t, nil, bob)
	allocs := func(chunks int) (w, rd float64) {
		data := pattern(chunks * chunkData)
		var out bytes.Buffer
		out.Grow(int(StreamSize(int64(len(data)))))
		w = testing.AllocsPerRun(5, func() {
			out.Reset()
			wr, err := s.SealStream(&out, nil)
			if err != nil {
				t.Fatal(err)
			}
			writeAll(t, wr, data)
		})
		p := make([]byte, 1<<16)
		in := new(bytes.Reader)
		rd = testing.AllocsPerRun(5, func() {
			in.Reset(out.Bytes())
			sr, _, err := r.UnsealStream(t.Context(), in, nil)
			for err == nil {
				_, err = sr.Read(p)
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		})
		return w, rd
	}
	w1, r1 := allocs(1)
	w9, r9 := allocs(16)
	if w9 > w1 || r9 > r1 || w1 > 40 || r1 > 40 {
		t.Errorf("one chunk: %v and %v allocations; 16: %v and %v", w1, r1, w9, r9)
	}
}

func FuzzUnsealStream(f *testing.F) {
	c := &clock{t: time.Unix(497490*3600, 0)}
	alice, bob := pair("alice", "bob")
	root, _ := alice.PRF(gss.PRFFull, []byte("gss seal 1"), 64)
	k := refDerive(root, oid.Krb5.AppendDER(nil), "i2a")
	hAlice, _ := hashName(mn("alice"))
	hBob, _ := hashName(mn("bob"))
	secret := bytes.Repeat([]byte{7}, 32)
	h := refHeader{version: 1, flags: 0x10, bodyLen: 33, sealedAt: c.t.UnixMilli(), notAfter: c.t.UnixMilli() + 1000, from: hAlice, to: hBob, body: append([]byte{1}, secret...)}
	head := k.seal(0, 497490, "saltsalt!", h.plaintext(), nil)
	key := func() []byte {
		d := sha256.Sum256(head)
		return refExpand(secret, append([]byte("gss seal stream 1"), d[:]...), 32)
	}()
	r := newRecipient(nil, c.now)
	defer r.Close()
	if _, err := r.Add(bob); err != nil {
		f.Fatal(err)
	}
	short := append([]byte{0, 0, 5}, append([]byte("hello"), make([]byte, 248)...)...)
	f.Add(short, false)
	f.Add(append(make([]byte, 65536), short...), false)
	f.Add(refGCMNonce(key, append(make([]byte, 11), 1), short), true)
	// Either the plaintexts of chunks, which are authentic, or whatever comes.
	f.Fuzz(func(t *testing.T, in []byte, raw bool) {
		wire := bytes.Clone(head)
		if raw {
			wire = append(wire, in...)
		} else {
			for i := 0; ; i++ {
				p := in[:min(len(in), 65536)]
				in = in[len(p):]
				nonce := append(make([]byte, 10), byte(i), 0)
				if len(in) == 0 {
					nonce[11] = 1
				}
				wire = append(wire, refGCMNonce(key, nonce, p)...)
				if len(in) == 0 || i == 255 {
					break
				}
			}
		}
		sr, _, err := r.UnsealStream(t.Context(), bytes.NewReader(wire), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(sr)
		if m := gss.MajorOf(err); err != nil && m != gss.BadMIC && m != gss.DefectiveToken {
			t.Error(err)
		}
		if err == nil { // then it is what a sender makes of it
			var out bytes.Buffer
			a, err := streamCipher(head, append([]byte{1}, secret...))
			if err != nil {
				t.Fatal(err)
			}
			w := &streamWriter{chunker: chunker{aead: a}, w: &out, buffers: &r.buffers, buf: r.buffers.get()}
			writeAll(t, w, got)
			if !bytes.Equal(out.Bytes(), wire[336:]) {
				t.Error("two forms of one stream")
			}
		}
	})
}

// BenchmarkStream seals a mebioctet into nothing, or reads it from memory; compare with
// BenchmarkStreamAEAD, which encrypts or decrypts as much under one key in one piece.
func BenchmarkStream(b *testing.B) {
	alice, bob := pair("alice", "bob")
	s, r := mustSender(b, alice), mustRecipient(b, nil, bob)
	data := pattern(1 << 20)
	b.Run("seal", func(b *testing.B) {
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			w, err := s.SealStream(io.Discard, nil)
			if err != nil {
				b.Fatal(err)
			}
			writeAll(b, w, data)
		}
	})
	b.Run("unseal", func(b *testing.B) {
		wire := mustStream(b, s, data, nil)
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			sr, _, err := r.UnsealStream(b.Context(), bytes.NewReader(wire), nil)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, sr); n != 1<<20 || err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStreamAEAD(b *testing.B) {
	a, err := newGCM(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	data, out := pattern(1<<20), make([]byte, 1<<20+16)
	c := a.Seal(nil, zeroNonce[:], data, nil)
	b.Run("seal", func(b *testing.B) {
		b.SetBytes(1 << 20)
		for b.Loop() {
			a.Seal(out[:0], zeroNonce[:], data, nil)
		}
	})
	b.Run("unseal", func(b *testing.B) {
		b.SetBytes(1 << 20)
		for b.Loop() {
			if _, err := a.Open(out[:0], zeroNonce[:], c, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// refGCMNonce is refGCM with a nonce and without associated data.
func refGCMNonce(key, nonce, p []byte) []byte {
	a, err := newGCM(key)
	if err != nil {
		panic(err)
	}
	return a.Seal(nil, nonce, p, nil)
}
