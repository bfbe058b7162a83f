package kdctest

import (
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// A Request is what a KDC is asked, before it looks closer.
type Request struct {
	TGS    bool   // a TGS-REQ; otherwise an AS-REQ
	N      int    // how many of its kind have come, with this one
	Client string // of an AS-REQ, without realm
	Server string // without realm
	UDP    bool
}

// A Fault is what goes wrong with a request. The zero Fault is nothing.
type Fault struct {
	Delay time.Duration // before the request is looked at
	Drop  bool          // there is no answer; a TCP connection is closed
	Error int32         // the answer is a KRB-ERROR with this code

	// Reply, if not nil, makes what is sent of the answer. It may change and return it.
	Reply func(answer []byte) []byte
}

// Intercept has f decide about every request from now on; nil ends that. Requests over
// TCP come at the same time.
func (r *Realm) Intercept(f func(Request) Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// FailNext answers the next requests with these error codes (RFC 4120 §7.5.9), one
// each, such as 29, KDC_ERR_SVC_UNAVAILABLE; 0 is the proper answer. It takes the place
// of what Intercept was told before.
func (r *Realm) FailNext(codes ...int32) {
	left := make(chan int32, len(codes))
	for _, c := range codes {
		left <- c
	}
	r.Intercept(func(Request) Fault {
		select {
		case c := <-left:
			return Fault{Error: c}
		default:
			return Fault{}
		}
	})
}

// Requests returns how many AS and TGS requests have come, those with faults too.
func (r *Realm) Requests() (as, tgs int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.asked[0], r.asked[1]
}

// intercept counts a request and returns its fault.
func (r *Realm) intercept(req *krb5.KDCReq, udp bool) Fault {
	kind := 0
	if req.TGS {
		kind = 1
	}
	r.mu.Lock()
	r.asked[kind]++
	n, f := r.asked[kind], r.fault
	r.mu.Unlock()
	if f == nil {
		return Fault{}
	}
	return f(Request{TGS: req.TGS, N: n, Client: req.Body.CName.String(), Server: req.Body.SName.String(), UDP: udp})
}

// Refuse answers every request that names a principal, as its client or its service,
// with an error code, such as 18, KDC_ERR_CLIENT_REVOKED, or 23, KDC_ERR_KEY_EXPIRED.
// 0 ends that.
func (r *Realm) Refuse(name string, code int32) error {
	return r.change(name, func(p *principal) error {
		p.refused = krb5.ErrorCode(code)
		return nil
	})
}

// change changes a principal.
func (r *Realm) change(name string, f func(*principal) error) error {
	return r.check(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		id, p, err := r.find(name)
		if err == nil {
			err = f(&p)
		}
		if err == nil {
			r.principals[id] = p
		}
		return err
	}())
}
