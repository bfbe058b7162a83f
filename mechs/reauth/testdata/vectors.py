#!/usr/bin/env python3
"""Known answers of the key schedule, by an implementation of its own: hashlib, hmac,
and AES-GCM of the package "cryptography". Run in this folder; writes *.json."""

import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


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
