package openapi_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
)

// security is a list of alternatives, each of scopes by scheme; nil where nothing is said.
type security []map[string][]string

// spec is a document as OpenAPI means it, to be read without any of our code.
type spec struct {
	global security
	own    map[string]security // by method and path
}

// callers are nobody and every holder of some of the scopes.
var callers = func() [][]string {
	out := [][]string{nil}
	for i := range 8 {
		held := []string{}
		for j, s := range []string{"a", "b", "c"} {
			if i>>j&1 == 1 {
				held = append(held, s)
			}
		}
		out = append(out, held)
	}
	return out
}()

func drawSecurity(t *rapid.T, label string) security {
	if rapid.Bool().Draw(t, label+" is said") {
		return nil
	}
	out := security{}
	for range rapid.IntRange(0, 3).Draw(t, label) {
		one := map[string][]string{}
		for _, scheme := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"login", "other", "key"}), 0, 2, rapid.ID).Draw(t, "schemes") {
			one[scheme] = []string{}
			if scheme != "key" {
				one[scheme] = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 2).Draw(t, "scopes")
			}
		}
		out = append(out, one)
	}
	return out
}

func drawSpec(t *rapid.T, label string) *spec {
	s := &spec{global: drawSecurity(t, label), own: map[string]security{"GET /always": {}}}
	for range rapid.IntRange(0, 6).Draw(t, label+" operations") {
		path := rapid.SampledFrom([]string{"/p", "/p/{id}", "/p/one", "/p/{id}/q", "/r/{a}/{b}"}).Draw(t, "path")
		s.own[rapid.SampledFrom([]string{"GET ", "PUT ", "HEAD "}).Draw(t, "method")+path] = drawSecurity(t, path)
	}
	return s
}

func (s security) yaml() string {
	var list []string
	for _, one := range s {
		var schemes []string
		for _, name := range slices.Sorted(maps.Keys(one)) {
			schemes = append(schemes, name+": ["+strings.Join(one[name], ", ")+"]")
		}
		list = append(list, "{ "+strings.Join(schemes, ", ")+" }")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func (s *spec) yaml() string {
	var b strings.Builder
	b.WriteString("openapi: 3.1.0\n")
	if s.global != nil {
		fmt.Fprintf(&b, "security: %s\n", s.global.yaml())
	}
	b.WriteString("paths:\n")
	paths := map[string][]string{}
	for key := range s.own {
		method, path, _ := strings.Cut(key, " ")
		paths[path] = append(paths[path], method)
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		fmt.Fprintf(&b, "  %s:\n", path)
		for _, method := range slices.Sorted(slices.Values(paths[path])) {
			own := "operationId: x"
			if s := s.own[method+" "+path]; s != nil {
				own = "security: " + s.yaml()
			}
			fmt.Fprintf(&b, "    %s: { %s }\n", strings.ToLower(method), own)
		}
	}
	return b.String() + schemes
}

// of is the security of an operation, nil where nothing is said about it.
func (s *spec) of(key string) security {
	if own := s.own[key]; own != nil {
		return own
	}
	return s.global
}

// lets tells whether the operation is for a caller, as far as a gateway can see that checks tokens.
func (s security) lets(held []string) bool {
	if s == nil {
		return false // the choice that import makes
	}
	if len(s) == 0 {
		return true
	}
	return slices.ContainsFunc(s, func(one map[string][]string) bool {
		for scheme, scopes := range one {
			if scheme == "key" || held == nil || slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(held, s) }) {
				return false
			}
		}
		return true
	})
}

// beyond tells that only what the gateway does not check lets in.
func (s security) beyond() bool {
	return s == nil || len(s) > 0 && !slices.ContainsFunc(s, func(one map[string][]string) bool { return one["key"] == nil })
}

// answering is the operation that answers a request, "" for none: a path without parameters goes
// before one with them, and the path that wins owns the answer.
func (s *spec) answering(method, path string) string {
	template := path
	if !slices.ContainsFunc(slices.Collect(maps.Keys(s.own)), func(key string) bool { return strings.HasSuffix(key, " "+path) }) {
		template = strings.NewReplacer("/p/one", "/p/{id}", "/p/x", "/p/{id}", "/r/x/y", "/r/{a}/{b}").Replace(path)
	}
	if _, ok := s.own[method+" "+template]; ok {
		return method + " " + template
	}
	if _, ok := s.own["GET "+template]; ok && method == "HEAD" {
		return "GET " + template
	}
	return ""
}

// TestDraftDecidesAsTheDocumentSays asks the policy about every operation and every caller.
func TestDraftDecidesAsTheDocumentSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t, "document")
		p := load(t, s)
		for key, own := range s.own {
			method, path, _ := strings.Cut(key, " ")
			if own == nil {
				own = s.global
			}
			for _, held := range callers {
				if got := decide(t, p, method, path, held); got != own.lets(held) {
					t.Errorf("%s with %v: allowed is %v in\n%s", key, held, got, s.yaml())
				}
			}
		}
	})
}

// TestDriftIsBruteForce compares a document with the policy of another one, once by Drift and once
// by asking both about every operation, method and caller.
func TestDriftIsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		said, other := drawSpec(t, "document"), drawSpec(t, "policy")
		doc := parse(t, said)
		report, err := doc.Drift(load(t, other), openapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		type pair struct{ asked, rule string }
		got, want := map[pair]openapi.Kind{}, map[pair]openapi.Kind{}
		for _, d := range report.Differences {
			for _, w := range d.Witnesses {
				got[pair{said.answering(w.Request.Method, known(w.Request.Path)), other.answering(w.Request.Method, known(w.Request.Path))}] = d.Kind
			}
		}
		for _, path := range []string{"/always", "/p", "/p/one", "/p/x", "/p/x/q", "/r/x/y"} {
			for _, method := range []string{"GET", "PUT", "HEAD"} {
				if kind := kindOf(said, other, method, path); kind != "" {
					want[pair{said.answering(method, path), other.answering(method, path)}] = kind
				}
			}
		}
		for p, kind := range got {
			if kind == openapi.AnyForAll && want[p] == openapi.Looser || kind == openapi.AllForAny && want[p] == openapi.Stricter {
				got[p] = want[p]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\ndocument:\n%s\npolicy:\n%s", diff, said.yaml(), other.yaml())
		}
	})
}

// kindOf is the disagreement about one operation, by brute force.
func kindOf(said, other *spec, method, path string) openapi.Kind {
	asked, rule := said.answering(method, path), other.answering(method, path)
	var more, less bool
	for _, held := range callers {
		document := asked != "" && said.of(asked).lets(held)
		policy := rule != "" && other.of(rule).lets(held)
		more, less = more || policy && !document, less || document && !policy
	}
	public := rule != "" && other.of(rule).lets(nil)
	beyond := asked != "" && said.of(asked).beyond()
	switch {
	case asked == "" && more:
		return openapi.Undocumented
	case asked != "" && rule == "":
		return openapi.Unrouted
	case asked == "":
		return ""
	case public && more:
		return openapi.Public
	case beyond:
		return ""
	case less && said.of(asked).lets(nil):
		return openapi.Secured
	case more && less:
		return openapi.Different
	case more:
		return openapi.Looser
	case less:
		return openapi.Stricter
	}
	return ""
}

// known is the path of the drawn ones that a witness stands for.
func known(path string) string {
	parts := strings.Split(path, "/")
	switch {
	case parts[1] == "r":
		return "/r/x/y"
	case len(parts) == 4:
		return "/p/x/q"
	case len(parts) == 3 && parts[2] != "one":
		return "/p/x"
	}
	return path
}

func parse(t *rapid.T, s *spec) *openapi.Document {
	doc, err := openapi.Read("api.yaml", ".", "api.yaml", []byte(s.yaml()), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.yaml())
	}
	return doc
}

func load(t *rapid.T, s *spec) *policy.Policy {
	draft, err := parse(t, s).Import(openapi.Options{Service: "service"})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.yaml())
	}
	p, findings := policy.Load("policy.yaml", draft.Policy)
	if p == nil {
		t.Fatalf("%v\n%s", findings, draft.Policy)
	}
	return p
}

func decide(t *rapid.T, p *policy.Policy, method, path string, held []string) bool {
	path = strings.NewReplacer("{", "", "}", "").Replace(path)
	req, err := policy.NewRequest(&policy.Received{Method: method, Target: path, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		t.Fatal(err)
	}
	caller := &policy.Caller{Anonymous: held == nil, Scopes: p.Scopes(held)}
	decision := p.Decide(&req, caller)
	return decision.Allow
}
