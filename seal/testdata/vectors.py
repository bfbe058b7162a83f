#!/usr/bin/env python3
"""Writes the vectors beside it: messages, grants, presentations and states of package seal,
made without any of its code. Needs the package "cryptography"."""
import hashlib, hmac, json, math, os, struct
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KRB5 = bytes.fromhex("06092a864886f712010202")
PKIX = bytes.fromhex("0615" "69debcb2e3d7cd829785bbefbde3dfccbef34b" "0101")


def H(*p): return hashlib.sha256(b"".join(p)).digest()
def mac(k, *p): return hmac.new(k, b"".join(p), hashlib.sha256).digest()


def expand(prk, info, n):
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = mac(prk, t, info, bytes([i]))
        out, i = out + t, i + 1
    return out[:n]


def block(key, b):
    e = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return e.update(b) + e.finalize()


def gcm(key, aad, p): return AESGCM(key).encrypt(bytes(12), p, aad or None)


def padme(n):
    e = math.floor(math.log2(n))
    m = (1 << (e - math.floor(math.log2(e)) - 1)) - 1
    return (n + m) & ~m


def export(oid, text):
    t = text.encode()
    return b"\x04\x01" + struct.pack(">H", len(oid)) + oid + struct.pack(">I", len(t)) + t


class Keys:
    def __init__(self, root, oid, d):
        s = mac(b"gss seal 1", root, oid)
        self.tag, self.hdr, self.top = (expand(s, (x + " " + d).encode(), 32) for x in ("tag", "hdr", "epochs"))

    def node(self, path):
        k = self.top
        for c in path:
            k = mac(k, bytes([int(c)]))
        return k

    def epoch(self, e): return self.node(format(e, "024b"))

    def cover(self, low, high, path=""):
        """The keys of the fewest nodes that give low to high."""
        first, size = int((path or "0").ljust(24, "0"), 2), 1 << (24 - len(path))
        if first > high or first + size - 1 < low:
            return []
        if first >= low and first + size - 1 <= high:
            return [self.node(path)]
        return self.cover(low, high, path + "0") + self.cover(low, high, path + "1")


def vec16(b): return struct.pack(">H", len(b)) + b


def case(name, d="i2a", oid=KRB5, ends=("alice@EXAMPLE.ORG", "host/bob@EXAMPLE.ORG"), n=0, ms=1790964000000 + 1234567,
         life=3600000, flags=0, relay=None, body=b"", data=b"", mode=None, binding=None, payload=b""):
    root = H(name.encode(), b"1") + H(name.encode(), b"2")
    frm, to = export(oid, ends[0]), export(oid, ends[1])
    k, e, salt = Keys(root, oid, d), ms // 3600000, H(name.encode(), b"salt")[:9]
    size = padme(max(256, 160 + len(body)))
    T = block(k.tag, struct.pack(">Q", n) + bytes(8))
    U = block(k.hdr, struct.pack(">I", e)[1:] + struct.pack(">I", size) + salt)
    v = dict(root=root.hex(), oid=oid.hex(), direction=d, originator=frm.hex(), recipient=to.hex(), n=n, sealedAt=ms,
             lifetime=life, flags=flags, salt=salt.hex(), body=body.hex(), data=data.hex())
    krelay = bytes(32)
    if mode == "derived":
        rroot = H(name.encode(), b"3") + H(name.encode(), b"4")
        kr = Keys(rroot, PKIX, "a2i")
        krelay = expand(kr.epoch(e), b"relay" + T + U + H(frm) + H(to) + struct.pack(">Q", ms + life), 32)
        v.update(relayRoot=rroot.hex(), relayOID=PKIX.hex(), relayDirection="a2i", relayKey=krelay.hex())
    elif mode == "carried":
        krelay = H(name.encode(), b"krelay")
        v.update(relayKey=krelay.hex())
    if mode:
        flags |= 4
    hrelay = bytes(32)
    if relay:
        flags |= 2
        hrelay = H(export(*relay))
        v.update(relay=export(*relay).hex())
    v.update(flags=flags)
    p = bytes([1, flags, 0, 0]) + struct.pack(">IQQQ", len(body), n, ms, ms + life) + H(frm) + H(to) + hrelay + krelay + body
    kc = expand(k.epoch(e), b"msg" + T + U, 64)
    sealed = T + U + kc[32:] + gcm(kc[:32], data, p + bytes(size - len(p)))
    v.update(sealed=sealed.hex())
    if mode:
        carried = krelay if mode == "carried" else b""
        g = (bytes([1, mode == "carried"]) + struct.pack(">I", e)[1:] + struct.pack(">Q", ms + life) + bytes([len(carried)]) + carried
             + vec16(frm) + vec16(to) + struct.pack(">I", len(sealed)) + sealed)
        kind, value = binding
        b = {"context": b"\x01" + value, "bindings": b"\x02" + H(value), "unbound": bytes(33)}[kind]
        r = H(name.encode(), b"r")[:16]
        q = struct.pack(">QI", ms + 1000, len(payload)) + payload
        q += bytes(padme(max(64, len(q))) - len(q))
        proof = r + gcm(expand(krelay, b"proof" + r + H(sealed) + b, 32), b"", q)
        v.update(grant=g.hex(), binding=kind, bindingValue=value.hex(), payload=payload.hex(), proof=proof.hex())
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".json"), "w") as f:
        json.dump(v, f, indent=1)
        f.write("\n")


case("plain-i2a", body=b"hello")
case("plain-a2i", d="a2i", body=b"hello", n=1)
case("empty", body=b"", n=2**32 - 1)
case("lane", n=0xdeadbeef00000007, body=b"x" * 96)
case("long", body=bytes(i % 251 for i in range(3000)), data=b"associated data", life=604800000)
case("pkix", oid=PKIX, ends=("mail:alice@example.org", "svc:host@bob.example.org"), body=b"x" * 97, flags=1, ms=1790963999999)
case("relay-name", relay=(PKIX, "mail:carol@example.org"), body=b"through Carol", flags=1)
case("relay-key-context", mode="derived", body=b"by key", binding=("context", H(b"prf")), payload=b"payload")
case("relay-key-bindings", mode="derived", body=b"by key", flags=1, binding=("bindings", b"tls-exporter:12345"), payload=b"p" * 100,
     relay=(KRB5, "carol@EXAMPLE.ORG"))
case("relay-key-carried", mode="carried", d="a2i", body=b"by key", binding=("unbound", b""))


SKEW, HOUR, DAY = 300_000, 3_600_000, 86_400_000


def state(name, initiator=True, oid=KRB5, ends=("alice@EXAMPLE.ORG", "host/bob@EXAMPLE.ORG"), made=1790964000_123456789,
          expiry=None, first=True, erase=None, life=7 * DAY, lanes=()):
    root = H(name.encode(), b"1") + H(name.encode(), b"2")
    local, peer = export(oid, ends[0]), export(oid, ends[1])
    ms = made // 1_000_000
    end = min(ms + 30 * DAY, expiry or ms + 30 * DAY)
    b = b"gss seal state" + bytes([1, first]) + struct.pack(">QIQ", made // 10**9, made % 10**9, expiry or 2**63 - 1) + oid + vec16(local) + vec16(peer)
    for out in (True, False):
        k = Keys(root, oid, "i2a" if initiator == out else "a2i")
        low, high = (ms // HOUR, end // HOUR) if out else ((ms - SKEW) // HOUR, (end + SKEW) // HOUR)
        if erase:
            low = min(max(low, erase // HOUR if out else (erase - life - SKEW) // HOUR), high + 1)
        b += k.tag + k.hdr + struct.pack(">I", low)[1:] + b"".join(k.cover(low, high))
    b += bytes([len(lanes)]) + b"".join(struct.pack(">II", *l) for l in lanes)
    v = dict(root=root.hex(), oid=oid.hex(), initiator=initiator, local=local.hex(), peer=peer.hex(), established=made, expiry=expiry or 0, first=first,
             erase=erase or 0, lifetime=life, lanes=[list(l) for l in lanes], state=(b + H(b)).hex())
    os.makedirs(os.path.join(os.path.dirname(os.path.abspath(__file__)), "state"), exist_ok=True)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "state", name + ".json"), "w") as f:
        json.dump(v, f, indent=1)
        f.write("\n")


T0 = 1790964000_123
state("fresh")
state("acceptor", initiator=False, first=False)
state("ten-hours", expiry=T0 + 10 * HOUR, ends=("mail:alice@example.org", "svc:host@bob.example.org"), oid=PKIX)
state("later", erase=T0 + 8 * DAY, lanes=[(0, 41), (0xdeadbeef, 2**32 - 1)])
state("short-lived", initiator=False, erase=T0 + 100 * HOUR, life=10_000, lanes=[(7, 0)])
state("sealing-over", expiry=T0 + 10 * HOUR, erase=T0 + 11 * HOUR)
state("over", erase=T0 + 60 * DAY)
