package gss

import (
	"fmt"
	"strings"
)

// Flags are services of a context, RFC 2743 §1.2, with the values of RFC 2744
// §5.19 and of what came after it.
type Flags uint32

const (
	Deleg       Flags = 1 << 0  // the initiator delegates a credential
	Mutual      Flags = 1 << 1  // the acceptor is authenticated too
	Replay      Flags = 1 << 2  // replayed messages are detected
	Sequence    Flags = 1 << 3  // messages out of sequence are detected
	Conf        Flags = 1 << 4  // Wrap can encrypt
	Integ       Flags = 1 << 5  // Wrap and MIC authenticate
	Anon        Flags = 1 << 6  // the initiator is anonymous
	ProtReady   Flags = 1 << 7  // messages can be protected already; always so in an established context
	Trans       Flags = 1 << 8  // the context can be exported
	Bound       Flags = 1 << 11 // both sides gave the same channel bindings (result only; draft-ietf-kitten-channel-bound-flag)
	DCEStyle    Flags = 1 << 12 // three legs and bare tokens, RFC 4757 §7.1
	Identify    Flags = 1 << 13 // the acceptor may learn who the initiator is, and no more, RFC 4757 §7.1
	ExtendedErr Flags = 1 << 14 // error tokens may say more, RFC 4757 §7.1
	DelegPolicy Flags = 1 << 15 // delegate if policy says so, RFC 5896

	// DefaultFlags are what an initiator requires unless it says otherwise.
	DefaultFlags = Mutual | Replay | Sequence | Conf | Integ
)

// Has reports whether f has every flag of want.
func (f Flags) Has(want Flags) bool { return f&want == want }

var flagNames = [...]struct {
	f    Flags
	name string
}{
	{Deleg, "deleg"}, {Mutual, "mutual"}, {Replay, "replay"}, {Sequence, "sequence"}, {Conf, "conf"},
	{Integ, "integ"}, {Anon, "anon"}, {ProtReady, "prot-ready"}, {Trans, "trans"}, {Bound, "bound"},
	{DCEStyle, "dce-style"}, {Identify, "identify"}, {ExtendedErr, "extended-error"}, {DelegPolicy, "deleg-policy"},
}

// String lists the flags by name, "mutual|conf"; "none" if there are none.
func (f Flags) String() string {
	var s []string
	for _, n := range flagNames {
		if f.Has(n.f) {
			s = append(s, n.name)
			f &^= n.f
		}
	}
	if f != 0 {
		s = append(s, fmt.Sprintf("%#x", uint32(f)))
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, "|")
}
