package krb5

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// maxPassword bounds a new password, octets.
const maxPassword = 4096

var errPasswordReply = errors.New("krb5: the password server's reply is malformed or not for this request")

// Results of a change, RFC 3244 §2.
const (
	passwordChanged      = 0
	passwordSoftError    = 4 // refused, by policy as a rule
	passwordAccessDenied = 5
)

// ChangePassword gives cred's principal another password, RFC 3244: what kpasswd does.
// cred is of a password, or of a keytab whose keys stop being good by it; it is not
// changed. An expired password can be changed too. It asks Config.PasswordServers, or
// else port 464 of the realm's KDCs, by TCP.
//
// Errors: NoCred (a wrong old password, a credential without one); Unauthorized if the
// new password is refused, with the server's reason in the text; Unavailable, Failure. If
// there is no reply the password may have been changed or not.
func (m *Mech) ChangePassword(ctx context.Context, cred *Credential, password string) error {
	h := cred.Handle()
	if h == nil {
		return passwordError(gss.NoCred, 0, errClosed)
	}
	defer h.Close()
	if password == "" || len(password) > maxPassword {
		return passwordError(gss.Failure, 0, errors.New("krb5: an empty password, or one too long"))
	}
	realm := h.shared.principal.Realm
	server := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: ikrb5.NTPrincipal, Components: []string{"kadmin", "changepw"}}, Realm: realm}
	body := m.requestBody(server)
	body.Till = time.Now().Add(5 * time.Minute)
	t, err := m.initialTicket(ctx, h.shared, body)
	if err != nil {
		e := acquireError(kdcError(err)).(*gss.Error)
		e.Op = "Change_password"
		return e
	}
	defer t.key.Erase()
	servers, err := m.passwordServers(ctx, realm)
	for _, addr := range servers {
		if err = m.changePassword(ctx, addr, h.shared.principal, t, password); err == nil {
			return nil
		}
		if _, answered := err.(*gss.Error); answered || ctx.Err() != nil {
			break
		}
	}
	if e, ok := err.(*gss.Error); ok {
		return e
	}
	return passwordError(gss.Failure, 0, err)
}

func passwordError(m gss.Major, minor uint32, err error) *gss.Error {
	return &gss.Error{Op: "Change_password", Mech: oid.Krb5, Major: m, Minor: minor, Err: err}
}

// passwordServers returns the addresses of realm's password servers.
func (m *Mech) passwordServers(ctx context.Context, realm string) ([]string, error) {
	list := m.config.PasswordServers[realm]
	var out []string
	for _, s := range list[:min(len(list), maxKDCs)] {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(s, "464")
		}
		out = append(out, s)
	}
	if len(out) > 0 {
		return out, nil
	}
	kdcs, err := m.kdcs(ctx, realm)
	if err != nil {
		return nil, err
	}
	for _, k := range kdcs {
		if i := bytes.IndexByte([]byte(k), '/'); i >= 0 {
			k = k[i+1:]
		}
		if k, err = withPort(k); err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(k)
		out = append(out, net.JoinHostPort(host, "464"))
	}
	return out, nil
}

// changePassword makes one exchange, whose messages are, behind their length in four
// octets,
//
//	u16 length of all | u16 version | u16 length of AP-REQ or AP-REP | that | KRB-PRIV
//
// The reply has no AP-REP, and a KRB-ERROR in place of KRB-PRIV, if the server does
// not believe the AP-REQ. Version 1 changes one's own password, which is what KRB-PRIV
// holds.
func (m *Mech) changePassword(ctx context.Context, addr string, client ikrb5.Principal, t *ticket, password string) error {
	conn, hangUp, err := m.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer hangUp()
	subkey, err := ikrb5.RandomKey(t.key.EType())
	if err != nil {
		return err
	}
	defer subkey.Erase()
	stamp, seq := m.stamp(), nonce()>>1
	apReq, err := passwordAPReq(client, t, subkey, stamp, seq)
	if err != nil {
		return err
	}
	part := ikrb5.EncPrivPart{UserData: []byte(password), SeqNumber: seq, HasSeq: true, SAddress: hostAddress(conn.LocalAddr())}
	plain := part.Append(nil)
	clear(part.UserData)
	defer clear(plain)
	cipher, err := subkey.Encrypt(nil, plain, ikrb5.UsagePrivEncPart)
	if err != nil {
		return err
	}
	priv := (&ikrb5.Priv{EncPart: ikrb5.EncryptedData{EType: subkey.EType(), Cipher: cipher}}).Append(nil)
	n := 6 + len(apReq) + len(priv)
	if n > 1<<16-1 {
		return errors.New("krb5: the ticket is too long to change a password with")
	}
	msg := binary.BigEndian.AppendUint32(nil, uint32(n))
	for _, v := range []int{n, 1, len(apReq)} {
		msg = binary.BigEndian.AppendUint16(msg, uint16(v))
	}
	if _, err := conn.Write(append(append(msg, apReq...), priv...)); err != nil {
		return ioError(ctx, err)
	}
	reply, err := readPasswordReply(conn)
	if err != nil {
		return ioError(ctx, err)
	}
	return openPasswordReply(reply, t.key, subkey, stamp)
}

func passwordAPReq(client ikrb5.Principal, t *ticket, subkey *ikrb5.Key, stamp time.Time, seq uint32) ([]byte, error) {
	value := ikrb5.EncryptionKey{EType: subkey.EType(), Value: subkey.Bytes()}
	defer value.Erase()
	auth := ikrb5.Authenticator{
		CRealm: client.Realm, CName: client.Name, CTime: stamp.Truncate(time.Second), CUsec: stamp.Nanosecond() / 1000,
		Subkey: &value, SeqNumber: seq, HasSeq: true,
	}
	plain := auth.Append(nil)
	defer clear(plain)
	cipher, err := t.key.Encrypt(nil, plain, ikrb5.UsageAPReqAuth)
	if err != nil {
		return nil, err
	}
	req := ikrb5.APReq{Options: ikrb5.APMutualRequired, RawTicket: t.raw, Authenticator: ikrb5.EncryptedData{EType: t.key.EType(), Cipher: cipher}}
	return req.Append(nil), nil
}

func hostAddress(a net.Addr) ikrb5.HostAddress {
	tcp, _ := a.(*net.TCPAddr)
	if tcp == nil {
		return ikrb5.HostAddress{Type: 2, Address: make([]byte, 4)}
	}
	if ip := tcp.IP.To4(); ip != nil {
		return ikrb5.HostAddress{Type: 2, Address: ip} // RFC 4120 §7.5.3
	}
	return ikrb5.HostAddress{Type: 24, Address: tcp.IP.To16()}
}

func readPasswordReply(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > 1<<16-1 {
		return nil, errPasswordReply
	}
	var reply bytes.Buffer // grows with what comes
	_, err := io.CopyN(&reply, r, int64(n))
	return reply.Bytes(), err
}

// openPasswordReply returns nil if the password was changed, and a *gss.Error if the server
// says that it was not.
func openPasswordReply(reply []byte, session, subkey *ikrb5.Key, stamp time.Time) error {
	if e, err := ikrb5.ParseKRBError(reply); err == nil {
		return refusedPassword(e)
	}
	if len(reply) < 6 || int(binary.BigEndian.Uint16(reply)) != len(reply) || binary.BigEndian.Uint16(reply[2:]) != 1 {
		return errPasswordReply
	}
	n := int(binary.BigEndian.Uint16(reply[4:]))
	if n > len(reply)-6 {
		return errPasswordReply
	}
	ap, rest := reply[6:6+n], reply[6+n:]
	if n == 0 {
		e, err := ikrb5.ParseKRBError(rest)
		if err != nil {
			return errPasswordReply
		}
		return refusedPassword(e)
	}
	keys := []*ikrb5.Key{subkey}
	seq, theirs, err := openPasswordAPRep(ap, session, stamp)
	if err != nil {
		return err
	}
	if theirs != nil {
		defer theirs.Erase()
		keys = append(keys, theirs)
	}
	priv, err := ikrb5.ParsePriv(rest)
	if err != nil {
		return errPasswordReply
	}
	for _, k := range keys {
		plain, err := k.Decrypt(nil, priv.EncPart.Cipher, ikrb5.UsagePrivEncPart)
		if err != nil || priv.EncPart.EType != k.EType() {
			continue
		}
		part, err := ikrb5.ParseEncPrivPart(plain)
		// The server's number, so that it is not what this side has sent.
		if err != nil || len(part.UserData) < 2 || !part.HasSeq || part.SeqNumber != seq {
			return errPasswordReply
		}
		return passwordResult(part.UserData)
	}
	return errPasswordReply
}

// openPasswordAPRep makes sure that the reply is to this request; it returns the server's
// sequence number and its subkey, nil if there is none.
func openPasswordAPRep(msg []byte, session *ikrb5.Key, stamp time.Time) (seq uint32, subkey *ikrb5.Key, err error) {
	rep, err := ikrb5.ParseAPRep(msg)
	if err != nil || rep.EncPart.EType != session.EType() {
		return 0, nil, errPasswordReply
	}
	plain, err := session.Decrypt(nil, rep.EncPart.Cipher, ikrb5.UsageAPRepEnc)
	if err != nil {
		return 0, nil, errPasswordReply
	}
	defer clear(plain)
	part, err := ikrb5.ParseEncAPRepPart(plain)
	if err != nil {
		return 0, nil, errPasswordReply
	}
	if part.Subkey != nil {
		defer part.Subkey.Erase()
	}
	if !sameStamp(part.CTime, part.CUsec, stamp) || !part.HasSeq {
		return 0, nil, errPasswordReply
	}
	if part.Subkey == nil {
		return part.SeqNumber, nil, nil
	}
	subkey, err = part.Subkey.Key()
	return part.SeqNumber, subkey, err
}

// passwordResult reads u16 result and text.
func passwordResult(data []byte) error {
	code := binary.BigEndian.Uint16(data)
	err := fmt.Errorf("krb5: the server says %d: %.300q", code, data[2:])
	switch code {
	case passwordChanged:
		return nil
	case passwordSoftError, passwordAccessDenied:
		return passwordError(gss.Unauthorized, uint32(code), err)
	}
	return passwordError(gss.Failure, uint32(code), err)
}

// refusedPassword is what a KRB-ERROR says, which nobody signed.
func refusedPassword(e *ikrb5.KRBError) error {
	err := passwordError(gss.Failure, uint32(e.Code), e)
	err.Remote = true
	return err
}
