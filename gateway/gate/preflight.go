package gate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// announced returns the method that a preflight asks for. A preflight is an
// OPTIONS with one Origin and one Access-Control-Request-Method, sent by a
// browser on its own and without any credential (Fetch standard, "CORS-preflight
// fetch"). No browser sends a method override with it.
func (x *Exchange) announced() (method string, ok bool) {
	if x.request.Method != http.MethodOptions || !x.shares() || x.request.Override != "" {
		return "", false
	}
	asked := x.in.Header.Values("Access-Control-Request-Method")
	if len(asked) != 1 || x.origin() == "" {
		return "", false
	}
	return asked[0], true
}

// preflight answers for the request that a preflight announces, as far as this
// can be done without a token: its path must have one reading and a route. It
// tells no more than any request without a token is told: the methods of a route
// stand in the Allow of a 405 as well. Where routes are hidden it answers for
// every path alike. Access-Control-Request-Private-Network is not looked at: the
// answer to it would be for the network's owner to give.
func (x *Exchange) preflight(method string) error {
	announced := x.request
	announced.Method = method
	x.match = x.service.Policy.Match(&announced)
	x.match.Method = x.request.Method // the record is about the preflight
	switch {
	case x.match.Reason == policy.ReasonAmbiguousRequest:
		return &Refusal{Reason: ReasonAmbiguous, Guard: x.match.Guard}
	case x.match.Reason == policy.ReasonNoRoute && !x.service.HideRoutes:
		return refused(ReasonNoRoute)
	}
	methods := x.methodsFor(method)
	r := &Refusal{Reason: ReasonPreflight, methods: strings.Join(methods, ", ")}
	if r.Err = x.unfit(method, methods); r.Err != nil {
		r.Reason = ReasonPreflightRefused
	}
	return r
}

// standard are the methods that a rule for ANY lists by name, so that a browser
// which has asked for one of them knows of the others. OPTIONS is left to those
// that ask for it.
var standard = []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut}

// methodsFor lists the methods of the route, sorted: those with a rule, HEAD
// with GET, and for ANY the standard ones and the one that was asked for. Where
// routes are hidden every path looks as if it had nothing but ANY.
func (x *Exchange) methodsFor(asked string) (methods []string) {
	takesAny := x.service.HideRoutes
	if !takesAny {
		for _, rule := range x.match.Route.Rules() {
			takesAny = takesAny || rule.Method() == "ANY"
		}
		if listed := x.match.Route.Allow(); listed != "" {
			methods = strings.Split(listed, ", ")
		}
	}
	if takesAny {
		methods = append(methods, standard...)
		if policy.ValidMethod(asked) {
			methods = append(methods, asked)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// unfit is why a browser will not send what the preflight announces.
func (x *Exchange) unfit(method string, methods []string) error {
	p := x.service.pages
	if origin := x.origin(); !p.all && p.find(origin) == "" {
		return fmt.Errorf("the origin %q is not one of cors.origins", origin)
	}
	if !slices.Contains(methods, method) {
		return fmt.Errorf("the route has no method %q", method)
	}
	for _, line := range x.in.Header.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			if name != "" && !slices.ContainsFunc(p.fields, func(f string) bool { return strings.EqualFold(f, name) }) {
				return fmt.Errorf("the field %q is not one of cors.headers", name)
			}
		}
	}
	return nil
}

// answerPreflight writes what the page's browser compares with what the page
// asks for. An origin that is not listed gets nothing to compare.
func (x *Exchange) answerPreflight(a *Answer) {
	if !x.shares() || !x.share("", a.merge) {
		return
	}
	p := x.service.pages
	a.set("Access-Control-Allow-Methods", x.refusal.methods)
	if p.headers != "" {
		a.set("Access-Control-Allow-Headers", p.headers)
	}
	a.set("Access-Control-Max-Age", p.maxAge)
}
