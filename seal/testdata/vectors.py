#!/usr/bin/env python3
"""Writes the states in the folder beside it, made without any code of package seal."""
import hashlib, hmac, json, os, struct

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
