package gss

import "fmt"

// A Major is a GSS status with its RFC 2744 §3.9.1 number, and itself an error:
// errors.Is(err, gss.BadMIC). Zero (GSS_S_COMPLETE) is never returned as an
// error, and GSS_S_CONTINUE_NEEDED has no Major: see Handshake.Step.
type Major uint32

// Routine errors, RFC 2743 §1.2.1.1; the numbers are RFC 2744 §3.9.1's.
const (
	BadMech             Major = 1 << 16
	BadName             Major = 2 << 16
	BadNameType         Major = 3 << 16
	BadBindings         Major = 4 << 16
	BadStatus           Major = 5 << 16
	BadMIC              Major = 6 << 16 // also GSS_S_BAD_SIG
	NoCred              Major = 7 << 16
	NoContext           Major = 8 << 16
	DefectiveToken      Major = 9 << 16
	DefectiveCredential Major = 10 << 16
	CredentialsExpired  Major = 11 << 16
	ContextExpired      Major = 12 << 16
	Failure             Major = 13 << 16
	BadQOP              Major = 14 << 16
	Unauthorized        Major = 15 << 16
	Unavailable         Major = 16 << 16
	DuplicateElement    Major = 17 << 16
	NameNotMN           Major = 18 << 16
)

// Supplementary statuses of per-message calls, RFC 2743 §1.2.1.1 and §1.2.3.
// There they come beside a message; here each is an error and the message is
// withheld.
const (
	DuplicateToken Major = 1 << 1
	OldToken       Major = 1 << 2
	UnseqToken     Major = 1 << 3
	GapToken       Major = 1 << 4
)

var majorText = map[Major]string{
	BadMech:             "unsupported mechanism",
	BadName:             "invalid name",
	BadNameType:         "unsupported name type",
	BadBindings:         "channel bindings do not match",
	BadStatus:           "invalid status",
	BadMIC:              "integrity check failed",
	NoCred:              "no usable credential",
	NoContext:           "no context",
	DefectiveToken:      "defective token",
	DefectiveCredential: "defective credential",
	CredentialsExpired:  "credential expired",
	ContextExpired:      "context expired",
	Failure:             "failure",
	BadQOP:              "unsupported quality of protection",
	Unauthorized:        "not authorized",
	Unavailable:         "unavailable",
	DuplicateElement:    "duplicate element",
	NameNotMN:           "not a mechanism name",
	DuplicateToken:      "duplicate token",
	OldToken:            "token too old to judge",
	UnseqToken:          "token out of sequence",
	GapToken:            "tokens missing before this one",
}

// Error says what m means in a few words.
func (m Major) Error() string {
	if s, ok := majorText[m]; ok {
		return s
	}
	return fmt.Sprintf("status %#x", uint32(m))
}

var majorName = map[Major]string{
	BadMech: "BAD_MECH", BadName: "BAD_NAME", BadNameType: "BAD_NAMETYPE", BadBindings: "BAD_BINDINGS",
	BadStatus: "BAD_STATUS", BadMIC: "BAD_MIC", NoCred: "NO_CRED", NoContext: "NO_CONTEXT",
	DefectiveToken: "DEFECTIVE_TOKEN", DefectiveCredential: "DEFECTIVE_CREDENTIAL",
	CredentialsExpired: "CREDENTIALS_EXPIRED", ContextExpired: "CONTEXT_EXPIRED", Failure: "FAILURE",
	BadQOP: "BAD_QOP", Unauthorized: "UNAUTHORIZED", Unavailable: "UNAVAILABLE",
	DuplicateElement: "DUPLICATE_ELEMENT", NameNotMN: "NAME_NOT_MN", DuplicateToken: "DUPLICATE_TOKEN",
	OldToken: "OLD_TOKEN", UnseqToken: "UNSEQ_TOKEN", GapToken: "GAP_TOKEN",
}

// Symbol returns m's name in RFC 2744 §3.9.1 without its prefix GSS_S_, such as
// "BAD_MIC"; in hexadecimal if it has none. It is what to search for.
func (m Major) Symbol() string {
	if s, ok := majorName[m]; ok {
		return s
	}
	return fmt.Sprintf("%#x", uint32(m))
}
