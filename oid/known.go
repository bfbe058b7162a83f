package oid

// Mechanisms.
const (
	Krb5   OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"     // 1.2.840.113554.1.2.2: RFC 4121 §1, RFC 1964 §1
	MSKrb5 OID = "\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"     // 1.2.840.48018.1.2.2: what Windows 2000 wrote for it, MS-SPNG §3.1.5.2
	SPNEGO OID = "\x2b\x06\x01\x05\x05\x02"                 // 1.3.6.1.5.5.2: RFC 4178 §3
	IAKERB OID = "\x2b\x06\x01\x05\x02\x05"                 // 1.3.6.1.5.2.5: draft-ietf-kitten-iakerb
	NTLM   OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a" // 1.3.6.1.4.1.311.2.2.10: MS-SPNG §1.9
	SAnon  OID = "\x2b\x06\x01\x04\x01\xa9\x4a\x1a\x01\x6e" // 1.3.6.1.4.1.5322.26.1.110: draft-howard-gss-sanon-13
	SPKM   OID = "\x2b\x06\x01\x05\x05\x01"                 // 1.3.6.1.5.5.1: RFC 2025 §1 (SPKM-1 to SPKM-3 below it)
	LIPKEY OID = "\x2b\x06\x01\x05\x05\x09"                 // 1.3.6.1.5.5.9: RFC 2847 §1
)

// The project's own arc, 2.25.62787313445607149380825431900356065739 (a UUID,
// X.667 §7), and its mechanisms. PKIX is also the Mech of every certificate name.
const (
	Arc          OID = "\x69\xde\xbc\xb2\xe3\xd7\xcd\x82\x97\x85\xbb\xef\xbd\xe3\xdf\xcc\xbe\xf3\x4b"
	PKIX         OID = Arc + "\x01\x01" // mutual, three tokens
	PKIXOneWay   OID = Arc + "\x01\x02" // one token
	PKIXAnon     OID = Arc + "\x01\x03" // acceptor only
	PKIXPassword OID = Arc + "\x01\x04" // a password inside PKIXAnon
	Reauth       OID = Arc + "\x01\x05" // followed by the inner mechanism's arcs: Join
	Introduced   OID = Arc + "\x01\x06" // redeems grants

	EKUPKIX         OID = Arc + "\x03\x01" // extended key usage: either side of PKIX, PKIXOneWay, PKIXAnon
	EKUPKIXPassword OID = Arc + "\x03\x02" // may be handed a password
)

// Name types.
const (
	NTUser        OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x01" // 1.2.840.113554.1.2.1.1: RFC 2743 §4.2
	NTMachineUID  OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x02" // 1.2.840.113554.1.2.1.2: RFC 2743 §4.3
	NTStringUID   OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x03" // 1.2.840.113554.1.2.1.3: RFC 2743 §4.4
	NTHostService OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04" // 1.2.840.113554.1.2.1.4: RFC 2743 §4.1
	NTAnonymous   OID = "\x2b\x06\x01\x05\x06\x03"                 // 1.3.6.1.5.6.3: RFC 2743 §4.5
	NTExport      OID = "\x2b\x06\x01\x05\x06\x04"                 // 1.3.6.1.5.6.4: RFC 2743 §4.7
	NTComposite   OID = "\x2b\x06\x01\x05\x06\x06"                 // 1.3.6.1.5.6.6: RFC 6680 §10
	NTKrb5        OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01" // 1.2.840.113554.1.2.2.1: RFC 1964 §2.1.1
	NTEnterprise  OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x06" // 1.2.840.113554.1.2.2.6: MIT krb5, gssapi_krb5.h
)

// Mechanism attributes, RFC 5587 §3.2; 1.3.6.1.5.5.13 is GSS_C_MA.
const (
	ma OID = "\x2b\x06\x01\x05\x05\x0d"

	MAMechConcrete  OID = ma + "\x01"
	MAMechPseudo    OID = ma + "\x02"
	MAMechComposite OID = ma + "\x03"
	MAMechNego      OID = ma + "\x04"
	MAMechGlue      OID = ma + "\x05"
	MANotMech       OID = ma + "\x06"
	MADeprecated    OID = ma + "\x07"
	MANotDfltMech   OID = ma + "\x08"
	MAITokFramed    OID = ma + "\x09"
	MAAuthInit      OID = ma + "\x0a"
	MAAuthTarg      OID = ma + "\x0b"
	MAAuthInitInit  OID = ma + "\x0c"
	MAAuthTargInit  OID = ma + "\x0d"
	MAAuthInitAnon  OID = ma + "\x0e"
	MAAuthTargAnon  OID = ma + "\x0f"
	MADelegCred     OID = ma + "\x10"
	MAIntegProt     OID = ma + "\x11"
	MAConfProt      OID = ma + "\x12"
	MAMIC           OID = ma + "\x13"
	MAWrap          OID = ma + "\x14"
	MAProtReady     OID = ma + "\x15"
	MAReplayDet     OID = ma + "\x16"
	MAOOSDet        OID = ma + "\x17"
	MACBindings     OID = ma + "\x18"
	MAPFS           OID = ma + "\x19"
	MACompress      OID = ma + "\x1a"
	MACtxTrans      OID = ma + "\x1b"
)

// A Description says what a well-known OID stands for.
type Description struct {
	Name   string // as people write it: "krb5", "GSS_C_NT_USER_NAME", "GSS_C_MA_AUTH_INIT"
	Long   string // one line
	Source string // where it is assigned
}

// Describe returns what o stands for, if it is well known.
func Describe(o OID) (Description, bool) {
	if d, ok := known[o]; ok {
		return d, true
	}
	if o.HasPrefix(Reauth) && o != Reauth {
		return Description{"reauth", "tickets for fast re-authentication over another mechanism", "this project"}, true
	}
	return Description{}, false
}

var known = map[OID]Description{
	Krb5:   {"krb5", "Kerberos 5", "RFC 4121 §1"},
	MSKrb5: {"ms-krb5", "Kerberos 5, with an arc that Windows 2000 mistyped", "MS-SPNG §3.1.5.2"},
	SPNEGO: {"spnego", "negotiation of a mechanism", "RFC 4178 §3"},
	IAKERB: {"iakerb", "Kerberos with the KDC reached through the acceptor", "draft-ietf-kitten-iakerb"},
	NTLM:   {"ntlm", "NTLM challenge and response", "MS-SPNG §1.9"},
	SAnon:  {"sanon-x25519", "anonymous key agreement", "draft-howard-gss-sanon-13"},
	SPKM:   {"spkm", "Simple Public-Key mechanism, arc", "RFC 2025 §1"},
	LIPKEY: {"lipkey", "password inside SPKM-3", "RFC 2847 §1"},

	Arc:          {"gsseal", "this project's arc", "X.667 §7"},
	PKIX:         {"pkix", "certificates on both sides", "this project"},
	PKIXOneWay:   {"pkix-oneway", "a certificate proves itself in one token", "this project"},
	PKIXAnon:     {"pkix-anon", "the acceptor's certificate, an anonymous initiator", "this project"},
	PKIXPassword: {"pkix-password", "the acceptor's certificate, the initiator's password", "this project"},
	Reauth:       {"reauth-arc", "arc of reauth over another mechanism", "this project"},
	Introduced:   {"introduced", "redeems a grant of sealing", "this project"},

	EKUPKIX:         {"id-kp-gss-pkix", "extended key usage: either side of pkix", "this project"},
	EKUPKIXPassword: {"id-kp-gss-pkix-password", "extended key usage: password acceptor", "this project"},

	NTUser:        {"GSS_C_NT_USER_NAME", "a user's name", "RFC 2743 §4.2"},
	NTMachineUID:  {"GSS_C_NT_MACHINE_UID_NAME", "a numeric user id, binary", "RFC 2743 §4.3"},
	NTStringUID:   {"GSS_C_NT_STRING_UID_NAME", "a numeric user id, in digits", "RFC 2743 §4.4"},
	NTHostService: {"GSS_C_NT_HOSTBASED_SERVICE", "service@host", "RFC 2743 §4.1"},
	NTAnonymous:   {"GSS_C_NT_ANONYMOUS", "an anonymous party", "RFC 2743 §4.5"},
	NTExport:      {"GSS_C_NT_EXPORT_NAME", "an exported name", "RFC 2743 §4.7"},
	NTComposite:   {"GSS_C_NT_COMPOSITE_EXPORT", "an exported name with attributes", "RFC 6680 §10"},
	NTKrb5:        {"GSS_KRB5_NT_PRINCIPAL_NAME", "a Kerberos principal", "RFC 1964 §2.1.1"},
	NTEnterprise:  {"GSS_KRB5_NT_ENTERPRISE_NAME", "an alias of a Kerberos principal, user@domain", "RFC 6806 §5"},

	MAMechConcrete:  {"GSS_C_MA_MECH_CONCRETE", "neither a pseudo-mechanism nor a composite", "RFC 5587 §3.2"},
	MAMechPseudo:    {"GSS_C_MA_MECH_PSEUDO", "a pseudo-mechanism", "RFC 5587 §3.2"},
	MAMechComposite: {"GSS_C_MA_MECH_COMPOSITE", "a composite of other mechanisms", "RFC 5587 §3.2"},
	MAMechNego:      {"GSS_C_MA_MECH_NEGO", "negotiates other mechanisms", "RFC 5587 §3.2"},
	MAMechGlue:      {"GSS_C_MA_MECH_GLUE", "the OID of a mechanism glue", "RFC 5587 §3.2"},
	MANotMech:       {"GSS_C_MA_NOT_MECH", "not a mechanism's OID", "RFC 5587 §3.2"},
	MADeprecated:    {"GSS_C_MA_DEPRECATED", "deprecated", "RFC 5587 §3.2"},
	MANotDfltMech:   {"GSS_C_MA_NOT_DFLT_MECH", "not to be used by default", "RFC 5587 §3.2"},
	MAITokFramed:    {"GSS_C_MA_ITOK_FRAMED", "the first token is framed as RFC 2743 §3.1", "RFC 5587 §3.2"},
	MAAuthInit:      {"GSS_C_MA_AUTH_INIT", "authenticates the initiator", "RFC 5587 §3.2"},
	MAAuthTarg:      {"GSS_C_MA_AUTH_TARG", "authenticates the acceptor", "RFC 5587 §3.2"},
	MAAuthInitInit:  {"GSS_C_MA_AUTH_INIT_INIT", "authenticates the initiator to get its first credential", "RFC 5587 §3.2"},
	MAAuthTargInit:  {"GSS_C_MA_AUTH_TARG_INIT", "authenticates the acceptor to get its first credential", "RFC 5587 §3.2"},
	MAAuthInitAnon:  {"GSS_C_MA_AUTH_INIT_ANON", "lets the initiator be anonymous", "RFC 5587 §3.2"},
	MAAuthTargAnon:  {"GSS_C_MA_AUTH_TARG_ANON", "lets the acceptor be anonymous", "RFC 5587 §3.2"},
	MADelegCred:     {"GSS_C_MA_DELEG_CRED", "delegates credentials", "RFC 5587 §3.2"},
	MAIntegProt:     {"GSS_C_MA_INTEG_PROT", "integrity of messages", "RFC 5587 §3.2"},
	MAConfProt:      {"GSS_C_MA_CONF_PROT", "confidentiality of messages", "RFC 5587 §3.2"},
	MAMIC:           {"GSS_C_MA_MIC", "MIC tokens", "RFC 5587 §3.2"},
	MAWrap:          {"GSS_C_MA_WRAP", "Wrap tokens", "RFC 5587 §3.2"},
	MAProtReady:     {"GSS_C_MA_PROT_READY", "protects messages before it is established", "RFC 5587 §3.2"},
	MAReplayDet:     {"GSS_C_MA_REPLAY_DET", "detects replayed messages", "RFC 5587 §3.2"},
	MAOOSDet:        {"GSS_C_MA_OOS_DET", "detects messages out of sequence", "RFC 5587 §3.2"},
	MACBindings:     {"GSS_C_MA_CBINDINGS", "channel bindings", "RFC 5587 §3.2"},
	MAPFS:           {"GSS_C_MA_PFS", "forward secrecy", "RFC 5587 §3.2"},
	MACompress:      {"GSS_C_MA_COMPRESS", "compression", "RFC 5587 §3.2"},
	MACtxTrans:      {"GSS_C_MA_CTX_TRANS", "contexts can be exported", "RFC 5587 §3.2"},
}
