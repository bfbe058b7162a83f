#!/usr/bin/env python3
"""Writes the vectors of RPCSEC_GSS versions 2 and 3 beside it, one .hex file each.

Made from the XDR of RFC 5531, 2203, 5403 and 7861, and from nothing of this package.
The contexts are toys: a MIC is HMAC-SHA-256 of the message under the name of who made
it, a wrapped message is 1, the message and its MIC.
"""
import hashlib
import hmac
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))

def u32(*vs):
    return b"".join(struct.pack(">I", v) for v in vs)

def opaque(b):  # RFC 4506 section 4.10
    return u32(len(b)) + b + b"\0" * (-len(b) % 4)

def array(items):  # section 4.13
    return u32(len(items)) + b"".join(items)

def optional(b):  # section 4.19
    return u32(0) if b is None else u32(1) + b

def mic(who, msg):
    return hmac.new(who, msg, hashlib.sha256).digest()

def wrap(who, msg):
    return b"\1" + msg + mic(who, b"\1" + msg)

CALL, REPLY = 0, 1
NONE_FLAVOR, GSS_FLAVOR = 0, 6
DATA, BIND, CREATE, LIST = 0, 4, 5, 6
NONE, INTEGRITY, PRIVACY, CHANNEL = 1, 2, 3, 4
XID, PROG, VERS, SEQ = 0x01020304, 0x20001234, 3, 7
HANDLE, USER = b"the first handle", b"the user's own.."
CHILD = b"a child's handle"
EXPORTER = b"tls-exporter:" + bytes(range(32))
ENDPOINT = b"tls-server-end-point:" + bytes(range(100, 132))
SHA = [bytes.fromhex("6086480165030402" + x) for x in ("01", "02", "03")]

def header(mtype, version, proc, gss_proc, service, handle=HANDLE):
    cred = u32(version, gss_proc, SEQ, service) + opaque(handle)
    return u32(XID, mtype, 2, PROG, VERS, proc) + u32(GSS_FLAVOR) + opaque(cred)

def auth(flavor, body):
    return u32(flavor) + opaque(body)

def accepted(verf, stat=0, results=b""):
    return u32(XID, REPLY, 0) + verf + u32(stat) + results

def integrity(who, body):
    inner = u32(SEQ) + body
    return opaque(inner) + opaque(mic(who, inner))

def privacy(who, body):
    return opaque(wrap(who, u32(SEQ) + body))

I, A = b"initiator", b"acceptor"
UI, UA = b"user initiator", b"user acceptor"
V = {}

# RFC 5403 section 3.3
h = header(CALL, 2, 0, BIND, NONE)
digest = hashlib.sha256(EXPORTER).digest()
V["v2-bind-call"] = h + auth(GSS_FLAVOR, opaque(b"tls-exporter") + opaque(SHA[0]) + opaque(mic(I, h + opaque(digest))))
V["v2-bind-call-384"] = h + auth(GSS_FLAVOR, opaque(b"tls-server-end-point") + opaque(SHA[1]) +
                                 opaque(mic(I, h + opaque(hashlib.sha384(ENDPOINT).digest()))))

def bind_reply(res, digest):
    return accepted(auth(GSS_FLAVOR, res + opaque(mic(A, u32(SEQ) + opaque(digest) + res))))

V["v2-bind-reply"] = bind_reply(u32(0), digest)
V["v2-bind-reply-384"] = bind_reply(u32(0), hashlib.sha384(ENDPOINT).digest())
V["v2-bind-call-prefix"] = h + auth(GSS_FLAVOR, opaque(b"tls-unique") + opaque(SHA[2]) + opaque(b"?"))
V["v2-bind-reply-prefix"] = bind_reply(u32(1) + array([opaque(b"tls-exporter"), opaque(b"tls-server-end-point")]),
                                       hashlib.sha512(EXPORTER).digest())
V["v2-bind-call-hash"] = h + auth(GSS_FLAVOR, opaque(b"tls-exporter") + opaque(bytes.fromhex("2b0e03021a")) + opaque(b"?"))
V["v2-bind-reply-hash"] = bind_reply(u32(2) + array([opaque(o) for o in SHA]), digest)

# RFC 5403 section 3.4
hello = opaque(b"hello")
V["v2-data-call"] = header(CALL, 2, 1, DATA, CHANNEL) + auth(NONE_FLAVOR, b"") + hello
V["v2-data-reply"] = accepted(auth(NONE_FLAVOR, b""), 0, hello)

# RFC 7861 section 2.3
for name, service, protect in ("none", NONE, lambda who, b: b), ("integrity", INTEGRITY, integrity), ("privacy", PRIVACY, privacy):
    h = header(CALL, 3, 1, DATA, service)
    V["v3-data-call-" + name] = h + auth(GSS_FLAVOR, mic(I, h)) + protect(I, hello)
    V["v3-data-reply-" + name] = accepted(auth(GSS_FLAVOR, mic(A, header(REPLY, 3, 1, DATA, service))), 0, protect(A, hello))
h = header(CALL, 3, 99, DATA, PRIVACY)
V["v3-data-call-unavailable"] = h + auth(GSS_FLAVOR, mic(I, h)) + privacy(I, b"")
V["v3-data-reply-unavailable"] = accepted(auth(GSS_FLAVOR, mic(A, header(REPLY, 3, 99, DATA, PRIVACY))), 3)
h = header(CALL, 3, 0, BIND, NONE)
V["v3-bind-call"] = h + auth(GSS_FLAVOR, opaque(b"tls-exporter") + opaque(SHA[0]) + opaque(mic(I, h + opaque(digest))))
V["v3-bind-reply"] = accepted(auth(NONE_FLAVOR, b""), 3)

# RFC 7861 section 2.7.1
def label(lfs, policy, text):
    return u32(0, lfs, policy) + opaque(text)

def privilege(name, data):
    return u32(1) + array([opaque(name)]) + opaque(data)

def create(mp, channel, assertions):
    return (optional(None if mp is None else opaque(mp[0]) + opaque(mp[1])) +
            optional(None if channel is None else opaque(channel)) + array(assertions))

h, r = header(CALL, 3, 0, CREATE, PRIVACY), header(REPLY, 3, 0, CREATE, PRIVACY)
V["v3-create-call"] = h + auth(GSS_FLAVOR, mic(I, h)) + privacy(I, create(
    (USER, mic(UI, h)), mic(I, EXPORTER), [label(7, 1, b"secret"), privilege(b"PRIV_copy", b"please")]))
V["v3-create-reply"] = accepted(auth(GSS_FLAVOR, mic(A, r)), 0, privacy(A, opaque(CHILD) + create(
    (USER, mic(UA, r)), mic(A, EXPORTER), [label(7, 1, b"s0"), privilege(b"PRIV_copy", b"please")])))
h, r = header(CALL, 3, 0, CREATE, INTEGRITY), header(REPLY, 3, 0, CREATE, INTEGRITY)
V["v3-create-call-empty"] = h + auth(GSS_FLAVOR, mic(I, h)) + integrity(I, create(None, None, []))
V["v3-create-reply-empty"] = accepted(auth(GSS_FLAVOR, mic(A, r)), 0, integrity(A, opaque(CHILD) + create(None, None, [])))
V["v3-create-call-unknown"] = h + auth(GSS_FLAVOR, mic(I, h)) + integrity(I, create(None, None, [u32(9) + opaque(b"ext")]))
V["v3-create-reply-unknown"] = u32(XID, REPLY, 1, 1, 18)

# RFC 7861 section 2.7.2
h, r = header(CALL, 3, 0, LIST, INTEGRITY), header(REPLY, 3, 0, LIST, INTEGRITY)
V["v3-list-call"] = h + auth(GSS_FLAVOR, mic(I, h)) + integrity(I, array([u32(1), u32(0), u32(9)]))
V["v3-list-reply"] = accepted(auth(GSS_FLAVOR, mic(A, r)), 0, integrity(A, array([
    u32(1) + array([array([opaque(b"PRIV_copy")]) + opaque(b"")]),
    u32(0) + array([u32(3, 0) + opaque(b""), u32(7, 1) + opaque(b"")]),
    u32(9) + opaque(b"")])))

for name, octets in V.items():
    with open(os.path.join(HERE, name + ".hex"), "w") as f:
        f.write("\n".join(octets.hex()[i:i + 96] for i in range(0, len(octets) * 2, 96)) + "\n")
