package krb5

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// How long one KDC is given, on top of what the caller's context allows.
const (
	dialTimeout  = 3 * time.Second
	replyTimeout = 10 * time.Second
)

const (
	maxReply    = 1 << 20 // octets; a ticket with a large PAC takes 64 KiB
	maxDatagram = 1400    // octets of a request by UDP
	maxKDCs     = 16      // of a realm
)

// askKDC sends a request to realm's KDCs, one after the other until one answers,
// and returns the reply of that one. A KRB-ERROR is returned as the error, but for
// those that say that this KDC is of no use now, or not by UDP, where the reply does not
// fit: then the next one is asked.
func (m *Mech) askKDC(ctx context.Context, realm string, req *ikrb5.KDCReq) (*ikrb5.KDCRep, error) {
	kdcs, err := m.kdcs(ctx, realm)
	if err != nil {
		return nil, err
	}
	msg := req.Append(nil)
	for _, kdc := range kdcs {
		var reply []byte
		if reply, err = m.askOne(ctx, kdc, msg); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		if kerr, bad := ikrb5.ParseKRBError(reply); bad == nil {
			if err = kerr; kerr.Code == ikrb5.KDC_ERR_SVC_UNAVAILABLE || kerr.Code == ikrb5.KRB_ERR_RESPONSE_TOO_BIG {
				continue
			}
			return nil, err
		}
		var rep *ikrb5.KDCRep
		if rep, err = ikrb5.ParseKDCRep(reply); err == nil {
			return rep, nil
		}
	}
	return nil, err
}

// kdcs returns where realm's KDCs are: what the configuration says, or else DNS.
func (m *Mech) kdcs(ctx context.Context, realm string) ([]string, error) {
	if list := m.config.KDCs[realm]; len(list) > 0 {
		return list[:min(len(list), maxKDCs)], nil
	}
	if !m.config.LookupKDC {
		return nil, fmt.Errorf("krb5: no KDC of realm %q is known", realm)
	}
	var out []string
	var err error
	for _, proto := range []string{"tcp", "udp"} {
		var srvs []*net.SRV // of the realm's name as it is, without the host's search list
		if _, srvs, err = m.resolver.LookupSRV(ctx, "kerberos", proto, realm+"."); err != nil {
			continue
		}
		for _, s := range srvs[:min(len(srvs), maxKDCs)] {
			if s.Target == "." { // RFC 2782
				err = errors.New("DNS says that there is none")
				continue
			}
			out = append(out, proto+"/"+net.JoinHostPort(strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port))))
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, fmt.Errorf("krb5: no KDC of realm %q was found: %w", realm, err)
}

// askOne speaks TCP, and UDP if the configuration says so or nobody listens on
// TCP: a ticket rarely fits in a datagram, and a connection cannot be forged blindly.
func (m *Mech) askOne(ctx context.Context, kdc string, msg []byte) ([]byte, error) {
	proto, addr, ok := strings.Cut(kdc, "/")
	if !ok {
		proto, addr = "", kdc
	}
	addr, err := withPort(addr)
	if err != nil {
		return nil, err
	}
	switch proto {
	case "tcp":
		return m.askTCP(ctx, addr, msg)
	case "udp":
		return m.askUDP(ctx, addr, msg)
	case "":
		reply, err := m.askTCP(ctx, addr, msg)
		if errors.Is(err, syscall.ECONNREFUSED) && len(msg) <= maxDatagram {
			return m.askUDP(ctx, addr, msg)
		}
		return reply, err
	}
	return nil, fmt.Errorf("krb5: KDC %q: unknown transport", kdc)
}

// withPort adds Kerberos' port, 88, to "host", "::1" and "[::1]".
func withPort(addr string) (string, error) {
	if host, _, err := net.SplitHostPort(addr); err == nil && host != "" { // without one it would be this host
		return addr, nil
	}
	host := strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	if host == "" || strings.ContainsAny(host, "[]/ ") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", fmt.Errorf("krb5: KDC %q: not an address", addr)
	}
	return net.JoinHostPort(host, "88"), nil
}

// dial connects, and makes ctx bound whatever is done with the connection.
func (m *Mech) dial(ctx context.Context, network, addr string) (net.Conn, func(), error) {
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := m.dialer(dctx, network, addr)
	if err != nil {
		return nil, nil, err
	}
	c.SetDeadline(time.Now().Add(replyTimeout))
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	return c, func() { stop(); c.Close() }, nil
}

// askTCP sends and receives u32 length | message, RFC 4120 §7.2.2.
func (m *Mech) askTCP(ctx context.Context, addr string, msg []byte) ([]byte, error) {
	c, hangUp, err := m.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)); err != nil {
		return nil, ioError(ctx, err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, ioError(ctx, err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxReply {
		return nil, fmt.Errorf("krb5: KDC %s: a reply of %d octets", addr, n)
	}
	var reply bytes.Buffer // grows with what comes
	if _, err := io.CopyN(&reply, c, int64(n)); err != nil {
		return nil, ioError(ctx, err)
	}
	return reply.Bytes(), nil
}

// askUDP sends a datagram again and again until another comes, RFC 4120 §7.2.1.
func (m *Mech) askUDP(ctx context.Context, addr string, msg []byte) ([]byte, error) {
	c, hangUp, err := m.dial(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	reply := make([]byte, 1<<16)
	for wait := time.Second; ; wait *= 2 {
		if _, err := c.Write(msg); err != nil {
			return nil, ioError(ctx, err)
		}
		c.SetReadDeadline(time.Now().Add(wait))
		if ctx.Err() != nil { // whose end the line above may have undone
			return nil, ctx.Err()
		}
		n, err := c.Read(reply)
		if err == nil {
			return reply[:n], nil
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || wait >= 4*time.Second || ctx.Err() != nil {
			return nil, ioError(ctx, err)
		}
	}
}

// ioError prefers the context's reason to the deadline that it caused.
func ioError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
