package krb5

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"
)

var allETypes = []EType{AES128SHA1, AES256SHA1, AES128SHA2, AES256SHA2}

// pattern returns n octets that differ from block to block.
func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func testKey(t testing.TB, e EType) *Key { return newKey(t, e, pattern(e.KeyLen())) }

// Lengths around every boundary of blocks and of the pieces of ctsDecrypt.
func lengths() []int {
	const piece = len(scratch{}.chunk) - blockSize
	var ns []int
	for n := range 70 {
		ns = append(ns, n)
	}
	for _, about := range []int{piece, 2 * piece, 3*piece + 512} {
		for n := about - 34; n <= about+34; n++ {
			ns = append(ns, n)
		}
	}
	return ns
}

func TestETypes(t *testing.T) {
	for _, tt := range []struct {
		e                EType
		name, aliases    string
		keyLen, overhead int
		sumType          int32
		sumLen           int
	}{
		{17, "aes128-cts-hmac-sha1-96", "aes128-cts AES128-SHA1", 16, 28, 15, 12},
		{18, "aes256-cts-hmac-sha1-96", "aes256-cts aes256-sha1", 32, 28, 16, 12},
		{19, "aes128-cts-hmac-sha256-128", "aes128-sha2", 16, 32, 19, 16},
		{20, "aes256-cts-hmac-sha384-192", "AES256-sha2", 32, 40, 20, 24},
	} {
		if tt.e.String() != tt.name || tt.e.KeyLen() != tt.keyLen || tt.e.ChecksumType() != tt.sumType ||
			tt.e.ChecksumLen() != tt.sumLen || !tt.e.Supported() || testKey(t, tt.e).Overhead() != tt.overhead {
			t.Errorf("%v is not as registered", tt.e)
		}
		for _, s := range append(strings.Fields(tt.aliases), tt.name, strings.ToUpper(tt.name)) {
			if e, err := ParseEType(s); e != tt.e || err != nil {
				t.Errorf("ParseEType(%q) = %v, %v", s, e, err)
			}
		}
	}
	for _, e := range []EType{-1, 0, 1, 3, 15, 21, 22, 24, 27, 1 << 30} {
		if e.Supported() || e.KeyLen() != 0 || e.ChecksumType() != 0 || e.ChecksumLen() != 0 || e.String() != fmt.Sprintf("etype(%d)", e) {
			t.Errorf("%v is known", e)
		}
		_, err1 := NewKey(e, make([]byte, 16))
		_, err2 := RandomKey(e)
		_, err3 := StringToKey(e, "p", "s", nil)
		if !errors.Is(err1, ErrEType) || !errors.Is(err2, ErrEType) || !errors.Is(err3, ErrEType) {
			t.Errorf("%v: %v, %v, %v", e, err1, err2, err3)
		}
	}
	for _, s := range []string{"", "aes", "rc4-hmac", "aes128-cts-hmac-sha1-96 ", "aes512-cts"} {
		if e, err := ParseEType(s); !errors.Is(err, ErrEType) {
			t.Errorf("ParseEType(%q) = %v, %v", s, e, err)
		}
	}
}

func TestNewKey(t *testing.T) {
	for _, e := range allETypes {
		for n := range 70 {
			if _, err := NewKey(e, make([]byte, n)); (err == nil) != (n == e.KeyLen()) || err != nil && !errors.Is(err, ErrKeyLength) {
				t.Errorf("%v with %d octets: %v", e, n, err)
			}
		}
		value := pattern(e.KeyLen())
		k := newKey(t, e, value)
		clear(value)
		got := k.Bytes()
		clear(got)
		if want := pattern(e.KeyLen()); !bytes.Equal(k.Bytes(), want) {
			t.Errorf("%v: a Key shares memory with its caller", e)
		}
		a, _ := RandomKey(e)
		b, _ := RandomKey(e)
		if a.EType() != e || len(a.Bytes()) != e.KeyLen() || bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%v: random keys %v and %v", e, a, b)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); s != strings.TrimSpace(strings.Repeat(e.String()+" key ", 4)) {
			t.Errorf("a key is printed as %q", s)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e)
		for _, n := range lengths() {
			msg := pattern(n)
			ct, err := k.Encrypt([]byte("before"), msg, 7)
			if err != nil || len(ct) != len("before")+n+k.Overhead() || string(ct[:6]) != "before" {
				t.Fatalf("%v, %d: %d octets, %v", e, n, len(ct), err)
			}
			ct = ct[6:]
			got, err := k.Decrypt([]byte("before"), ct, 7)
			if err != nil || string(got) != "before"+string(msg) {
				t.Fatalf("%v, %d: %v", e, n, err)
			}
			again, _ := k.EncryptParts(nil, 7, msg[:n/3], nil, msg[n/3:])
			if bytes.Equal(again, ct) {
				t.Fatalf("%v, %d: no confounder", e, n)
			}
			// In two pieces: put together behind dst and decrypted in place.
			for _, cut := range []int{0, 1, 16, 28, n / 2, len(again)} {
				got, err := k.DecryptParts(make([]byte, 3, 2000), 7, again[:cut], again[cut:])
				if err != nil || !bytes.Equal(got, append(make([]byte, 3), msg...)) {
					t.Fatalf("%v, %d, cut at %d: %v", e, n, cut, err)
				}
			}
			if _, err := k.Decrypt(nil, ct, 8); err != ErrIntegrity {
				t.Fatalf("%v: another usage: %v", e, err)
			}
		}
	}
}

// gokrb5 is a second implementation, right in what is used of it here.
func TestGokrb5(t *testing.T) {
	for _, e := range allETypes {
		et, err := crypto.GetEtype(int32(e))
		if err != nil {
			t.Fatal(err)
		}
		value := pattern(e.KeyLen())
		k, theirs := newKey(t, e, value), types.EncryptionKey{KeyType: int32(e), KeyValue: value}
		for _, n := range lengths() {
			msg := pattern(n)
			for _, usage := range []uint32{2, 24} {
				ct, _ := k.Encrypt(nil, msg, usage)
				got, err := crypto.DecryptMessage(slices.Clone(ct), theirs, usage)
				if err != nil || !bytes.Equal(got, msg) {
					t.Fatalf("%v, %d: gokrb5 does not decrypt: %v", e, n, err)
				}
				_, ct, err = et.EncryptMessage(value, msg, usage)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := k.Decrypt(nil, ct, usage); err != nil || !bytes.Equal(got, msg) {
					t.Fatalf("%v, %d: what gokrb5 encrypted: %v", e, n, err)
				}
				sum, err := et.GetChecksumHash(value, msg, usage)
				if err != nil {
					t.Fatal(err)
				}
				if got := k.Checksum(nil, msg, usage); !bytes.Equal(got, sum) {
					t.Fatalf("%v, %d: checksum %x, want %x", e, n, got, sum)
				}
			}
		}
	}
}

// Every bit flipped, every length but the right one: ErrIntegrity, dst untouched,
// nothing of the plaintext behind it.
func TestTampering(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e)
		for _, n := range []int{0, 1, 15, 16, 17, 40} {
			msg := bytes.Repeat([]byte{0xa5}, n)
			ct, _ := k.Encrypt(nil, msg, 3)
			refuse := func(ct []byte, what string) {
				t.Helper()
				dst := append(make([]byte, 0, 200), "before"...)
				got, err := k.Decrypt(dst, ct, 3)
				if err != ErrIntegrity || string(got) != "before" {
					t.Fatalf("%v, %d: %s: %q, %v", e, n, what, got, err)
				}
				if n > 0 && bytes.Contains(dst[:cap(dst)], []byte{0xa5}) {
					t.Fatalf("%v, %d: %s: plaintext behind dst", e, n, what)
				}
				if _, err := k.DecryptParts(dst, 3, ct[:len(ct)/2], ct[len(ct)/2:]); err != ErrIntegrity {
					t.Fatalf("%v, %d: %s, in parts: %v", e, n, what, err)
				}
			}
			for i := range 8 * len(ct) {
				ct[i/8] ^= 1 << (i % 8)
				refuse(ct, fmt.Sprint("bit ", i))
				ct[i/8] ^= 1 << (i % 8)
			}
			for i := range ct {
				refuse(ct[:i], fmt.Sprint("prefix ", i))
				refuse(ct[i+1:], fmt.Sprint("suffix ", i+1))
			}
			refuse(append(ct[:len(ct):len(ct)], 0), "one octet more")

			sum := k.Checksum([]byte("x"), msg, 3)[1:]
			if len(sum) != e.ChecksumLen() || !k.VerifyChecksum(msg, sum, 3) || k.VerifyChecksum(msg, sum, 4) {
				t.Fatalf("%v: checksum", e)
			}
			for i := range 8 * len(sum) {
				sum[i/8] ^= 1 << (i % 8)
				if k.VerifyChecksum(msg, sum, 3) {
					t.Fatalf("%v: bit %d of a checksum", e, i)
				}
				sum[i/8] ^= 1 << (i % 8)
			}
			for i := range 8 * n {
				msg[i/8] ^= 1 << (i % 8)
				if k.VerifyChecksum(msg, sum, 3) {
					t.Fatalf("%v: bit %d of a message", e, i)
				}
				msg[i/8] ^= 1 << (i % 8)
			}
			for i := range sum {
				if k.VerifyChecksum(msg, sum[:i], 3) {
					t.Fatalf("%v: %d octets of a checksum", e, i)
				}
			}
			if k.VerifyChecksum(msg, append(sum, 0), 3) {
				t.Fatalf("%v: a long checksum", e)
			}
		}
	}
}

func TestErase(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e)
		msg := []byte("message")
		ct, _ := k.Encrypt(nil, msg, 1)
		sum := k.Checksum(nil, msg, 1)
		k.PRF(nil, msg)
		var macs []macKey
		for _, d := range k.derived {
			if d.mac != nil {
				macs = append(macs, d.mac)
			}
		}
		value := k.value
		k.Erase()
		k.Erase()
		if k.Bytes() != nil || k.EType() != e || bytes.Count(value, []byte{0}) != len(value) || len(macs) < 2 {
			t.Errorf("%v: not erased", e)
		}
		for _, m := range macs {
			if bytes.Count(m, []byte{0}) != len(m) {
				t.Errorf("%v: a derived key is left", e)
			}
		}
		_, err1 := k.Encrypt(nil, msg, 1)
		_, err2 := k.Decrypt(nil, ct, 1)
		_, err3 := k.ChecksumParts(nil, 1, msg)
		err4 := k.VerifyParts(sum, 1, msg)
		_, err5 := k.AppendPRFPlus(nil, msg, 16)
		for i, err := range []error{err1, err2, err3, err4, err5} {
			if err != ErrErased {
				t.Errorf("%v: %d: %v", e, i, err)
			}
		}
		if k.VerifyChecksum(msg, sum, 1) {
			t.Errorf("%v: an erased key verifies", e)
		}
		for i, f := range []func(){
			func() { k.Checksum(nil, msg, 1) }, func() { k.PRF(nil, msg) }, func() { k.PRFPlus(nil, msg, 1) },
		} {
			func() {
				defer func() {
					if recover() != ErrErased {
						t.Errorf("%v: %d does not panic", e, i)
					}
				}()
				f()
			}()
		}
	}
}

// Many goroutines, one key, usages that are derived on the way, and an Erase: each
// call either works or says ErrErased.
func TestConcurrent(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e)
		want := k.Bytes()
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				msg := pattern(100 * g)
				for i := range uint32(40) {
					ct, err := k.Encrypt(nil, msg, i%5)
					if err == nil {
						var got []byte
						if got, err = k.Decrypt(nil, ct, i%5); err == nil && !bytes.Equal(got, msg) {
							t.Error("another plaintext")
						}
					}
					if err == nil {
						var sum []byte
						if sum, err = k.ChecksumParts(nil, i%5, msg); err == nil {
							err = k.VerifyParts(sum, i%5, msg)
						}
					}
					if err == nil {
						_, err = k.AppendPRFPlus(nil, msg, 100)
					}
					if err != nil && err != ErrErased {
						t.Error(err)
					}
					if g == 0 && i == 30 {
						k.Erase()
					}
					if b := k.Bytes(); b != nil && !bytes.Equal(b, want) {
						t.Error("half a key")
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestS2KParams(t *testing.T) {
	for _, tt := range []struct {
		params string
		n      int // for the SHA-1 types; 0: refused
	}{
		{"", 4096}, {"\x00\x00\x00\x01", 1}, {"\x00\x10\x00\x00", MaxS2KIterations},
		{"\x00\x00\x00\x00", 0}, {"\x00\x10\x00\x01", 0}, {"\xff\xff\xff\xff", 0}, {"\x7f\xff\xff\xff", 0},
		{"\x00", 0}, {"\x00\x10\x00", 0}, {"\x00\x00\x00\x01\x00", 0}, {"\x00\x00\x00\x00\x00\x00\x10\x00", 0},
	} {
		n, err := S2KIterations(AES256SHA1, []byte(tt.params))
		if n != tt.n || (tt.n == 0) != errors.Is(err, ErrS2KParams) {
			t.Errorf("%x: %d, %v", tt.params, n, err)
		}
		if tt.n == 0 {
			if _, err := StringToKey(AES256SHA1, "p", "s", []byte(tt.params)); !errors.Is(err, ErrS2KParams) {
				t.Errorf("%x: %v", tt.params, err)
			}
		}
	}
	if n, err := S2KIterations(AES256SHA2, nil); n != 32768 || err != nil {
		t.Error(n, err)
	}
	if _, err := S2KIterations(23, nil); !errors.Is(err, ErrEType) {
		t.Error(err)
	}
}

func TestPRFLong(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e)
		long := k.PRFPlus(nil, []byte("in"), 1<<14)
		if len(long) != 1<<14 || !bytes.HasPrefix(long, k.PRF(nil, []byte("\x00\x00\x00\x00in"))) {
			t.Errorf("%v: %d octets", e, len(long))
		}
		block := len(k.PRF(nil, nil))
		if i := (1<<14/block - 1); !bytes.Equal(long[i*block:(i+1)*block], k.PRF(nil, []byte{0, 0, byte(i >> 8), byte(i), 'i', 'n'})) {
			t.Errorf("%v: block %d", e, i)
		}
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	for _, e := range allETypes {
		k := testKey(t, e)
		msg := pattern(5000)
		ct, _ := k.Encrypt(nil, msg, 1)
		sum := k.Checksum(nil, msg, 1)
		dst := make([]byte, 0, 2*len(ct))
		for name, f := range map[string]func(){
			"Encrypt":      func() { k.Encrypt(dst, msg, 1) },
			"EncryptParts": func() { k.EncryptParts(dst, 1, msg[:10], msg[10:]) },
			"Decrypt":      func() { k.Decrypt(dst, ct, 1) },
			"DecryptParts": func() { k.DecryptParts(dst, 1, ct[:28], ct[28:]) },
			"Checksum":     func() { k.Checksum(dst, msg, 1) },
			"Verify":       func() { k.VerifyChecksum(msg, sum, 1) },
			"PRFPlus":      func() { k.PRFPlus(dst, msg[:20], 100) },
		} {
			if n := testing.AllocsPerRun(50, f); n != 0 {
				t.Errorf("%v %s: %v allocations", e, name, n)
			}
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	for _, e := range allETypes {
		k := testKey(f, e)
		ct, _ := k.Encrypt(nil, []byte("plaintext of more than one block"), 1)
		f.Add(byte(e-17), ct, 28)
	}
	f.Fuzz(func(t *testing.T, i byte, ct []byte, cut int) {
		k := testKey(t, allETypes[i%4])
		dst := []byte("before")
		got, err := k.Decrypt(dst, ct, 1)
		if cut < 0 || cut > len(ct) {
			cut = 0
		}
		got2, err2 := k.DecryptParts(dst, 1, ct[:cut], ct[cut:])
		if err != err2 || !bytes.Equal(got, got2) {
			t.Fatal("parts make a difference:", err, err2)
		}
		if err == ErrIntegrity && string(got) == "before" {
			return
		}
		if err != nil || len(got) != len("before")+len(ct)-k.Overhead() {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
