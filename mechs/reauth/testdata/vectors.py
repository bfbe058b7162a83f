#!/usr/bin/env python3
"""Known answers of the key schedule, by an implementation of its own: hashlib, hmac,
and AES and X25519 of the package "cryptography". Run in this folder; writes *.json here and
in introduced."""

import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def H(*p):
    return hashlib.sha256(b"".join(p)).digest()


def mac(k, m):
    return hmac.new(k, m, hashlib.sha256).digest()


def expand(prk, info, n):
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = mac(prk, t + info + bytes([i]))
        out += t
        i += 1
    return out[:n]


def gcm(k, p):
    return AESGCM(k).encrypt(bytes(12), p, None)


def vec8(b):
    return struct.pack(">B", len(b)) + b


def vec16(b):
    return struct.pack(">H", len(b)) + b


def seq(start, n):
    return bytes((start + i) % 256 for i in range(n))


def der(dotted):
    a = [int(x) for x in dotted.split(".")]
    out = b""
    for v in [40 * a[0] + a[1]] + a[2:]:
        g = bytes([v & 127])
        v >>= 7
        while v:
            g = bytes([v & 127 | 128]) + g
            v >>= 7
        out += g
    assert len(out) < 128
    return bytes([6, len(out)]) + out


def exported(oid, text):
    o = der(oid)
    return b"\x04\x01" + vec16(o) + struct.pack(">I", len(text)) + text.encode()


KRB5 = "1.2.840.113554.1.2.2"
MECH = "2.25.62787313445607149380825431900356065739.1.5." + KRB5


def vector(name, group, bindings, share, share2, secret, confirm, app):
    ini, acc = exported(KRB5, "alice@GSS.TEST"), exported(KRB5, "host/files@GSS.TEST")
    prf = seq(0, 64)
    ts = mac(b"gss reauth 1", prf + der(KRB5) + H(ini) + H(acc))
    psk, issue_key = expand(ts, b"psk", 32), expand(ts, b"issue", 32)
    auth_time, end, now = 1700000000000, 1700086400000, 1700000123456
    tf = 1 if bindings else 0
    flags = 0x3e

    def body(psk, issued):
        b = struct.pack(">BBHIQQQ", 1, tf, 0, flags, auth_time, issued, end) + psk + H(acc)
        b += vec8(der(KRB5)) + vec16(ini) + vec16(b"") + vec8(app)
        return b + bytes(512 - len(b))

    rid, rkey = seq(0x40, 8), seq(0x80, 32)

    def ticket(x, b):
        return rid + x + gcm(expand(rkey, b"gss reauth 1 ticket" + rid + x, 32), b)

    tk = ticket(seq(0x10, 24), body(psk, auth_time))
    issue = gcm(issue_key, struct.pack(">QB", end, tf) + tk)

    cbp = 1 if bindings else 0
    cbh = H(b"gss cb 1" + bindings) if bindings else bytes(32)
    es = mac(b"gss reauth 1 \x01", psk)
    head = b"\x11\x01" + bytes([group]) + seq(0xa0, 32) + vec16(tk) + vec16(share)
    th0 = H(der(MECH), head)
    a = struct.pack(">QIB", now, flags, cbp) + cbh + vec16(b"") + vec16(acc)
    a += bytes(-len(a) % 128)
    auth = gcm(expand(es, b"i auth" + th0, 32), a)
    th1 = H(th0, vec16(auth))
    badcb = b"\x15" + gcm(expand(es, b"a alert" + th1, 32), b"\x04" + bytes(15))
    head2 = b"\x12" + bytes([confirm]) + seq(0xc0, 32) + vec16(share2)
    hs = mac(expand(es, b"derived" + th1, 32), secret or bytes(32))
    th2 = H(th1, head2)
    psk2 = expand(hs, b"psk" + th2, 32)
    tk2 = ticket(seq(0x20, 24), body(psk2, now + 5))
    reply = gcm(expand(hs, b"a auth" + th2, 32), struct.pack(">QIQB", now + 5, flags, end, cbp) + cbh + vec16(tk2))
    th3 = H(th2, vec16(reply))
    ms = expand(hs, b"master" + th3, 32)
    confirmation = b"\x13" + mac(expand(ms, b"confirm", 32), th3)
    with open(name + ".json", "w") as f:
        json.dump({
            "group": group, "bindings": bindings.hex(), "app": app.hex(), "secret": secret.hex(),
            "initiator": ini.hex(), "acceptor": acc.hex(), "prf": prf.hex(), "psk": psk.hex(),
            "ringID": rid.hex(), "ringKey": rkey.hex(), "authTime": auth_time, "now": now, "end": end, "flags": flags,
            "ticket": tk.hex(), "issue": issue.hex(), "resume": (head + vec16(auth)).hex(), "badCB": badcb.hex(),
            "resumed": (head2 + vec16(reply)).hex(), "psk2": psk2.hex(), "ticket2": tk2.hex(), "ms": ms.hex(),
            "confirm": confirmation.hex(),
            "prfOut": mac(expand(ms, b"prf", 32), bytes(4) + b"known answer").hex(),
        }, f, indent=1)
        f.write("\n")


vector("symmetric", 0, b"", b"", b"", b"", 0, b"")
vector("symmetric-bindings", 0, b"tls-exporter:" + seq(1, 32), b"", b"", b"", 1, b"groups=staff")
vector("x25519", 1, b"", seq(7, 32), seq(9, 32), seq(11, 32), 1, b"")


# An introduction: the grant, its redemption, and the way back by ticket.

INTRODUCED = "2.25.62787313445607149380825431900356065739.1.6"
PKIX = "2.25.62787313445607149380825431900356065739.1.1"


def ecb(k, b):
    e = Cipher(algorithms.AES(k), modes.ECB()).encryptor()
    return e.update(b) + e.finalize()


def padme(n):
    e = n.bit_length() - 1
    m = (1 << (e - e.bit_length())) - 1
    return (n + m) & ~m


class Direction:
    """The keys of one direction of a context, for sealing."""

    def __init__(self, prf, oid, d):
        s = mac(b"gss seal 1", prf + der(oid))
        self.tag, self.hdr, self.root = (expand(s, x + b" " + d, 32) for x in (b"tag", b"hdr", b"epochs"))

    def epoch(self, e):
        k = self.root
        for i in reversed(range(24)):
            k = mac(k, bytes([e >> i & 1]))
        return k


def grant(ab, ac, alice, bob, carol, n, salt, at, until, body):
    e = at // 3600000
    length = padme(max(256, 160 + len(body)))
    t = ecb(ab.tag, struct.pack(">QQ", n, 0))
    u = ecb(ab.hdr, struct.pack(">I", e)[1:] + struct.pack(">I", length) + salt)
    krelay = expand(ac.epoch(e), b"relay" + t + u + H(alice) + H(bob) + struct.pack(">Q", until), 32)
    p = struct.pack(">BBHIQQQ", 1, 15, 0, len(body), n, at, until) + H(alice) + H(bob) + H(carol) + krelay + body
    p += bytes(length - len(p))
    kc = expand(ab.epoch(e), b"msg" + t + u, 64)
    sealed = t + u + kc[32:] + gcm(kc[:32], p)
    g = struct.pack(">BB", 1, 0) + struct.pack(">I", e)[1:] + struct.pack(">Q", until) + vec8(b"")
    g += vec16(alice) + vec16(bob) + struct.pack(">I", len(sealed)) + sealed
    return g, sealed, expand(krelay, b"gss reauth 1 grant", 32)


def raw(k):
    return k.public_bytes(Encoding.Raw, PublicFormat.Raw)


def resume(kind, psk, cred, ni, nr, private, private2, bindings, who, target, times, end, flags, confirm, ticket):
    """One RESUME and what follows; ticket makes the next one of its secret."""
    i, a = X25519PrivateKey.from_private_bytes(private), X25519PrivateKey.from_private_bytes(private2)
    share, share2 = raw(i.public_key()), raw(a.public_key())
    secret = i.exchange(X25519PublicKey.from_public_bytes(share2))
    cb = struct.pack(">B", 1 if bindings else 0) + (H(b"gss cb 1" + bindings) if bindings else bytes(32))
    es = mac(b"gss reauth 1 " + bytes([kind]), psk)
    head = b"\x11" + bytes([kind, 1]) + ni + vec16(cred) + vec16(share)
    th0 = H(der(INTRODUCED), head)
    a = struct.pack(">QI", times[0], flags) + cb + vec16(who) + vec16(target)
    a += bytes(-len(a) % 128)
    auth = gcm(expand(es, b"i auth" + th0, 32), a)
    th1 = H(th0, vec16(auth))
    badcb = b"\x15" + gcm(expand(es, b"a alert" + th1, 32), b"\x04" + bytes(15))
    head2 = b"\x12" + bytes([confirm]) + nr + vec16(share2)
    hs = mac(expand(es, b"derived" + th1, 32), secret)
    th2 = H(th1, head2)
    psk2 = expand(hs, b"psk" + th2, 32)
    tk = ticket(psk2)
    reply = gcm(expand(hs, b"a auth" + th2, 32), struct.pack(">QIQ", times[1], flags, end) + cb + vec16(tk))
    th3 = H(th2, vec16(reply))
    ms = expand(hs, b"master" + th3, 32)
    return {
        "kind": kind, "private": private.hex(), "psk": psk.hex(), "now": times[0], "bindings": bindings.hex(),
        "resume": (head + vec16(auth)).hex(), "badCB": badcb.hex(), "resumed": (head2 + vec16(reply)).hex(),
        "psk2": psk2.hex(), "ticket2": tk.hex(), "ms": ms.hex(), "confirm": (b"\x13" + mac(expand(ms, b"confirm", 32), th3)).hex(),
        "prfOut": mac(expand(ms, b"prf", 32), bytes(4) + b"known answer").hex(),
    }, psk2, tk


def introduction(name, alice, bob, carol, alice2, mech, mech2, bindings, confirm, body):
    midnight = 946684800000  # 2000-01-01
    prf, prf2 = seq(0, 64), seq(0x80, 64)
    at, until = midnight + 1000, midnight + 3601000
    ab, ac = Direction(prf, mech, b"i2a"), Direction(prf2, mech2, b"a2i")  # Carol initiated
    g, sealed, key = grant(ab, ac, alice, bob, carol, 7 << 32 | 3, seq(0x31, 9), at, until, body)
    who = der(INTRODUCED)
    local = vec16(alice) + vec16(carol)
    local = b"\x04\x01" + vec16(who) + struct.pack(">I", len(local)) + local
    peer = vec16(alice) + vec16(bob)
    peer = b"\x04\x01" + vec16(who) + struct.pack(">I", len(peer)) + peer
    rid, rkey = seq(0x40, 8), seq(0x80, 32)
    redeemed = midnight + 5000
    tf = 6 | (1 if bindings else 0)

    def ticket(x, issued):
        def make(psk):
            b = struct.pack(">BBHIQQQ", 1, tf, 0, 0x3e, redeemed, issued, until) + psk + H(bob)
            b += vec8(der(INTRODUCED)) + vec16(carol) + vec16(alice) + vec8(body)
            return rid + x + gcm(expand(rkey, b"gss reauth 1 ticket" + rid + x, 32), b + bytes(512 - len(b)))
        return make

    first, psk, tk = resume(2, key, sealed, seq(0xa0, 32), seq(0xc0, 32), seq(3, 32), seq(5, 32), bindings, local, bob,
                            (redeemed, redeemed + 5), until, 0x3e, confirm, ticket(seq(0x10, 24), redeemed))
    again, _, _ = resume(1, psk, tk, seq(0xa1, 32), seq(0xc1, 32), seq(7, 32), seq(9, 32), bindings, b"", bob,
                         (redeemed + 60000, redeemed + 60005), until, 0x3e, 1 - confirm, ticket(seq(0x20, 24), redeemed + 60000))
    with open("introduced/" + name + ".json", "w") as f:
        json.dump({
            "introducer": alice.hex(), "recipient": bob.hex(), "introduced": carol.hex(), "introducerToRelay": alice2.hex(),
            "mech": der(mech).hex(), "mechRelay": der(mech2).hex(), "prf": prf.hex(), "prfRelay": prf2.hex(),
            "grant": g.hex(), "sealed": sealed.hex(), "key": key.hex(), "body": body.hex(), "end": until,
            "local": local.hex(), "peer": peer.hex(), "ringID": rid.hex(), "ringKey": rkey.hex(), "authTime": redeemed,
            "flights": [first, again],
        }, f, indent=1)
        f.write("\n")


introduction("krb5", exported(KRB5, "alice@GSS.TEST"), exported(KRB5, "host/files@GSS.TEST"), exported(KRB5, "carol@GSS.TEST"),
             exported(KRB5, "alice@GSS.TEST"), KRB5, KRB5, b"", 1, b"may read")
introduction("krb5-pkix-bindings", exported(KRB5, "alice@GSS.TEST"), exported(KRB5, "host/files@GSS.TEST"),
             exported(PKIX, "mail:carol@example.org"), exported(PKIX, "mail:alice@example.org"), KRB5, PKIX,
             b"tls-exporter:" + seq(1, 32), 0, b"")
