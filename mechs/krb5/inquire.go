package krb5

import "github.com/gsseal/gss"

// SessionKey implements Context.
func (c *secContext) SessionKey() (etype int32, key []byte, err error) {
	const op = "Inquire_sec_context_by_oid"
	if err := c.usable(op); err != nil {
		return 0, nil, err
	}
	if key = c.key.Bytes(); key == nil {
		return 0, nil, c.fail(op, gss.NoContext)
	}
	return int32(c.key.EType()), key, nil
}

// WrapSizeLimit implements Context.
func (c *secContext) WrapSizeLimit(l gss.Level, limit int) (int, error) {
	const op = "Wrap_size_limit"
	if err := c.usable(op); err != nil {
		return 0, err
	}
	switch {
	case c.old && l == gss.IntegrityOnly:
		return max(limit-c.info.Overhead, 0), nil
	case l == gss.IntegrityOnly:
		return max(limit-headerLen-c.sumLen, 0), nil
	case l != gss.Confidential:
		return 0, c.fail(op, gss.BadQOP)
	case !c.info.Flags.Has(gss.Conf):
		return 0, c.fail(op, gss.Unavailable)
	}
	if c.old {
		return max(limit-c.info.Overhead, 0), nil
	}
	return max(limit-2*headerLen-c.key.Overhead(), 0), nil
}
