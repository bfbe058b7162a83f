package krb5

import "encoding/binary"

// MaxS2KIterations is the most that StringToKey does, about a second of work: the
// count comes from whoever answers for the KDC, before anything is authenticated.
const MaxS2KIterations = 1 << 20

// S2KIterations returns what params, an s2kparams of RFC 4120 §5.2.7.5, ask for
// with keys of e: four octets (RFC 3962 §4, RFC 8009 §4), or none for the
// default. Errors: ErrEType; ErrS2KParams for another length, for zero (2³² in
// RFC 3962) and for more than MaxS2KIterations. A low count is no error here: it
// weakens only the passwords of a caller who accepts it.
func S2KIterations(e EType, params []byte) (int, error) {
	p := e.profile()
	switch {
	case p == nil, p.iterations == 0:
		return 0, ErrEType
	case len(params) == 0:
		return p.iterations, nil
	case len(params) != 4:
		return 0, ErrS2KParams
	}
	n := binary.BigEndian.Uint32(params)
	if n == 0 || n > MaxS2KIterations {
		return 0, ErrS2KParams
	}
	return int(n), nil
}

// StringToKey makes a key of a password and a salt, RFC 3961 §3. params are as in
// S2KIterations, whose errors it returns; ErrEType also if e is Legacy.
func StringToKey(e EType, password, salt string, params []byte) (*Key, error) {
	if e.Legacy() {
		return nil, ErrEType
	}
	return stringToKey(e, password, salt, params)
}

func stringToKey(e EType, password, salt string, params []byte) (*Key, error) {
	n, err := S2KIterations(e, params)
	if err != nil {
		return nil, err
	}
	if !e.Supported() && !e.Legacy() {
		return nil, ErrEType
	}
	p := e.profile()
	k, err := p.suite.stringToKey(p, password, salt, n)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	return NewAnyKey(e, k)
}
