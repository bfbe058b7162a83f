package krb5

import (
	"encoding/binary"
	"slices"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// What an authenticator says in its authorization data, inside AD-IF-RELEVANT: with
// which encryption types the acceptor's subkey may be, if one is better than the
// ticket's session key (RFC 4537), and that the initiator knows of channel bindings
// (MS-KILE §3.2.5.8).

// authData is that for the use of t.
func (h *initiator) authData(t *ticket) []ikrb5.AuthDataEntry {
	var list []ikrb5.AuthDataEntry
	if better := h.m.config.betterThan(t.key.EType()); len(better) > 0 {
		list = append(list, ikrb5.AuthDataEntry{Type: ikrb5.ADETypeNegotiation, Data: ikrb5.AppendETypeList(nil, append(better, t.key.EType()))})
	}
	if (h.opts.Require | h.opts.Request).Has(gss.Bound) {
		list = append(list, ikrb5.AuthDataEntry{Type: ikrb5.ADAPOptions, Data: binary.LittleEndian.AppendUint32(nil, ikrb5.APOptionsCBT)})
	}
	if list == nil {
		return nil
	}
	return []ikrb5.AuthDataEntry{{Type: ikrb5.ADIfRelevant, Data: ikrb5.AppendAuthData(nil, list)}}
}

// betterThan returns the permitted encryption types that are preferred to e.
func (c *Config) betterThan(e ikrb5.EType) []ikrb5.EType {
	list := c.encTypes()
	if i := slices.Index(list, e); i >= 0 {
		return list[:i:i]
	}
	return nil
}

// negotiate returns the encryption type of the acceptor's subkey: the first of the
// initiator's that this side permits too; without such a list, the session key's.
func (c *Config) negotiate(list []ikrb5.AuthDataEntry, session ikrb5.EType) ikrb5.EType {
	for _, v := range ikrb5.IfRelevant(list, ikrb5.ADETypeNegotiation) {
		theirs, err := ikrb5.ParseETypeList(v)
		if err != nil {
			continue
		}
		for _, e := range theirs {
			if e.Supported() && c.permits(e) {
				return e
			}
		}
	}
	return session
}

// knowsBindings reports whether the initiator says that it would have given channel
// bindings if it were on a channel.
func knowsBindings(list []ikrb5.AuthDataEntry) bool {
	return slices.ContainsFunc(ikrb5.IfRelevant(list, ikrb5.ADAPOptions), func(v []byte) bool {
		return len(v) == 4 && binary.LittleEndian.Uint32(v)&ikrb5.APOptionsCBT != 0
	})
}

// otherData returns copies of what is in a ticket's authorization data, also inside
// AD-IF-RELEVANT, but for PACs. What is malformed in there is passed over.
func otherData(list []ikrb5.AuthDataEntry) (out []ikrb5.AuthDataEntry) {
	for _, e := range list {
		inner := []ikrb5.AuthDataEntry{e}
		if e.Type == ikrb5.ADIfRelevant {
			inner, _ = ikrb5.ParseAuthData(e.Data)
		}
		for _, e := range inner {
			if e.Type != ikrb5.ADWin2kPAC {
				out = append(out, ikrb5.AuthDataEntry{Type: e.Type, Data: slices.Clone(e.Data)})
			}
		}
	}
	return out
}
