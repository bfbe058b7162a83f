#!/usr/bin/env python3
"""Writes the test vectors beside it. This is an implementation of docs/seal.md of its
own: it shares no code with package seal. Needs the package "cryptography".

A vector is a header of "key: value" lines, an empty line, and the octets that the
recipient (or, of a grant, the relay) gets, in hex. Octets in the header are hex, times
Unix milliseconds, names exported ones. Keys:

  expect        success, or the GSS-API status; cause: more about it, where there is more
  comment       what is particular
  kind          message, stream or grant
  twice         the recipient gets it twice, and "expect" is of the second time
  prf           what the PRF of the recipient's context gives for "gss seal 1"
  mech, role    the mechanism's OID in DER, and whether the recipient initiated it
  local, peer   the recipient's and the originator's name
  established, expiry  of the context; default: now, never
  now           the recipient's clock
  data, require, max-age, limit, unbound, bindings, relay-name, relay-prf
                what the recipient's application gives: associated data, claims that it
                requires, ms, the longest life that it admits in ms, whether it takes
                proofs bound to no channel, channel bindings, names of who hands it
                over, and what the PRF of its context with the relay gives for
                "gss seal present 1"
  body (or body-sha256), payload, claims, n, sealed-at, until, strike-key
                what it learns
  salt, lifetime, secret, relay, grant, via-prf, via-mech, via-role
                what the originator gives to make just these octets; of its context
                with the relay, if they derive the relay key, as that end has it
  relay-key, sealed  what the relay learns of a grant
"""
import hashlib, hmac, os, struct
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = os.path.dirname(os.path.abspath(__file__))
HOUR, SKEW, DAY = 3600000, 300000, 86400000
KRB5 = bytes.fromhex("06092a864886f712010202")
ALT = bytes.fromhex("06062b0601050205")  # another mechanism; its OID is that of another thing, which does not matter
ONE, NAME, KEY, INTRO, STREAM = 1, 2, 4, 8, 16
names = set()


# The primitives.

def H(*p): return hashlib.sha256(b"".join(p)).digest()
def mac(k, *p): return hmac.new(k, b"".join(p), hashlib.sha256).digest()
def u(n, octets): return (n % (1 << 8 * octets)).to_bytes(octets, "big")


def expand(prk, info, n):
    t = out = b""
    for i in range(1, -(-n // 32) + 1):
        t = mac(prk, t, info, bytes([i]))
        out += t
    return out[:n]


def aes(key, b):
    e = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return e.update(b) + e.finalize()


def gcm(key, p, aad=b"", nonce=bytes(12)): return AESGCM(key).encrypt(nonce, p, aad or None)


def padme(n):
    """Clears as many of the low bits as E - S says, upwards."""
    e = n.bit_length() - 1
    step = 1 << (e - e.bit_length())
    return -(-n // step) * step


def name(text, oid=KRB5): return b"\x04\x01" + u(len(oid), 2) + oid + u(len(text), 4) + text.encode()


# Keys and messages.

class Keys:
    def __init__(self, prf, oid=KRB5, d=b"i2a"):
        s = mac(b"gss seal 1", prf, oid)
        self.tag, self.hdr, self.top = (expand(s, x + d, 32) for x in (b"tag ", b"hdr ", b"epochs "))

    def epoch(self, e):
        k = self.top
        for i in range(23, -1, -1):
            k = mac(k, bytes([e >> i & 1]))
        return k

    def tu(self, n, e, l, salt, low=bytes(8)):
        return aes(self.tag, u(n, 8) + low) + aes(self.hdr, u(e, 3) + u(l, 4) + salt)

    def box(self, tu, e, p, aad):
        kc = expand(self.epoch(e), b"msg" + tu, 64)
        return tu + kc[32:] + gcm(kc[:32], p, aad)


PRF, VIA = H(b"1") + H(b"2"), H(b"3") + H(b"4")
ALICE, BOB, CAROL, DAVE = (name(x + "@EXAMPLE.ORG") for x in ("alice", "host/bob", "carol", "dave"))
T0 = 1790964000000 + 1234567
SALT = b"saltsalt!"


def header(h, body):
    return (bytes([h["version"], h["flags"]]) + u(h["reserved"], 2) + u(h["length"], 4) + u(h["n"], 8) + u(h["at"], 8) + u(h["until"], 8)
            + h["originator"] + h["recipient"] + h["hrelay"] + h["hkey"] + body)


class Message:
    """A sealed message; keyword arguments override what is right."""

    def __init__(self, body=b"hello", prf=PRF, oid=KRB5, d=b"i2a", ends=(ALICE, BOB), n=0, at=T0, life=HOUR, flags=0, relay=None, data=b"",
                 salt=SALT, via=None, carried=None, pad=None, e=None, l=None, low=bytes(8), **wrong):
        k = Keys(prf, oid, d)
        self.ends, self.n, self.at, self.until, self.salt, self.body = ends, n, at, at + life, salt, body
        self.e = at // HOUR if e is None else e
        size = padme(max(256, 160 + len(body)))
        if pad is not None:
            size = 160 + len(body) + len(pad)
        tu = k.tu(n, self.e, size if l is None else l, salt, low)
        self.key = None
        if via:
            self.key = expand(Keys(*via).epoch(self.e), b"relay" + tu + H(ends[0]) + H(ends[1]) + u(self.until, 8), 32)
        elif carried:
            self.key = carried
        flags |= (KEY if self.key else 0) | (NAME if relay else 0)
        h = dict(version=1, flags=flags, reserved=0, length=len(body), n=n, at=at, until=self.until, originator=H(ends[0]), recipient=H(ends[1]),
                 hrelay=H(relay) if relay else bytes(32), hkey=self.key or bytes(32))
        h.update(wrong)
        self.flags = h["flags"]
        p = header(h, body)
        self.octets = k.box(tu, self.e, p + (bytes(size - len(p)) if pad is None else pad), data)
        self.derived = via is not None
        self.how = dict(salt=salt, lifetime=life, relay=relay)
        if via:
            vprf, vmech, vd = via
            self.how.update(via_prf=vprf, via_mech=vmech, via_role="acceptor" if vd == b"a2i" else "initiator")
        if self.key:
            self.how.update(grant=self.grant())

    def grant(self, **wrong):
        g = dict(version=1, mode=0 if self.derived else 1, e=self.e, until=self.until, key=b"" if self.derived else self.key, originator=self.ends[0],
                 recipient=self.ends[1], sealed=self.octets)
        g.update(wrong)
        return (bytes([g["version"], g["mode"]]) + u(g["e"], 3) + u(g["until"], 8) + bytes([len(g["key"])]) + g["key"]
                + u(len(g["originator"]), 2) + g["originator"] + u(len(g["recipient"]), 2) + g["recipient"] + u(len(g["sealed"]), 4) + g["sealed"])

    def proof(self, kind, value=b"", payload=b"", time=None, key=None, digest=None, r=H(b"r")[:16], q=None):
        b = {"context": b"\x01" + value, "bindings": b"\x02" + H(value), "unbound": bytes(33)}[kind]
        if q is None:
            q = u(self.at + 1000 if time is None else time, 8) + u(len(payload), 4) + payload
            q += bytes(padme(max(64, len(q))) - len(q))
        return r + gcm(expand(key or self.key, b"proof" + r + H(digest or self.octets) + b, 32), q)


# Files.

def emit(file, expect, comment, octets, cause=None, kind="message", **kv):
    assert file not in names, file
    names.add(file)
    head = dict(expect=expect, cause=cause, comment=comment, kind=kind)
    head.update(kv)
    with open(os.path.join(HERE, file + ".txt"), "w") as f:
        for k, v in head.items():
            for x in v if isinstance(v, list) else [v]:
                if x is not None:
                    f.write("%s: %s\n" % (k.replace("_", "-"), x.hex() if isinstance(x, bytes) else x))
        f.write("\n")
        s = octets.hex()
        for i in range(0, len(s), 128):
            f.write(s[i:i + 128] + "\n")


def bob(m, **kv):
    """What the recipient has."""
    v = dict(prf=PRF, mech=KRB5, role="acceptor", local=m.ends[1] if m else BOB, peer=m.ends[0] if m else ALICE, now=T0 + 1000)
    v.update(kv)
    return v


def good(file, comment, m, proof=b"", payload=None, chunks=b"", until=None, make=True, how=None, **kv):
    v = bob(m, claims="%02x" % m.flags, n=m.n, sealed_at=m.at, until=m.until if until is None else until, strike_key=H(b"gss seal strike 1", m.octets[:64]))
    if "kind" not in kv:
        v.update(body=m.body)
    if payload is not None:
        v.update(payload=payload)
    if make:
        v.update(m.how)
    v.update(kv)
    emit(file, "success", comment, m.octets + proof + chunks, **v)


def bad(file, expect, comment, octets, cause=None, m=None, **kv):
    emit(file, expect, comment, octets, cause, **bob(m, **kv))


# Known answer.
prf = bytes(range(64))
k = Keys(prf)
p = b"\x01" + bytes(159) + b"hello" + bytes(91)
m = k.box(k.tu(7, 497490, 256, SALT), 497490, p, b"")
assert H(m).hex() == "783e77768b3622c8f1fb60b097dab06286d91a2e6827f2acb30567753637f125"
bad("known-answer", "DefectiveToken", "the known answer of the specification: authentic, but its header is not one", m, prf=prf, now=497490 * HOUR)

# Both directions, sizes, claims, numbers, times.
good("plain-i2a", "from the initiator", Message())
good("plain-a2i", "from the acceptor", Message(d=b"a2i", ends=(BOB, ALICE), n=1), role="initiator")
for n in (0, 1, 95, 96, 97, 112, 113, 351, 352, 353, 864, 865, 5000):
    good("body-%d" % n, "L = %d" % padme(max(256, 160 + n)), Message(body=bytes(i % 251 for i in range(n))))
good("other-mechanism", "the OID is part of the keys", Message(oid=ALT, ends=(name("alice", ALT), name("bob", ALT))), mech=ALT)
bad("other-oid", "BadMIC", "another mechanism's context with the same PRF", Message(oid=ALT).octets)
good("one-time", "flag 01", Message(flags=ONE))
good("one-time-required", "flag 01, required", Message(flags=ONE), require="01")
good("data", "associated data", Message(data=b"data"), data=b"data")
good("data-that-looks-like-a-stream", "associated data is the application's", Message(data=b"gss seal stream 1"), data=b"gss seal stream 1")
bad("data-absent", "BadMIC", "associated data is not given", Message(data=b"data").octets)
bad("data-other", "BadMIC", "other associated data", Message(data=b"data").octets, data=b"dat")
good("lane", "a lane other than 0", Message(n=0xdeadbeef00000007))
good("lane-last", "the last of a lane", Message(n=2**32 - 1))
good("number-last", "all bits", Message(n=2**64 - 1))
good("hour-first", "the first ms of an hour", Message(at=T0 // HOUR * HOUR), now=T0 // HOUR * HOUR)
good("hour-last", "the last ms of an hour", Message(at=T0 // HOUR * HOUR + HOUR - 1), now=T0 // HOUR * HOUR + HOUR - 1)
good("life-shortest", "1 ms", Message(life=1))
good("life-longest", "7 days", Message(life=7 * DAY))
good("salt-zero", "salt is whatever it is", Message(salt=bytes(9)))
good("twice", "not one-time: it opens again", Message(), twice="yes", make=False)

# Time.
for file, comment, now, kv in (
        ("expiry-last", "the last ms, Skew included", T0 + HOUR + SKEW, {}),
        ("limit-last", "the last ms by the recipient's own limit", T0 + 60000 + SKEW, dict(limit=60000, until=T0 + 60000)),
        ("max-age-last", "the last ms by the caller's limit", T0 + 1000 + SKEW, dict(max_age=1000, until=T0 + 1000)),
        ("max-age-long", "a limit beyond not-after changes nothing", T0 + HOUR + SKEW, dict(max_age=DAY))):
    good(file, comment, Message(), established=T0, **dict(dict(now=now, make=False), **kv))
    if "long" not in file:
        kv.pop("until", None)
        bad(file.replace("last", "after"), "OldToken", comment + ", and 1 more", Message().octets, "ErrExpired", established=T0, now=now + 1, **kv)
good("future-last", "sealed Skew later than now", Message(), now=T0 - SKEW, make=False)
bad("future-after", "OldToken", "and 1 ms more", Message().octets, "ErrNotYet", now=T0 - SKEW - 1)
bad("future-days", "OldToken", "sealed in days", Message(at=T0 + 5 * DAY).octets, "ErrNotYet")
good("context-last", "sealed when the context ended, and Skew", Message(at=T0 + SKEW), expiry=T0, now=T0 + 1, established=T0, make=False)
bad("context-after", "ContextExpired", "and 1 ms more", Message(at=T0 + SKEW + 1).octets, expiry=T0, now=T0 + 1, established=T0)
edge = T0 // HOUR * HOUR
good("established-before", "sealed before the context was there by the recipient's clock, in the hour that Skew reaches", Message(at=edge - 1),
     established=edge + SKEW - 1, now=edge + SKEW - 1, make=False)
bad("erased", "OldToken", "an hour whose key is not there", Message(at=edge - 1).octets, "ErrErased", established=edge + SKEW, now=edge + SKEW)
bad("erased-garbage", "OldToken", "and whatever follows T and U", Message(at=edge - 1).octets[:32] + bytes(304), "ErrErased", established=edge + SKEW, now=edge + SKEW)
bad("epoch-beyond", "BadMIC", "an hour beyond the context's last", Message(at=edge + HOUR).octets, expiry=edge + HOUR - SKEW - 1, established=T0)

# What is not a message.
g = Message().octets
for file, comment, o in (
        ("empty", "nothing", b""), ("short", "an octet too few", g[:335]), ("zeros", "zeros", bytes(336)), ("garbage", "garbage", expand(H(b"g"), b"", 336)),
        ("long", "an octet more", g + b"\0"), ("twofold", "a message behind it", g + g), ("shifted", "without its first octet", g[1:] + b"\0"),
        ("bit-t", "a bit of T", bytes([g[0] ^ 1]) + g[1:]), ("bit-u", "a bit of U", g[:16] + bytes([g[16] ^ 1]) + g[17:]),
        ("bit-c", "a bit of C", g[:63] + bytes([g[63] ^ 128]) + g[64:]), ("bit-header", "a bit of the header", g[:64] + bytes([g[64] ^ 1]) + g[65:]),
        ("bit-body", "a bit of the body", g[:224] + bytes([g[224] ^ 1]) + g[225:]), ("bit-padding", "a bit of the padding", g[:319] + bytes([g[319] ^ 1]) + g[320:]),
        ("bit-tag", "a bit of the tag", g[:335] + bytes([g[335] ^ 1])),
        ("t-low", "T of what is not n and 8 zeros", Message(low=bytes(7) + b"\1").octets), ("t-low-first", "as before", Message(low=b"\x80" + bytes(7)).octets),
        ("l-255", "L too short", Message(l=255).octets), ("l-zero", "L = 0", Message(l=0).octets), ("l-240", "L of PADMÉ, but too short", Message(l=240, pad=bytes(75)).octets + bytes(16)),
        ("l-257", "L is not PADMÉ's", Message(pad=bytes(92)).octets), ("l-272", "L longer than the message", Message(l=272).octets),
        ("l-2g", "L = 2^31", Message(l=1 << 31).octets), ("l-4g", "L = 2^32 - 1", Message(l=2**32 - 1).octets),
        ("own-direction", "what the recipient itself sealed, reflected", Message(d=b"a2i", ends=(BOB, ALICE)).octets),
        ("other-context", "of another context", Message(prf=VIA).octets),
        ("mixed", "T and U of one message, the rest of another", Message(n=1).octets[:32] + g[32:]),
        ("mixed-u", "U of another message", g[:16] + Message(n=1, salt=b"othersalt").octets[16:32] + g[32:]),
        ("mixed-c", "C of another message", g[:32] + Message(n=1).octets[32:64] + g[64:])):
    bad("not-" + file, "BadMIC", comment, o)

# Authentic, and no sender makes it.
hc = H(CAROL)
for file, comment, wrong in (
        ("version-0", "version 0", dict(version=0)), ("version-2", "version 2", dict(version=2)),
        ("flag-20", "an unknown flag", dict(flags=0x20)), ("flag-40", "an unknown flag", dict(flags=0x40)), ("flag-80", "an unknown flag", dict(flags=0x80)),
        ("flags-08", "an introduction without the others", dict(flags=8)), ("flags-0e", "not one-time", dict(flags=0xe, hrelay=hc, hkey=hc)),
        ("flags-0b", "not by key", dict(flags=0xb, hrelay=hc)), ("flags-0d", "not by name", dict(flags=0xd, hkey=hc)),
        ("flags-1f", "an introduction that is a stream", dict(flags=0x1f, hrelay=hc, hkey=hc, body=b"\1" + H(b"s"))),
        ("flag-10", "a stream whose secret is too short", dict(flags=0x10, body=b"\1" + H(b"s")[:31])),
        ("reserved-1", "reserved octets", dict(reserved=1)), ("reserved-100", "reserved octets", dict(reserved=0x100)),
        ("n", "n is not T's", dict(n_in_header=1)), ("n-lane", "n is not T's", dict(n_in_header=1 << 40)),
        ("hour-before", "sealed-at is not in U's hour", dict(e=T0 // HOUR - 1)), ("hour-after", "sealed-at is not in U's hour", dict(e=T0 // HOUR + 1)),
        ("at-64-bits", "sealed-at beyond all hours", dict(at_in_header=2**64 - 2)),
        ("until-equal", "not-after = sealed-at", dict(until=T0)), ("until-before", "not-after before sealed-at", dict(until=T0 - 1)),
        ("until-long", "7 days and 1 ms", dict(until=T0 + 7 * DAY + 1)), ("until-64-bits", "the end of time", dict(until=2**64 - 1)),
        ("length-97", "a body longer than what is there", dict(length=97)), ("length-4g", "4 GiB", dict(length=2**32 - 1)),
        ("length-4", "an octet shorter: padding is not zero", dict(length=4)), ("length-0", "no body, but it is there", dict(length=0)),
        ("length-6", "an octet longer: that is allowed to be zero", None),
        ("padding-first", "padding", dict(pad=b"\1" + bytes(90))), ("padding-last", "padding", dict(pad=bytes(90) + b"\1")),
        ("padding-more", "L of PADMÉ, but of a longer body", dict(pad=bytes(91 + 16))),
        ("relay-unflagged", "a relay without its flag", dict(hrelay=hc)), ("key-unflagged", "a relay key without its flag", dict(hkey=hc)),
        ("relay-absent", "flag 02 and no relay", dict(flags=2)), ("key-absent", "flag 04 and no key", dict(flags=4)),
        ("key-besides", "flag 02, and a key besides", dict(flags=2, hrelay=hc, hkey=hc)), ("relay-besides", "flag 04, and a relay besides", dict(flags=4, hrelay=hc, hkey=hc))):
    if wrong is None:
        good("header-" + file, comment, Message(body=b"hello\0"))
        continue
    wrong = dict(wrong)
    n = wrong.pop("n_in_header", None)
    at = wrong.pop("at_in_header", None)
    if n is not None or at is not None:  # the header's only
        m = Message()
        k, tu = Keys(PRF), m.octets[:32]
        h = dict(version=1, flags=0, reserved=0, length=5, n=n or 0, at=T0 if at is None else at, until=T0 + HOUR if at is None else at + 1, originator=H(ALICE),
                 recipient=H(BOB), hrelay=bytes(32), hkey=bytes(32))
        o = k.box(tu, m.e, header(h, b"hello") + bytes(91), b"")
    else:
        o = Message(**wrong).octets
    bad("header-" + file, "DefectiveToken", comment, o, established=T0 - 2 * HOUR, unbound="yes", relay_name=CAROL)

for file, ends in (("originator", (CAROL, BOB)), ("recipient", (ALICE, CAROL)), ("swapped", (BOB, ALICE))):
    bad("names-" + file, "BadName", "the names in it are not the context's", Message(ends=ends).octets)

# Claims that are required.
for flag, what in ((ONE, "one-time"), (NAME, "relay-name"), (KEY, "relay-key"), (INTRO, "introduction"), (STREAM, "stream")):
    bad("require-" + what, "Unauthorized", "a claim is missing", g, "ErrClaim", require="%02x" % flag, relay_name=CAROL)
bad("require-one-of-two", "Unauthorized", "one is there, the other missing", Message(flags=ONE).octets, "ErrClaim", require="03", relay_name=CAROL)

# The relay by name.
m = Message(body=b"through Carol", relay=CAROL)
good("relay-name", "by name", m, relay_name=CAROL, require="02")
good("relay-name-alias", "one of the names that the recipient knows", m, relay_name=[DAVE, CAROL], make=False)
bad("relay-name-nobody", "BadName", "handed over by nobody known", m.octets, "ErrRelay")
bad("relay-name-other", "BadName", "handed over by another", m.octets, "ErrRelay", relay_name=DAVE)
bad("relay-name-mechanism", "BadName", "another mechanism's name with the same text", m.octets, "ErrRelay", relay_name=name("carol@EXAMPLE.ORG", ALT))
bad("relay-name-proof", "DefectiveToken", "octets behind it, where a proof is expected", m.octets + bytes(96), relay_name=CAROL, unbound="yes")
bad("relay-name-one-time", "DuplicateToken", "one-time, the second time", Message(flags=ONE, relay=CAROL).octets, twice="yes", relay_name=CAROL)
bad("one-time-again", "DuplicateToken", "one-time, the second time", Message(flags=ONE).octets, twice="yes")

# The relay by key.
via = (VIA, ALT, b"a2i")
RP = H(b"prf of Carol's context with Bob")
CB = b"tls-exporter:12345"
chan = dict(context=(RP, dict(relay_prf=RP)), bindings=(CB, dict(bindings=CB)), unbound=(b"", dict(unbound="yes")))
both = dict(relay_prf=RP, bindings=CB, unbound="yes")
for kind, (value, kv) in chan.items():
    for n in (0, 52, 53, 1000):
        m, pl = Message(body=b"by key", via=via), bytes(i % 7 for i in range(n))
        good("relay-key-%s-%d" % (kind, n), "derived, bound by %s, payload of %d octets" % (kind, n), m, m.proof(kind, value, pl), pl, require="04", make=n == 0, **kv)
    m = Message(body=b"by key and name", carried=H(b"krelay"), relay=CAROL, flags=ONE)
    good("relay-both-%s" % kind, "carried, by name too, one-time", m, m.proof(kind, value, b"payload"), b"payload", relay_name=CAROL, require="07",
         make=False, grant=m.grant(), **kv)
    good("relay-any-%s" % kind, "where any binding would do", m, m.proof(kind, value), b"", relay_name=CAROL, make=False, **both)
    bad("proof-again-" + kind, "DuplicateToken", "the same proof again, of a message that is not one-time", (lambda m: m.octets + m.proof(kind, value))(Message(via=via)), twice="yes", **kv)
good("relay-key-a2i", "derived in the other directions", (m := Message(d=b"a2i", ends=(BOB, ALICE), via=(VIA, KRB5, b"i2a"))), m.proof("unbound"), b"", role="initiator", unbound="yes")
m = Message(via=via)
q = u(T0 + 1000, 8)
for file, expect, cause, comment, proof, kv in (
        ("absent", "BadBindings", "ErrProof", "no proof", b"", both),
        ("short", "BadBindings", "ErrProof", "an octet less", m.proof("unbound")[:-1], both),
        ("long", "BadBindings", "ErrProof", "an octet more", m.proof("unbound") + b"\0", both),
        ("bit-r", "BadBindings", "ErrProof", "a bit of r", b"\1" + m.proof("unbound", r=bytes(16))[1:], both),
        ("bit", "BadBindings", "ErrProof", "a bit of the tag", m.proof("unbound")[:-1] + bytes([m.proof("unbound")[-1] ^ 1]), both),
        ("other-prf", "BadBindings", "ErrProof", "of another context", m.proof("context", H(b"x")), both),
        ("other-bindings", "BadBindings", "ErrProof", "of another channel", m.proof("bindings", b"tls-exporter:1234"), both),
        ("unbound-unasked", "BadBindings", "ErrProof", "bound to nothing, which the recipient does not take", m.proof("unbound"), dict(relay_prf=RP, bindings=CB)),
        ("context-for-bindings", "BadBindings", "ErrProof", "bound to a context, on a channel", m.proof("context", RP), dict(bindings=CB)),
        ("bindings-for-context", "BadBindings", "ErrProof", "bound to a channel, on a context", m.proof("bindings", CB), dict(relay_prf=RP)),
        ("b-00-value", "BadBindings", "ErrProof", "the context's value under 00", m.proof("context", bytes(32)), both),
        ("other-key", "BadBindings", "ErrProof", "another relay key", m.proof("unbound", key=H(b"x")), both),
        ("other-message", "BadBindings", "ErrProof", "of another message", m.proof("unbound", digest=g), both),
        ("unexpected", "BadMIC", None, "a proof, where the recipient expects none", m.proof("unbound"), {}),
        ("time-old", "OldToken", "ErrExpired", "Skew and 1 ms old", m.proof("unbound", time=T0 + 999 - SKEW), both),
        ("time-new", "OldToken", "ErrNotYet", "Skew and 1 ms from now", m.proof("unbound", time=T0 + 1001 + SKEW), both),
        ("time-64-bits", "OldToken", "ErrNotYet", "the end of time", m.proof("unbound", time=2**64 - 1), both),
        ("length-53", "DefectiveToken", None, "payload longer than what is there", m.proof("unbound", q=q + u(53, 4) + bytes(52)), both),
        ("length-4g", "DefectiveToken", None, "4 GiB", m.proof("unbound", q=q + u(2**32 - 1, 4) + bytes(52)), both),
        ("padding", "DefectiveToken", None, "padding is not zero", m.proof("unbound", q=q + bytes(55) + b"\1"), both),
        ("padding-72", "DefectiveToken", None, "more padding than it takes", m.proof("unbound", q=q + bytes(64)), both),
        ("padding-60", "BadBindings", "ErrProof", "less than 64 octets", m.proof("unbound", q=q + bytes(52)), both)):
    bad("proof-" + file, expect, comment, m.octets + proof, cause, **kv)
good("proof-oldest", "a proof of Skew ago", m, m.proof("unbound", time=T0 + 1000 - SKEW), b"", make=False, **both)
good("proof-newest", "a proof of Skew from now", m, m.proof("unbound", time=T0 + 1000 + SKEW), b"", make=False, **both)
bad("relay-both-name-wrong", "BadName", "a good proof by another relay than the one named", (lambda m: m.octets + m.proof("unbound"))(Message(via=via, relay=CAROL)), "ErrRelay",
    relay_name=DAVE, **both)
m = Message(via=via, flags=ONE | INTRO, relay=CAROL)
bad("introduction", "Unauthorized", "an introduction is no message", m.octets + m.proof("unbound"), "ErrIntroduction", relay_name=CAROL, **both)

# Grants: what the relay has is its context with the originator.
carol = dict(kind="grant", prf=VIA, mech=ALT, role="initiator", local=name("carol", ALT), peer=name("alice", ALT), now=T0 + 1000)
for file, m in (("derived", Message(via=via)), ("carried", Message(carried=H(b"krelay"))), ("long", Message(via=via, body=bytes(3000))),
                ("introduction", Message(via=via, flags=ONE | INTRO, relay=CAROL))):
    emit("grant-" + file, "success", "a grant", m.grant(), relay_key=m.key, sealed=m.octets, **carol)
m, c = Message(via=via), Message(carried=H(b"krelay"))
for file, expect, cause, comment, o, kv in (
        ("empty", "DefectiveToken", None, "nothing", b"", {}), ("short", "DefectiveToken", None, "an octet less", m.grant()[:-1], {}),
        ("long-tail", "DefectiveToken", None, "an octet more", m.grant() + b"\0", {}), ("version", "DefectiveToken", None, "version 2", m.grant(version=2), {}),
        ("mode", "DefectiveToken", None, "mode 2", m.grant(mode=2), {}), ("derived-with-key", "DefectiveToken", None, "derived, and a key", m.grant(key=H(b"x")), {}),
        ("carried-without", "DefectiveToken", None, "carried, and no key", c.grant(key=b""), {}), ("carried-31", "DefectiveToken", None, "a short key", c.grant(key=bytes(31)), {}),
        ("carried-33", "DefectiveToken", None, "a long key", c.grant(key=bytes(33)), {}), ("dead", "DefectiveToken", None, "dead before its hour", m.grant(until=T0 // HOUR * HOUR), {}),
        ("immortal", "DefectiveToken", None, "alive for more than 7 days after its hour", m.grant(until=T0 // HOUR * HOUR + HOUR + 7 * DAY + 1), {}),
        ("name", "DefectiveToken", None, "what is no name", m.grant(originator=b"alice"), {}), ("sealed-335", "DefectiveToken", None, "sealed of 335 octets", m.grant(sealed=bytes(335)), {}),
        ("sealed-337", "DefectiveToken", None, "sealed of a length that PADMÉ does not give", m.grant(sealed=bytes(337)), {}),
        ("expired", "OldToken", "ErrExpired", "1 ms after its end and Skew", m.grant(), dict(now=T0 + HOUR + SKEW + 1, established=T0)),
        ("erased", "OldToken", "ErrErased", "an hour before the context", m.grant(e=T0 // HOUR - 1), {})):
    emit("grant-not-" + file, expect, comment, o, cause, **dict(carol, **kv))
emit("grant-last", "success", "at its end and Skew", m.grant(), relay_key=m.key, sealed=m.octets, **dict(carol, now=T0 + HOUR + SKEW, established=T0))

# Streams.
FULL, DATA = 65536, 65533
SECRET = H(b"stream secret")


def chunks(m, data, cuts=None, secret=SECRET):
    """The chunks of data; cuts: (octets of data, octets of plaintext) of each."""
    key = expand(secret, b"gss seal stream 1" + H(m.octets), 32)
    if cuts is None:
        ns = [min(DATA, len(data) - i) for i in range(0, len(data), DATA)] or [0]
        total = padme(max(256, FULL * (len(ns) - 1) + 3 + ns[-1]))
        count = -(-total // FULL)
        ns += [0] * (count - len(ns))
        cuts = [(n, FULL) for n in ns[:-1]] + [(ns[-1], total - FULL * (count - 1))]
    out, at = [], 0
    for i, (n, size) in enumerate(cuts):
        p = u(n, 3) + data[at:at + n]
        at += n
        out.append(gcm(key, p + bytes(size - len(p)), nonce=u(i, 11) + bytes([i == len(cuts) - 1])))
    return out


def begin(**kv): return Message(body=b"\1" + SECRET, flags=STREAM | kv.pop("flags", 0), **kv)


S, CR = dict(kind="stream"), dict(kind="stream", relay_name=CAROL)
for n in (0, 5, 253, 254, 1000, 65534):
    data, m = bytes(i % 251 for i in range(n)), begin()
    c = chunks(m, data)
    good("stream-%d" % n, "%d chunks, the last of %d octets" % (len(c), len(c[-1])), m, chunks=b"".join(c), body_sha256=H(data), secret=SECRET, **S)
m = begin(flags=ONE, relay=CAROL, data=b"data")
good("stream-claims", "one-time, relay by name, associated data", m, chunks=chunks(m, b"x")[0], body_sha256=H(b"x"), secret=SECRET, data=b"data", require="13", **CR)
for kind, (value, kv) in chan.items():
    m = begin(via=via)
    good("stream-key-" + kind, "relay by key, the longest payload", m, m.proof(kind, value, bytes(52)), bytes(52), chunks(m, b"x")[0], body_sha256=H(b"x"), secret=SECRET, **dict(S, **kv))
m = begin()
c = chunks(m, bytes(i % 251 for i in range(65534)))
x = chunks(m, b"x")[0]
for file, expect, cause, comment, o, kv in (
        ("empty", "BadMIC", "ErrTruncated", "nothing", b"", {}), ("short", "BadMIC", "ErrTruncated", "an octet less than a beginning", m.octets[:335], {}),
        ("no-chunks", "BadMIC", "ErrTruncated", "its beginning alone", m.octets, {}), ("first-chunk", "BadMIC", "ErrTruncated", "its first chunk alone", m.octets + c[0], {}),
        ("last-chunk", "BadMIC", "ErrTruncated", "its last chunk alone", m.octets + c[1], {}), ("swapped", "BadMIC", None, "its chunks in the other order", m.octets + c[1] + c[0], {}),
        ("cut", "BadMIC", "ErrTruncated", "an octet less", m.octets + x[:-1], {}), ("tail", "BadMIC", "ErrTruncated", "an octet more", m.octets + x + b"\0", {}),
        ("bit", "BadMIC", "ErrTruncated", "a bit of a chunk", m.octets + bytes([x[0] ^ 1]) + x[1:], {}),
        ("bit-head", "BadMIC", None, "a bit of its beginning", m.octets[:99] + bytes([m.octets[99] ^ 1]) + m.octets[100:] + x, {}),
        ("other", "BadMIC", "ErrTruncated", "the chunk of another stream with the same secret", m.octets + chunks(begin(n=1), b"x")[0], {}),
        ("message", "Unauthorized", "ErrStream", "a message", Message(body=b"\1" + SECRET).octets + x, {}),
        ("message-labelled", "Unauthorized", "ErrStream", "a message whose associated data looks like a stream's", Message(body=b"\1" + SECRET, data=b"gss seal stream 1").octets + x,
         dict(data=b"gss seal stream 1")),
        ("long-message", "BadMIC", None, "a message that is longer", Message(body=bytes(100), flags=STREAM).octets, {}),
        ("version-0", "DefectiveToken", None, "version 0", Message(body=b"\0" + SECRET, flags=STREAM).octets + x, {}),
        ("version-2", "DefectiveToken", None, "version 2", Message(body=b"\2" + SECRET, flags=STREAM).octets + x, {}),
        ("secret-33", "DefectiveToken", None, "a secret of 33 octets", Message(body=b"\1" + SECRET + b"\0", flags=STREAM).octets + x, {}),
        ("padding-less", "DefectiveToken", None, "a chunk of 240 octets", m.octets + chunks(m, b"x", [(1, 240)])[0], {}),
        ("padding-more", "DefectiveToken", None, "a chunk of 272 octets", m.octets + chunks(m, b"x", [(1, 272)])[0], {}),
        ("length", "DefectiveToken", None, "a chunk with more data than it has", m.octets + gcm(expand(SECRET, b"gss seal stream 1" + H(m.octets), 32), u(254, 3) + bytes(253), nonce=bytes(11) + b"\1"), {}),
        ("padding-set", "DefectiveToken", None, "padding is not zero", m.octets + gcm(expand(SECRET, b"gss seal stream 1" + H(m.octets), 32), bytes(255) + b"\1", nonce=bytes(11) + b"\1"), {}),
        ("no-length", "BadMIC", "ErrTruncated", "a chunk of 2 octets", m.octets + gcm(expand(SECRET, b"gss seal stream 1" + H(m.octets), 32), bytes(2), nonce=bytes(11) + b"\1"), {}),
        ("expired", "OldToken", "ErrExpired", "too old to begin", m.octets + x, dict(now=T0 + HOUR + SKEW + 1, established=T0)),
        ("relay", "BadName", "ErrRelay", "handed over by another", begin(relay=CAROL).octets, dict(relay_name=DAVE)),
        ("no-proof", "BadBindings", "ErrProof", "by key, and no proof", (lambda m: m.octets + chunks(m, b"x")[0])(begin(via=via)), dict(unbound="yes")),
        ("half-proof", "BadMIC", "ErrTruncated", "by key, and half a proof", (lambda m: m.octets + m.proof("unbound")[:95])(begin(via=via)), dict(unbound="yes")),
        ("long-proof", "BadBindings", "ErrProof", "a payload of 53 octets", (lambda m: m.octets + m.proof("unbound", payload=bytes(53)) + chunks(m, b"x")[0])(begin(via=via)), dict(unbound="yes")),
        ("again", "DuplicateToken", None, "one-time, the second time", (lambda m: m.octets + chunks(m, b"x")[0])(begin(flags=ONE)), dict(twice="yes"))):
    bad("stream-not-" + file, expect, comment, o, cause, **dict(S, **kv))
bad("stream-unsealed", "Unauthorized", "the beginning of a stream is no message", m.octets, "ErrStream")

for f in os.listdir(HERE):  # vectors of earlier versions
    if f.endswith(".txt") and f[:-4] not in names:
        os.remove(os.path.join(HERE, f))
print(len(names), "vectors")
