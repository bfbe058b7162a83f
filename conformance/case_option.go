package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

var optionCases = []Case{
	{"options/defaults", "gss.InitOptions", optionDefaults},
	{"options/require-refused", "RFC 2743 §1.2.8, gss.InitOptions", optionRequireRefused},
	{"options/accept-require-refused", "gss.AcceptOptions", optionAcceptRequireRefused},
	{"options/target", "gss.Mechanism", optionTarget},
	{"options/credential-of-another", "gss.SelectCredential", optionForeignCredential},
	{"options/not-kept", "gss.InitOptions", optionNotKept},
	{"bindings/equal", "RFC 2743 §1.1.6, RFC 5056", bindingsEqual},
	{"bindings/different", "RFC 2743 §1.1.6, RFC 5056", bindingsDifferent},
	{"bindings/initiator-only", "gss.AcceptOptions", bindingsInitiatorOnly},
	{"bindings/acceptor-only", "gss.AcceptOptions", bindingsAcceptorOnly},
	{"bindings/optional", "gss.AcceptOptions", bindingsOptional},
}

// optionDefaults: nil means the zero value.
func optionDefaults(r *recorder) {
	h, err := r.s.Initiator.Initiate(r.s.Target, nil)
	if err != nil {
		r.refused(err, "Initiate without options")
	} else {
		h.Close()
	}
	h, err = r.s.Acceptor.Accept(nil)
	if err != nil {
		r.refused(err, "Accept without options")
	} else {
		h.Close()
	}
}

// unheardOf is a flag that nobody has.
const unheardOf gss.Flags = 1 << 30

func optionRequireRefused(r *recorder) {
	t := r.attempt(func(s *Setup) { s.InitOptions.Require = s.InitOptions.Resolved().Require | unheardOf })
	r.refused(t.InitErr, "an initiator that requires an unknown flag", gss.Unavailable)
	if t.Initiator != nil {
		r.errorf("the initiator has a context without a flag that it requires")
	}
	t = r.attempt(func(s *Setup) { s.InitOptions.Request |= unheardOf })
	if t.Err() != nil {
		r.errorf("an unknown flag, requested only: %v", t.Err())
	} else if t.Initiator.Info().Flags.Has(unheardOf) || t.Acceptor.Info().Flags.Has(unheardOf) {
		r.errorf("a context has an unknown flag")
	}
	// Whatever one of the common flags a mechanism lacks, it must say so.
	for _, f := range []gss.Flags{gss.Mutual, gss.Replay, gss.Sequence, gss.Conf, gss.Integ, gss.Anon, gss.Deleg, gss.DCEStyle} {
		t := r.attempt(func(s *Setup) {
			s.InitOptions.Require = s.InitOptions.Resolved().Require | f
			s.AcceptOptions.AllowAnonymous = true
		})
		switch {
		case t.Initiator != nil && !t.Initiator.Info().Flags.Has(f):
			r.errorf("%v required, and a context without it", f)
		case t.Initiator == nil && t.InitErr == nil && t.AcceptErr == nil:
			r.errorf("%v required: no context and no error: %v", f, t.Broken)
		case t.InitErr != nil:
			r.refused(t.InitErr, fmt.Sprintf("%v required", f))
		}
	}
}

func optionAcceptRequireRefused(r *recorder) {
	t := r.attempt(func(s *Setup) { s.AcceptOptions.Require |= unheardOf })
	if t.Acceptor != nil {
		r.errorf("the acceptor has a context without a flag that it requires")
	}
	if t.AcceptErr == nil && t.InitErr == nil {
		r.errorf("nobody says why there is no context: %v", t.Broken)
	}
	if t.AcceptErr != nil {
		r.refused(t.AcceptErr, "an acceptor that requires an unknown flag", gss.Unavailable)
	}
	if t.InitErr != nil {
		r.refused(t.InitErr, "its initiator")
	}
}

func optionTarget(r *recorder) {
	for what, tt := range map[string]struct {
		target gss.Name
		want   []gss.Major
	}{
		"no target":                  {gss.Name{}, []gss.Major{gss.BadName, gss.BadNameType}},
		"a name type of nobody":      {gss.Name{Type: oid.Arc + "\x7f", Text: "x"}, []gss.Major{gss.BadNameType, gss.BadName}},
		"another mechanism's name":   {gss.Name{Mech: oid.Arc + "\x7f", Text: "x"}, []gss.Major{gss.BadName, gss.BadNameType}},
		"a name with a NUL":          {gss.Service("host", "a\x00b"), nil},
		"a name that is no UTF-8":    {gss.Service("host", "a\xff\xfe"), nil},
		"a service without a host":   {gss.Service("host", ""), nil},
		"a host without a service":   {gss.Service("", "host"), nil},
		"a name with two separators": {gss.Service("host", "a@b/c@d"), nil},
		"64 KiB of name":             {gss.Service("host", strings.Repeat("a", 1<<16)), nil},
	} {
		t := r.attempt(func(s *Setup) { s.Target = tt.target })
		if t.InitErr == nil && t.AcceptErr == nil && t.Err() != nil {
			r.errorf("%s: %v", what, t.Err())
		}
		if t.InitErr != nil {
			r.refused(t.InitErr, what, tt.want...)
		}
		if t.AcceptErr != nil {
			r.refused(t.AcceptErr, what)
		}
		if len(tt.want) > 0 && t.Initiator != nil {
			r.errorf("%s: accepted", what)
		}
	}
}

// foreign is a credential of no mechanism.
type foreign struct{}

func (foreign) Mech() oid.OID     { return oid.Arc + "\x7f" }
func (foreign) Name() gss.Name    { return gss.Name{} }
func (foreign) Expiry() time.Time { return time.Time{} }
func (foreign) Close() error      { return nil }

// optionForeignCredential: whoever names a credential never gets a default.
func optionForeignCredential(r *recorder) {
	t := r.attempt(func(s *Setup) { s.InitOptions.Credentials = []gss.Credential{foreign{}} })
	if t.Initiator != nil {
		r.errorf("the initiator used a default behind the back of a caller who named a credential")
	} else {
		r.refused(t.InitErr, "an initiator with a credential of another mechanism", gss.NoCred)
	}
	t = r.attempt(func(s *Setup) { s.AcceptOptions.Credentials = []gss.Credential{foreign{}} })
	if t.Acceptor != nil {
		r.errorf("the acceptor used a default behind the back of a caller who named a credential")
	}
}

// optionNotKept changes the options between Initiate and Step.
func optionNotKept(r *recorder) {
	s := r.s
	if s.Prepare != nil {
		if err := s.Prepare(&s); err != nil {
			r.fatalf("Prepare: %v", err)
		}
	}
	s.InitOptions.Credentials = slices.Clone(s.InitOptions.Credentials)
	s.AcceptOptions.Credentials = slices.Clone(s.AcceptOptions.Credentials)
	s.InitOptions.Bindings = bytes.Clone(s.InitOptions.Bindings)
	s.AcceptOptions.Bindings = bytes.Clone(s.AcceptOptions.Bindings)
	i, err := s.Initiator.Initiate(s.Target, &s.InitOptions)
	if err != nil {
		r.fatalf("Initiate: %v", err)
	}
	a, err := s.Acceptor.Accept(&s.AcceptOptions)
	if err != nil {
		r.fatalf("Accept: %v", err)
	}
	clear(s.InitOptions.Credentials)
	clear(s.AcceptOptions.Credentials)
	scribble(s.InitOptions.Bindings)
	scribble(s.AcceptOptions.Bindings[:len(s.AcceptOptions.Bindings)/2]) // not to the same octets
	s.InitOptions = gss.InitOptions{Require: unheardOf, Bindings: []byte("tls-exporter:later")}
	s.AcceptOptions = gss.AcceptOptions{Require: unheardOf, Bindings: []byte("tls-unique:later")}
	t := Pump(r.ctx, i, a)
	r.cleanup(t.Close)
	if t.Err() != nil {
		r.errorf("options that changed after Initiate and Accept mattered: %v", t.Err())
	}
}

// bind runs a handshake with these channel bindings.
func (r *recorder) bind(i, a string, optional bool) *Trace {
	return r.attempt(func(s *Setup) {
		s.InitOptions.Bindings, s.AcceptOptions.Bindings = []byte(i), []byte(a)
		s.AcceptOptions.BindingsOptional = optional
	})
}

// bindable ends a case if the mechanism does not say that it has bindings.
func (r *recorder) bindable() {
	d, ok := r.s.Initiator.(gss.Described)
	if !ok {
		r.notApplicable("the mechanism is not Described")
	}
	if !slices.Contains(d.Attributes(), oid.MACBindings) {
		r.notApplicable("GSS_C_MA_CBINDINGS is not among its attributes")
	}
}

func bindingsEqual(r *recorder) {
	r.bindable()
	for _, b := range []string{"tls-exporter:0123456789abcdef0123456789abcdef", "x:", "x:" + strings.Repeat("\x00", 1<<16)} {
		t := r.bind(b, b, false)
		if t.Err() != nil {
			r.errorf("equal bindings of %d octets: %v", len(b), t.Err())
			continue
		}
		if !t.Acceptor.Info().Flags.Has(gss.Bound) {
			r.errorf("equal bindings, and the acceptor's context is not Bound")
		}
		r.agree(pair{t.Initiator, t.Acceptor}, "equal bindings")
	}
}

// unbound checks that t led to no bound context, and if it must fail, that it
// failed and somebody says BadBindings.
func (r *recorder) unbound(t *Trace, what string, mustFail bool) {
	for _, sc := range []gss.Context{t.Initiator, t.Acceptor} {
		if sc != nil && sc.Info().Flags.Has(gss.Bound) {
			r.errorf("%s: a context is Bound", what)
		}
	}
	for _, err := range []error{t.InitErr, t.AcceptErr} {
		if err != nil {
			r.refused(err, what)
		}
	}
	if !mustFail {
		return
	}
	if t.Acceptor != nil {
		r.errorf("%s: the acceptor has a context", what)
	}
	i, a := gss.MajorOf(t.InitErr), gss.MajorOf(t.AcceptErr)
	if i != gss.BadBindings && a != gss.BadBindings && i != gss.Unavailable && a != gss.Unavailable {
		r.errorf("%s: nobody says BadBindings: %v; %v", what, t.InitErr, t.AcceptErr)
	}
}

func bindingsDifferent(r *recorder) {
	for _, b := range [][2]string{{"tls-exporter:one", "tls-exporter:two"}, {"x:1", "x:12"}, {"x:\x00", "x:"}, {"tls-exporter:a", "tls-unique:a"}} {
		r.unbound(r.bind(b[0], b[1], false), "different bindings", true)
		r.unbound(r.bind(b[0], b[1], true), "different bindings, optional", true)
	}
}

func bindingsInitiatorOnly(r *recorder) {
	t := r.bind("tls-exporter:one", "", false)
	r.unbound(t, "the initiator's bindings only", false)
	if t.InitErr == nil && t.AcceptErr == nil && t.Err() != nil {
		r.errorf("the initiator's bindings only: %v", t.Err())
	}
}

func bindingsAcceptorOnly(r *recorder) {
	r.unbound(r.bind("", "tls-exporter:one", false), "the acceptor's bindings only", true)
}

func bindingsOptional(r *recorder) {
	t := r.bind("", "tls-exporter:one", true)
	r.unbound(t, "the acceptor's bindings only, optional", false)
	if t.AcceptErr != nil { // fail closed, and say that it cannot be had
		r.refused(t.AcceptErr, "the acceptor's bindings only, optional", gss.Unavailable, gss.BadBindings)
	}
}
