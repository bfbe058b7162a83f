#!/usr/bin/env python3
"""Writes the known answers of this folder: whole handshakes between two sides that
are written here, straight from the octet tables in the package documentation, with
Python's hmac and hashlib and the "cryptography" package (48 or later, for ML-KEM).
They share no code with the Go implementation.

usage: python3 vectors.py   (in this folder)
"""
import datetime, hashlib, hmac, json, os, struct
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

ARC = "2.25.62787313445607149380825431900356065739"


def der_oid(dotted):
    arcs = [int(a) for a in dotted.split(".")]
    out = b""
    for a in [40 * arcs[0] + arcs[1]] + arcs[2:]:
        d = [a & 127]
        while a := a >> 7:
            d.append(a & 127 | 128)
        out += bytes(reversed(d))
    return bytes([6, len(out)]) + out


def der_len(n):
    if n < 128:
        return bytes([n])
    b = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([128 | len(b)]) + b


OID = der_oid(ARC + ".1.1")


def frame(inner):
    return b"\x60" + der_len(len(OID) + len(inner)) + OID + inner


def exported(text):
    t = text.encode()
    return b"\x04\x01" + struct.pack(">H", len(OID)) + OID + struct.pack(">I", len(t)) + t


def vec8(x):
    return bytes([len(x)]) + x


def vec16(x):
    return struct.pack(">H", len(x)) + x


def vec24(x):
    return struct.pack(">I", len(x))[1:] + x


# Suites

SUITES = {1: (True, "x25519", AESGCM, "sha384"), 2: (False, "x25519", ChaCha20Poly1305, "sha256"),
          3: (False, "p256", AESGCM, "sha256"), 4: (True, "p256", AESGCM, "sha384")}


class Ephemeral:
    def __init__(self, suite):
        kem, self.curve, _, _ = SUITES[suite]
        self.kem = mlkem.MLKEM768PrivateKey.generate() if kem else None
        self.ec = x25519.X25519PrivateKey.generate() if self.curve == "x25519" else ec.generate_private_key(ec.SECP256R1())

    def public(self):
        p = self.ec.public_key()
        if self.curve == "x25519":
            return p.public_bytes_raw()
        return p.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)

    def dh(self, public):
        if self.curve == "x25519":
            return self.ec.exchange(x25519.X25519PublicKey.from_public_bytes(public))
        return self.ec.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public))

    def share(self):
        return (self.kem.public_key().public_bytes_raw() if self.kem else b"") + self.public()

    def respond(self, share):
        """As the acceptor: its share, and the secret. self.kem is not used."""
        k = b""
        ct = b""
        if self.kem:
            k, ct = mlkem.MLKEM768PublicKey.from_public_bytes(share[:1184]).encapsulate()
            share = share[1184:]
        return ct + self.public(), k + self.dh(share)

    def private(self):
        if self.curve == "x25519":
            e = self.ec.private_bytes_raw()
        else:
            e = self.ec.private_numbers().private_value.to_bytes(32, "big")
        return {"kem": self.kem.private_bytes_raw().hex() if self.kem else "", "curve": e.hex()}


# Keys

class Schedule:
    def __init__(self, suite, secret):
        _, _, self.aead, self.hash = SUITES[suite]
        self.hs = hmac.new(b"gss pkix 1" + struct.pack(">H", suite), secret, self.hash).digest()

    def H(self, *parts):
        return hashlib.new(self.hash, b"".join(parts)).digest()

    def expand(self, prk, info, n):
        out, t, i = b"", b"", 1
        while len(out) < n:
            t = hmac.new(prk, t + info + bytes([i]), self.hash).digest()
            out += t
            i += 1
        return out[:n]

    def seal(self, label, th, plain):
        return self.aead(self.expand(self.hs, label + th, 32)).encrypt(b"\0" * 12, plain, b"")

    def fin(self, label, th, before):
        return hmac.new(self.expand(self.hs, label + th, len(th)), self.H(th, before), self.hash).digest()


def sign(key, hash_, content):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return 0x0807, lambda m: key.sign(m)
    if isinstance(key, rsa.RSAPrivateKey):
        h, n = (hashes.SHA384(), 0x0805) if hash_ == "sha384" else (hashes.SHA256(), 0x0804)
        return n, lambda m: key.sign(m, padding.PSS(padding.MGF1(h), h.digest_size), h)
    if key.curve.name == "secp384r1":
        return 0x0503, lambda m: key.sign(m, ec.ECDSA(hashes.SHA384()))
    return 0x0403, lambda m: key.sign(m, ec.ECDSA(hashes.SHA256()))


def proof(s, who, fin, th, flags, bindings, name, key, chain):
    p = struct.pack(">I", flags)
    p += b"\x01" + hashlib.sha256(b"gss cb 1" + bindings).digest() if bindings else b"\0" * 33
    p += vec16(exported(name)) + vec24(b"".join(vec24(c) for c in chain)) + vec16(b"")
    scheme, f = sign(key, s.hash, None)
    num = struct.pack(">H", scheme)
    p += num + vec16(f(b"\x20" * 64 + who + b"\0" + s.H(th, p, num)))
    p += s.fin(fin, th, p)
    return p + b"\0" * (-len(p) % 512)


# Certificates

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.timezone.utc)
serial = iter(range(1000, 2000))


def certificate(subject, key, issuer, issuer_key, ca=False, san=()):
    b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
         .serial_number(next(serial)).not_valid_before(NOW - datetime.timedelta(1)).not_valid_after(NOW + datetime.timedelta(90))
         .add_extension(x509.BasicConstraints(ca, None), True))
    if not ca:
        b = b.add_extension(x509.SubjectAlternativeName(san), not list(subject))
        b = b.add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(ARC + ".3.1")]), False)
    alg = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return b.sign(issuer_key, alg).public_bytes(serialization.Encoding.DER)


def named(cn):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)])


def pkcs8(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).hex()


def case(name, suite, make_key, offered=None, retry=False, bindings=b"", intermediate=False):
    offered = offered or [suite]
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate(named("root"), root_key, named("root"), root_key, ca=True)
    issuer, issuer_key, extra = named("root"), root_key, []
    if intermediate:
        issuer, issuer_key = named("intermediate"), ed25519.Ed25519PrivateKey.generate()
        extra = [certificate(issuer, issuer_key, named("root"), root_key, ca=True)]
    ik, ak = make_key(), make_key()
    ichain = [certificate(x509.Name([]), ik, issuer, issuer_key, san=[x509.RFC822Name("alice@example.org")])] + extra
    achain = [certificate(x509.Name([]), ak, issuer, issuer_key, san=[x509.DNSName("bob.example")])] + extra
    iname, aname = "mail:alice@example.org", "svc:host@bob.example"
    flags = 2 | 4 | 8 | 16 | 32  # mutual, replay, sequence, conf, integ

    ni, nr = os.urandom(32), os.urandom(32)
    first = Ephemeral(offered[0])
    ie = Ephemeral(suite) if retry and suite != offered[0] else first
    ae = Ephemeral(suite)

    def m1(s, e, cookie):
        return (b"\x01\x01" + ni + struct.pack(">I", flags) + vec8(b"".join(struct.pack(">H", o) for o in offered))
                + vec16(struct.pack(">H", s) + vec16(e.share())) + vec16(exported(aname)) + vec16(cookie))

    M1 = m1(offered[0], first, b"")
    share, secret = ae.respond(ie.share())
    s = Schedule(suite, secret)
    out = {}
    TR = OID + M1
    if retry:
        MR = b"\x03" + struct.pack(">H", suite) + vec16(b"any octets will do for an initiator")
        again = m1(suite, ie, b"any octets will do for an initiator")
        TR = OID + b"\xfe" + s.H(M1) + MR + again
        out = {"mr": frame(MR).hex(), "again": frame(again).hex()}
    head = b"\x02" + struct.pack(">H", suite) + nr + vec16(share)
    th1 = s.H(b"gss pkix 1", TR, head)
    p2 = proof(s, b"gss pkix 1 acceptor", b"a fin", th1, flags, bindings, aname, ak, achain)
    M2 = head + vec24(s.seal(b"a hs", th1, p2))
    th2 = s.H(th1, p2)
    p3 = proof(s, b"gss pkix 1 initiator", b"i fin", th2, flags, bindings, iname, ik, ichain)
    M3 = b"\x04" + vec24(s.seal(b"i hs", th2, p3))
    alert = b"\x0e" + vec8(s.seal(b"i alert", th2, b"\x04" + b"\0" * 15))
    th3 = s.H(th2, p3)
    ms = s.expand(s.hs, b"master" + th3, 32)
    partial = s.expand(s.hs, b"prf partial" + th2, 32)

    def prf(key):
        return b"".join(hmac.new(key, struct.pack(">I", i) + b"known answer", s.hash).digest() for i in range(4))[:64].hex()

    traffic = s.expand(ms, b"i2a", 44)
    hdr = b"\x01" + b"\0" * 8
    message = hdr + s.aead(traffic[:32]).encrypt(traffic[32:], b"hello", b"\0" + hdr + b"\0" * 8)
    out |= {
        "suite": suite, "offered": offered, "deterministic": isinstance(ik, ed25519.Ed25519PrivateKey),
        "unix": int(NOW.timestamp()), "root": root.hex(), "bindings": bindings.hex(),
        "initiatorKey": pkcs8(ik), "acceptorKey": pkcs8(ak),
        "initiatorChain": [c.hex() for c in ichain], "acceptorChain": [c.hex() for c in achain],
        "initiatorName": iname, "acceptorName": aname,
        "ni": ni.hex(), "ephemerals": {str(offered[0]): first.private(), str(suite): ie.private()},
        "m1": frame(M1).hex(), "m2": frame(M2).hex(), "m3": frame(M3).hex(), "alert": frame(alert).hex(),
        "secret": secret.hex(), "th1": th1.hex(), "m2head": head.hex(), "hs": s.hs.hex(), "ms": ms.hex(),
        "prfFull": prf(s.expand(ms, b"prf", 32)), "prfPartial": prf(partial), "message": message.hex(),
    }
    with open(name + ".json", "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


ed = ed25519.Ed25519PrivateKey.generate
case("0001-ed25519", 1, ed, offered=[1, 2, 3, 4])
case("0001-rsa-bindings", 1, lambda: rsa.generate_private_key(65537, 2048), bindings=b"tls-exporter:0123456789")
case("0002-ed25519-intermediate", 2, ed, intermediate=True)
case("0002-p256", 2, lambda: ec.generate_private_key(ec.SECP256R1()))
case("0003-p384", 3, lambda: ec.generate_private_key(ec.SECP384R1()))
case("0003-rsa", 3, lambda: rsa.generate_private_key(65537, 3072))
case("0004-ed25519", 4, ed)
case("retry-other-suite", 3, ed, offered=[1, 3], retry=True)
case("retry-same-suite-bindings", 1, ed, retry=True, bindings=b"tls-unique:x")
