# gssend.c, but with python3-gssapi: the same arguments and lines.
import sys

import gssapi
from gssapi import raw

KRB5 = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")


def show(b):
    return bytes(b).hex() if b else "-"


def octets(s):
    return b"" if s == "-" else bytes.fromhex(s)


def say(*a):
    print(*a, flush=True)


def main():
    target, flags, cb = sys.argv[1:]
    bindings = None
    if cb != "-":
        bindings = raw.ChannelBindings(application_data=cb.encode())
    if target != "-":
        name = gssapi.Name(target, gssapi.NameType.hostbased_service)
        ctx = gssapi.SecurityContext(name=name, mech=KRB5, flags=int(flags, 0), channel_bindings=bindings, usage="initiate")
        tok = None
    else:
        ctx = gssapi.SecurityContext(channel_bindings=bindings, usage="accept")
        tok = octets(sys.stdin.readline().strip())
    while True:
        try:
            out = ctx.step(tok)
        except gssapi.exceptions.GSSError as e:
            say(show(e.token) if hasattr(e, "token") else "-")
            say("error", e.maj_code, e.min_code)
            return
        say(show(out))
        if ctx.complete:
            break
        tok = octets(sys.stdin.readline().strip())
    say("complete", int(ctx.actual_flags), ctx.initiator_name, ctx.target_name)
    for line in sys.stdin:
        verb, *a = line.split()
        try:
            if verb == "wrap":
                say("ok", show(ctx.wrap(octets(a[1]), a[0] == "1").message))
            elif verb == "unwrap":
                r = ctx.unwrap(octets(a[0]))
                say("ok", int(r.encrypted), show(r.message))
            elif verb == "mic":
                say("ok", show(ctx.get_signature(octets(a[0]))))
            elif verb == "verify":
                ctx.verify_signature(octets(a[0]), octets(a[1]))
                say("ok")
            elif verb == "delegated":
                cred = ctx.delegated_creds
                if cred is None:
                    say("none")
                    continue
                name = gssapi.Name(a[0], gssapi.NameType.hostbased_service)
                say("ok", cred.name, show(gssapi.SecurityContext(name=name, creds=cred, mech=KRB5, usage="initiate").step()))
            else:
                sys.exit(2)
        except gssapi.exceptions.GSSError as e:
            say("error", e.maj_code, e.min_code)


main()
