#!/usr/bin/env python3
"""Writes the known answers of this folder: per-message tokens computed from the
octet tables by Python's hmac and hashlib and the "cryptography" package, which
share no code with the Go implementation.

usage: python3 vectors.py   (in this folder)
"""
import hashlib, hmac, json, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


def expand(name, prk, info, n):  # RFC 5869 §2.3
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = hmac.new(prk, t + info + bytes([i]), name).digest()
        out += t
        i += 1
    return out[:n]


def prf_plus(name, key, data, n):
    out, i = b"", 0
    while len(out) < n:
        out += hmac.new(key, struct.pack(">I", i) + data, name).digest()
        i += 1
    return out[:n]


AEADS = {"AES-256-GCM": AESGCM, "ChaCha20-Poly1305": ChaCha20Poly1305}


def token(hash_, aead, ms, acceptor, typ, seq, msg, ad=b"", na=b""):
    label = b"a2i" if acceptor else b"i2a"
    traffic = expand(hash_, ms, label + na, 44)
    key, iv = traffic[:32], traffic[32:]
    header = bytes([typ]) + na + struct.pack(">Q", seq)
    aad = bytes([acceptor]) + header + struct.pack(">Q", len(ad)) + ad
    nonce = bytes(a ^ b for a, b in zip(iv, b"\0" * 4 + struct.pack(">Q", seq)))
    if typ == 1:
        return header + AEADS[aead](key).encrypt(nonce, msg, aad)
    if typ == 2:
        return header + msg + AEADS[aead](key).encrypt(nonce, b"", aad + msg)
    return header + hmac.new(expand(hash_, ms, b"mic " + label, 32), aad + msg, hash_).digest()


def case(name, hash_, aead, oneway=False, partial=False):
    n = hashlib.new(hash_).digest_size
    ms = bytes((7 * i + len(name)) & 255 for i in range(32))
    na = bytes(range(0xA0, 0xB0)) if oneway else b""
    messages = [(1, b"hello", b""), (2, b"in clear", b""), (4, b"only a MIC", b""), (1, b"", b""),
                (1, b"with associated data", b"header"), (2, b"", b"ad"), (4, b"", b""),
                (1, bytes(i & 255 for i in range(1000)), b"")]
    tokens = []
    for acceptor in (0, 1):
        for seq, (typ, msg, ad) in enumerate(messages):
            t = token(hash_, aead, ms, acceptor, typ, seq, msg, ad, na if acceptor else b"")
            tokens.append({"acceptor": bool(acceptor), "type": typ, "seq": seq, "msg": msg.hex(), "ad": ad.hex(), "token": t.hex()})
    pk = bytes(range(n)) if partial else b""
    prfs = [{"key": 0, "in": i.hex(), "out": prf_plus(hash_, expand(hash_, ms, b"prf", 32), i, k).hex()}
            for i, k in ((b"", 0), (b"", 1), (b"gss seal 1", 64), (b"x" * 100, 500))]
    if partial:
        prfs += [{"key": 1, "in": b"early".hex(), "out": prf_plus(hash_, pk, b"early", 100).hex()}]
    with open(name + ".json", "w") as f:
        json.dump({"hash": hash_, "aead": aead, "oneway": oneway, "ms": ms.hex(), "na": na.hex(),
                   "partial": pk.hex(), "tokens": tokens, "prf": prfs}, f, indent=1)
        f.write("\n")


case("aes256gcm-sha384", "sha384", "AES-256-GCM", partial=True)
case("aes256gcm-sha256", "sha256", "AES-256-GCM")
case("chacha20poly1305-sha256", "sha256", "ChaCha20-Poly1305", partial=True)
case("oneway", "sha256", "AES-256-GCM", oneway=True)
