package krb5

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// An ErrorCode is what a KRB-ERROR reports, RFC 4120 §7.5.9. It is an error itself,
// which errors.Is finds in a *KRBError.
type ErrorCode int32

// Error codes, with the names of RFC 4120 §7.5.9.
const (
	KDC_ERR_NONE                ErrorCode = 0
	KDC_ERR_NAME_EXP            ErrorCode = 1
	KDC_ERR_SERVICE_EXP         ErrorCode = 2
	KDC_ERR_BAD_PVNO            ErrorCode = 3
	KDC_ERR_C_PRINCIPAL_UNKNOWN ErrorCode = 6
	KDC_ERR_S_PRINCIPAL_UNKNOWN ErrorCode = 7
	KDC_ERR_NULL_KEY            ErrorCode = 9
	KDC_ERR_CANNOT_POSTDATE     ErrorCode = 10
	KDC_ERR_NEVER_VALID         ErrorCode = 11
	KDC_ERR_POLICY              ErrorCode = 12
	KDC_ERR_BADOPTION           ErrorCode = 13
	KDC_ERR_ETYPE_NOSUPP        ErrorCode = 14
	KDC_ERR_SUMTYPE_NOSUPP      ErrorCode = 15
	KDC_ERR_PADATA_TYPE_NOSUPP  ErrorCode = 16
	KDC_ERR_TRTYPE_NOSUPP       ErrorCode = 17
	KDC_ERR_CLIENT_REVOKED      ErrorCode = 18
	KDC_ERR_KEY_EXPIRED         ErrorCode = 23
	KDC_ERR_PREAUTH_FAILED      ErrorCode = 24
	KDC_ERR_PREAUTH_REQUIRED    ErrorCode = 25
	KDC_ERR_SERVER_NOMATCH      ErrorCode = 26
	KDC_ERR_PATH_NOT_ACCEPTED   ErrorCode = 28
	KDC_ERR_SVC_UNAVAILABLE     ErrorCode = 29

	KRB_AP_ERR_BAD_INTEGRITY         ErrorCode = 31
	KRB_AP_ERR_TKT_EXPIRED           ErrorCode = 32
	KRB_AP_ERR_TKT_NYV               ErrorCode = 33
	KRB_AP_ERR_REPEAT                ErrorCode = 34
	KRB_AP_ERR_NOT_US                ErrorCode = 35
	KRB_AP_ERR_BADMATCH              ErrorCode = 36
	KRB_AP_ERR_SKEW                  ErrorCode = 37
	KRB_AP_ERR_BADADDR               ErrorCode = 38
	KRB_AP_ERR_BADVERSION            ErrorCode = 39
	KRB_AP_ERR_MSG_TYPE              ErrorCode = 40
	KRB_AP_ERR_MODIFIED              ErrorCode = 41
	KRB_AP_ERR_BADORDER              ErrorCode = 42
	KRB_AP_ERR_BADKEYVER             ErrorCode = 44
	KRB_AP_ERR_NOKEY                 ErrorCode = 45
	KRB_AP_ERR_MUT_FAIL              ErrorCode = 46
	KRB_AP_ERR_BADDIRECTION          ErrorCode = 47
	KRB_AP_ERR_METHOD                ErrorCode = 48
	KRB_AP_ERR_BADSEQ                ErrorCode = 49
	KRB_AP_ERR_INAPP_CKSUM           ErrorCode = 50
	KRB_AP_PATH_NOT_ACCEPTED         ErrorCode = 51
	KRB_ERR_RESPONSE_TOO_BIG         ErrorCode = 52
	KRB_ERR_GENERIC                  ErrorCode = 60
	KRB_ERR_FIELD_TOOLONG            ErrorCode = 61
	KRB_AP_ERR_NO_TGT                ErrorCode = 67
	KDC_ERR_WRONG_REALM              ErrorCode = 68
	KRB_AP_ERR_USER_TO_USER_REQUIRED ErrorCode = 69
)

var errorNames = map[ErrorCode]string{
	KDC_ERR_NONE:                "KDC_ERR_NONE",
	KDC_ERR_NAME_EXP:            "KDC_ERR_NAME_EXP",
	KDC_ERR_SERVICE_EXP:         "KDC_ERR_SERVICE_EXP",
	KDC_ERR_BAD_PVNO:            "KDC_ERR_BAD_PVNO",
	KDC_ERR_C_PRINCIPAL_UNKNOWN: "KDC_ERR_C_PRINCIPAL_UNKNOWN",
	KDC_ERR_S_PRINCIPAL_UNKNOWN: "KDC_ERR_S_PRINCIPAL_UNKNOWN",
	KDC_ERR_NULL_KEY:            "KDC_ERR_NULL_KEY",
	KDC_ERR_CANNOT_POSTDATE:     "KDC_ERR_CANNOT_POSTDATE",
	KDC_ERR_NEVER_VALID:         "KDC_ERR_NEVER_VALID",
	KDC_ERR_POLICY:              "KDC_ERR_POLICY",
	KDC_ERR_BADOPTION:           "KDC_ERR_BADOPTION",
	KDC_ERR_ETYPE_NOSUPP:        "KDC_ERR_ETYPE_NOSUPP",
	KDC_ERR_SUMTYPE_NOSUPP:      "KDC_ERR_SUMTYPE_NOSUPP",
	KDC_ERR_PADATA_TYPE_NOSUPP:  "KDC_ERR_PADATA_TYPE_NOSUPP",
	KDC_ERR_TRTYPE_NOSUPP:       "KDC_ERR_TRTYPE_NOSUPP",
	KDC_ERR_CLIENT_REVOKED:      "KDC_ERR_CLIENT_REVOKED",
	KDC_ERR_KEY_EXPIRED:         "KDC_ERR_KEY_EXPIRED",
	KDC_ERR_PREAUTH_FAILED:      "KDC_ERR_PREAUTH_FAILED",
	KDC_ERR_PREAUTH_REQUIRED:    "KDC_ERR_PREAUTH_REQUIRED",
	KDC_ERR_SERVER_NOMATCH:      "KDC_ERR_SERVER_NOMATCH",
	KDC_ERR_PATH_NOT_ACCEPTED:   "KDC_ERR_PATH_NOT_ACCEPTED",
	KDC_ERR_SVC_UNAVAILABLE:     "KDC_ERR_SVC_UNAVAILABLE",

	KRB_AP_ERR_BAD_INTEGRITY:         "KRB_AP_ERR_BAD_INTEGRITY",
	KRB_AP_ERR_TKT_EXPIRED:           "KRB_AP_ERR_TKT_EXPIRED",
	KRB_AP_ERR_TKT_NYV:               "KRB_AP_ERR_TKT_NYV",
	KRB_AP_ERR_REPEAT:                "KRB_AP_ERR_REPEAT",
	KRB_AP_ERR_NOT_US:                "KRB_AP_ERR_NOT_US",
	KRB_AP_ERR_BADMATCH:              "KRB_AP_ERR_BADMATCH",
	KRB_AP_ERR_SKEW:                  "KRB_AP_ERR_SKEW",
	KRB_AP_ERR_BADADDR:               "KRB_AP_ERR_BADADDR",
	KRB_AP_ERR_BADVERSION:            "KRB_AP_ERR_BADVERSION",
	KRB_AP_ERR_MSG_TYPE:              "KRB_AP_ERR_MSG_TYPE",
	KRB_AP_ERR_MODIFIED:              "KRB_AP_ERR_MODIFIED",
	KRB_AP_ERR_BADORDER:              "KRB_AP_ERR_BADORDER",
	KRB_AP_ERR_BADKEYVER:             "KRB_AP_ERR_BADKEYVER",
	KRB_AP_ERR_NOKEY:                 "KRB_AP_ERR_NOKEY",
	KRB_AP_ERR_MUT_FAIL:              "KRB_AP_ERR_MUT_FAIL",
	KRB_AP_ERR_BADDIRECTION:          "KRB_AP_ERR_BADDIRECTION",
	KRB_AP_ERR_METHOD:                "KRB_AP_ERR_METHOD",
	KRB_AP_ERR_BADSEQ:                "KRB_AP_ERR_BADSEQ",
	KRB_AP_ERR_INAPP_CKSUM:           "KRB_AP_ERR_INAPP_CKSUM",
	KRB_AP_PATH_NOT_ACCEPTED:         "KRB_AP_PATH_NOT_ACCEPTED",
	KRB_ERR_RESPONSE_TOO_BIG:         "KRB_ERR_RESPONSE_TOO_BIG",
	KRB_ERR_GENERIC:                  "KRB_ERR_GENERIC",
	KRB_ERR_FIELD_TOOLONG:            "KRB_ERR_FIELD_TOOLONG",
	KRB_AP_ERR_NO_TGT:                "KRB_AP_ERR_NO_TGT",
	KDC_ERR_WRONG_REALM:              "KDC_ERR_WRONG_REALM",
	KRB_AP_ERR_USER_TO_USER_REQUIRED: "KRB_AP_ERR_USER_TO_USER_REQUIRED",
}

// Error is the code's name in RFC 4120 and its number.
func (c ErrorCode) Error() string {
	if s, ok := errorNames[c]; ok {
		return fmt.Sprintf("%s (%d)", s, int32(c))
	}
	return fmt.Sprintf("Kerberos error %d", int32(c))
}

// A KRBError is a KRB-ERROR message, and an error. Nothing in it is authenticated:
// it is a hint, never a reason to lower a guard.
type KRBError struct {
	CTime  time.Time // zero: none
	CUsec  int       // microseconds of CTime
	STime  time.Time
	SUsec  int // microseconds of STime
	Code   ErrorCode
	CRealm string        // empty: none
	CName  PrincipalName // nil Components: none
	Realm  string        // of the service
	SName  PrincipalName // of the service
	EText  string        // for people; any octets
	EData  []byte        // nil: none; what it is depends on Code
}

// Error is one line for people and logs; the peer's text is quoted and cut.
func (e *KRBError) Error() string {
	if e.EText == "" {
		return e.Code.Error()
	}
	return fmt.Sprintf("%s: %.200q", e.Code.Error(), e.EText)
}

// Is reports whether target is e's Code.
func (e *KRBError) Is(target error) bool { c, ok := target.(ErrorCode); return ok && c == e.Code }

// ParseKRBError reads a KRB-ERROR. Error: ErrMalformed.
func ParseKRBError(b []byte) (*KRBError, error) { return parse(b, "KRB-ERROR", readKRBError) }

// KRB-ERROR ::= [APPLICATION 30] SEQUENCE {       RFC 4120 §5.9.1
//
//	pvno       [0] INTEGER (5),
//	msg-type   [1] INTEGER (30),
//	ctime      [2] KerberosTime OPTIONAL,
//	cusec      [3] Microseconds OPTIONAL,
//	stime      [4] KerberosTime,
//	susec      [5] Microseconds,
//	error-code [6] Int32,
//	crealm     [7] Realm OPTIONAL,
//	cname      [8] PrincipalName OPTIONAL,
//	realm      [9] Realm,
//	sname      [10] PrincipalName,
//	e-text     [11] KerberosString OPTIONAL,
//	e-data     [12] OCTET STRING OPTIONAL }
func readKRBError(s *cryptobyte.String, e *KRBError) bool {
	var body cryptobyte.String
	return readApplication(s, msgError, &body) &&
		readConst(&body, 0, pvno) &&
		readConst(&body, 1, msgError) &&
		optional(&body, 2, &e.CTime, readTime) &&
		optional(&body, 3, &e.CUsec, readMicroseconds) &&
		readTime(&body, 4, &e.STime) &&
		readMicroseconds(&body, 5, &e.SUsec) &&
		readInt32(&body, 6, &e.Code) &&
		optional(&body, 7, &e.CRealm, readRealm) &&
		optional(&body, 8, &e.CName, readName) &&
		readRealm(&body, 9, &e.Realm) &&
		readNameOrEmpty(&body, 10, &e.SName) &&
		optional(&body, 11, &e.EText, readText) &&
		optional(&body, 12, &e.EData, readOctets) &&
		body.Empty()
}

// readText reads a KerberosString that nobody compares, so any octets will do: some
// peers end it with NUL, some write it in a local character set.
func readText(s *cryptobyte.String, n uint8, out *string) bool {
	var body cryptobyte.String
	if !readField(s, n, &body, tagGeneralString) || len(body) > maxString {
		return false
	}
	*out = string(body)
	return true
}

// Append appends the DER of e to dst.
func (e *KRBError) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, msgError, func(b *builder) {
			addInt(b, 0, pvno)
			addInt(b, 1, msgError)
			if !e.CTime.IsZero() {
				addTime(b, 2, e.CTime)
			}
			if !e.CTime.IsZero() || e.CUsec != 0 {
				addInt(b, 3, int64(e.CUsec))
			}
			addTime(b, 4, e.STime)
			addInt(b, 5, int64(e.SUsec))
			addInt(b, 6, int64(e.Code))
			if e.CRealm != "" {
				addString(b, 7, e.CRealm)
			}
			if len(e.CName.Components) > 0 {
				addName(b, 8, e.CName)
			}
			addString(b, 9, e.Realm)
			addName(b, 10, e.SName)
			if e.EText != "" {
				addString(b, 11, e.EText)
			}
			if e.EData != nil {
				addOctets(b, 12, e.EData)
			}
		})
	})
}
