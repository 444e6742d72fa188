package openapi_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
)

// read reads a document that refers to no other file.
func read(t testing.TB, src string) *openapi.Document {
	t.Helper()
	doc, err := openapi.Read("api.yaml", ".", "api.yaml", []byte(src), nil)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// drafted imports a document, and loads what it became.
func drafted(t testing.TB, doc *openapi.Document, options openapi.Options) (*openapi.Draft, *policy.Policy) {
	t.Helper()
	if options.Service == "" {
		options.Service = "service"
	}
	draft, err := doc.Import(options)
	if err != nil {
		t.Fatal(err)
	}
	p, findings := policy.Load("policy.yaml", draft.Policy)
	if p == nil {
		t.Fatalf("the draft does not load: %v\n%s", findings.Errors(), draft.Policy)
	}
	return draft, p
}

// rules lists what a policy needs, by method and path.
func rules(p *policy.Policy) map[string]string {
	out := map[string]string{}
	for _, route := range p.Routes() {
		for _, rule := range route.Rules() {
			out[rule.Method()+" "+route.Template()] = rule.Requirement()
		}
	}
	return out
}

// schemes stand below every document of the tables.
const schemes = `
components:
  securitySchemes:
    login: { type: oauth2, flows: { password: { tokenUrl: /t, scopes: { a: About a, b: About b, c: "" } } } }
    other: { type: openIdConnect, openIdConnectUrl: https://login.example }
    bearer: { type: http, scheme: BEARER }
    basic: { type: http, scheme: basic }
    key: { type: apiKey, in: header, name: X-Key }
    tls: { type: mutualTLS }
`

// What a security requirement becomes, and which findings tell that it is not the whole truth.
func TestSecurityBecomesARequirement(t *testing.T) {
	for _, c := range []struct{ claim, global, own, want, ids string }{
		{"an empty list is public", "[{ login: [a] }]", "[]", "public", ""},
		{"an empty object is public, whatever stands beside it", "", "[{ login: [a] }, {}]", "public", ""},
		{"public stands above what cannot be said", "", "[{ key: [] }, {}]", "public", "SG402"},
		{"the document's own holds where an operation says nothing", "[{ login: [a] }]", "", "a", ""},
		{"the operation's takes the place of the document's", "[{ login: [a] }]", "[{ login: [b] }]", "b", ""},
		{"an empty list of the document is public", "[]", "", "public", ""},
		{"nothing said is closed", "", "", "nobody", "SG401"},
		{"null is no list, and closed", "[{ login: [a] }]", "null", "nobody", "SG410"},
		{"null of the document is closed", "null", "", "nobody", "SG410"},
		{"a null entry is closed", "", "[null]", "nobody", "SG410"},
		{"several scopes of a scheme are all needed", "", "[{ login: [a, b] }]", "(a and b)", ""},
		{"several schemes in one object are all needed", "", "[{ login: [a], other: [b] }]", "(a and b)", ""},
		{"several objects are alternatives", "", "[{ login: [a] }, { other: [b] }]", "(a or b)", ""},
		{"alternatives of several scopes nest", "", "[{ login: [a, b] }, { login: [c] }]", "((a and b) or c)", ""},
		{"an alternative that asks for more is left out", "", "[{ login: [a, b] }, { login: [a] }]", "a", ""},
		{"equal alternatives are one", "", "[{ login: [a, b] }, { other: [b, a] }]", "(a and b)", ""},
		{"a repeated scope counts once", "", "[{ login: [a, a] }]", "a", ""},
		{"a Bearer token without scopes is any token", "", "[{ bearer: [] }]", "authenticated", ""},
		{"any token stands above scopes", "", "[{ login: [a] }, { bearer: [] }]", "authenticated", ""},
		{"a login without scopes is any token", "", "[{ other: [] }]", "authenticated", ""},
		{"null for no scopes", "", "[{ bearer: null }]", "authenticated", ""},
		{"roles of a Bearer token are scopes", "", "[{ bearer: [z] }]", "z", ""},
		{"a scope that the scheme does not declare counts", "", "[{ login: [z] }]", "z", "SG405"},
		{"an API key is closed", "", "[{ key: [] }]", "nobody", "SG402"},
		{"a password is closed", "", "[{ basic: [] }]", "nobody", "SG402"},
		{"a client certificate is closed", "", "[{ tls: [] }]", "nobody", "SG402"},
		{"an API key beside a token closes the alternative", "", "[{ key: [], login: [a] }]", "nobody", "SG402"},
		{"an API key instead of a token leaves the token", "", "[{ key: [] }, { login: [a] }]", "a", "SG402"},
		{"an unknown scheme is closed", "", "[{ nope: [] }]", "nobody", "SG403"},
		{"a scope with a space is closed", "", "[{ login: ['a b'] }]", "nobody", "SG404"},
		{"a scope that is a word of the language is closed", "", "[{ login: [public] }]", "nobody", "SG404"},
		{"an empty scope is closed", "", "[{ login: [''] }]", "nobody", "SG404"},
		{"a bad scope leaves the other alternative", "", "[{ login: ['a b'] }, { login: [b] }]", "b", "SG404"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			src := "openapi: 3.1.0\n"
			if c.global != "" {
				src += "security: " + c.global + "\n"
			}
			src += "paths:\n  /x:\n    get:\n      operationId: x\n"
			if c.own != "" {
				src += "      security: " + c.own + "\n"
			}
			doc := read(t, src+schemes)
			draft, p := drafted(t, doc, openapi.Options{})
			if got := rules(p)["GET /x"]; got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			var ids []string
			for _, f := range draft.Findings {
				if !slices.Contains(ids, f.ID) {
					ids = append(ids, f.ID)
				}
			}
			if got := strings.Join(ids, " "); got != c.ids {
				t.Errorf("findings %s, want %s", got, c.ids)
			}
			agree(t, doc, p, openapi.Options{})
		})
	}
}

// agree wants no drift.
func agree(t testing.TB, doc *openapi.Document, p *policy.Policy, options openapi.Options) {
	t.Helper()
	report, err := doc.Drift(p, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range report.Differences {
		t.Errorf("drift: %v", d.Finding())
	}
}

// What a path becomes: without --widen, and with it.
func TestPathBecomesATemplate(t *testing.T) {
	for _, c := range []struct{ path, want, wide string }{
		{"/", "/", "/"},
		{"/a/", "/a/", "/a/"},
		{"/a/{b}", "/a/{b}", "/a/{b}"},
		{"/a/{b.c}/{d-e}/{f_g}", "/a/{b_c}/{d-e}/{f_g}", "/a/{b_c}/{d-e}/{f_g}"},
		{"/{1}/{ä}/{$ref}", "/{_1}/{parameter}/{ref}", "/{_1}/{parameter}/{ref}"},
		{"/{a}/{a}/{a_2}", "/{a}/{a_2}/{a_2_2}", "/{a}/{a_2}/{a_2_2}"},
		{"/a%20b/%C3%A4", "/a b/ä", "/a b/ä"},
		{"/a b/ä", "/a b/ä", "/a b/ä"},
		{"/v1/things:search", "/v1/things:search", "/v1/things:search"},
		{"/files/{name}.json", "", "/files/{name}"},
		{"/{a}-{b}", "", "/{a_b}"},
		{"/{a}{b}", "", "/{a_b}"},
		{"/v1/{name}:cancel", "", "/v1/{name}"},
		{"/{;id}", "", "/{id}"},
		{"/{.format}", "", "/{format}"},
		{"/{id:[0-9]+}", "", ""},
		{"/a/{path+}", "", "/a/**"},
		{"/a/{path*}", "", "/a/**"},
		{"/a/{+path}", "", "/a/**"},
		{"/a/*", "", "/a/**"},
		{"/{path+}/b", "", ""},
		{"/a/*/b", "", ""},
		{"/a?x={y}", "", "/a"},
		{"/#Action=Start", "", "/"},
		{"/users(id='{id}')", "", "/{id}"},
		{"/a%2Fb", "", ""},
		{"/a%zz", "", ""},
		{"/100%", "", ""},
		{"/a//b", "", ""},
		{"/a/../b", "", ""},
		{"/a;b", "", ""},
		{"/a\\b", "", ""},
		{"/{}", "", "/{parameter}"},
		{"/{a", "", "/{a}"},
		{"/a}", "", "/{parameter}"},
		{"/" + strings.Repeat("a/", 100), "", ""},
	} {
		t.Run(c.path, func(t *testing.T) {
			doc := read(t, "openapi: 3.0.0\nsecurity: []\npaths:\n  /other: { get: {} }\n  "+fmt.Sprintf("%q", c.path)+": { get: {} }\n")
			for _, widen := range []bool{false, true} {
				want := c.want
				if widen {
					want = c.wide
				}
				options := openapi.Options{Widen: widen}
				draft, p := drafted(t, doc, options)
				got := ""
				for _, route := range p.Routes() {
					if route.Template() != "/other" {
						got = route.Template()
					}
				}
				if got != want {
					t.Errorf("widen %v: %q, want %q", widen, got, want)
				}
				if (want == "") != (draft.LeftOut == 1) || (want != c.want || want == "") != slices.ContainsFunc(draft.Findings, func(f policy.Finding) bool { return f.ID == "SG406" }) {
					t.Errorf("widen %v: %d left out, %v", widen, draft.LeftOut, draft.Findings)
				}
				agree(t, doc, p, options)
			}
		})
	}
}

// The path before those of the document, by its servers and by --prefix.
func TestBasePath(t *testing.T) {
	none, v9 := "/", "/v9/"
	for _, c := range []struct {
		servers string
		prefix  *string
		want    string // "" when the document cannot be used
	}{
		{"[]", nil, "/x"},
		{"[{ url: 'https://a.example' }]", nil, "/x"},
		{"[{ url: 'https://a.example/' }]", nil, "/x"},
		{"[{ url: '/api' }]", nil, "/api/x"},
		{"[{ url: 'https://a.example/api/' }, { url: 'https://b.example/api' }]", nil, "/api/x"},
		{"[{ url: '//a.example/api' }]", nil, "/api/x"},
		{"[{ url: 'https://{h}.example/{v}', variables: { h: { default: a }, v: { default: v1 } } }]", nil, "/v1/x"},
		{"[{ url: '/{v}', variables: { v: { default: v1, enum: [v1, v2] } } }]", nil, ""},
		{"[{ url: '/{v}', variables: { v: { default: v1, enum: [v1, v2] } } }]", &v9, "/v9/x"},
		{"[{ url: '/{v}' }]", nil, ""},
		{"[{ url: '/v1' }, { url: '/v2' }]", nil, ""},
		{"[{ url: '/v1' }, { url: '/v2' }]", &none, "/x"},
		{"[{ url: 'api' }]", nil, ""},
		{"[{ url: './' }]", nil, ""},
		{"[{ url: 'https://a.example/a%20b' }]", nil, "/a b/x"},
	} {
		doc := read(t, "openapi: 3.0.0\nsecurity: []\nservers: "+c.servers+"\npaths:\n  /x: { get: {} }\n")
		draft, err := doc.Import(openapi.Options{Service: "service", Prefix: c.prefix})
		if err != nil {
			if c.want != "" {
				t.Errorf("%s: %v", c.servers, err)
			}
			continue
		}
		p, _ := policy.Load("policy.yaml", draft.Policy)
		if got := p.Routes()[0].Template(); got != c.want {
			t.Errorf("%s: %s, want %q", c.servers, got, c.want)
		}
	}
}

// Two paths that match the same requests are one route. Where they ask for different things of the
// same method, nobody is let in.
func TestPathsOfOneShape(t *testing.T) {
	doc := read(t, `
openapi: 3.0.0
paths:
  /a/{x}:
    get: { security: [{ login: [a] }] }
    put: { security: [{ login: [a] }, { login: [b] }] }
    post: { security: [{ login: [a] }] }
  /a/{y}:
    put: { security: [{ login: [b] }, { login: [a] }] }
    post: { security: [{ login: [b] }] }
    delete: { security: [{ login: [c] }] }
`+schemes)
	draft, p := drafted(t, doc, openapi.Options{})
	want := map[string]string{"GET /a/{x}": "a", "PUT /a/{x}": "(a or b)", "POST /a/{x}": "nobody", "DELETE /a/{x}": "c"}
	if diff := cmp.Diff(want, rules(p)); diff != "" {
		t.Error(diff)
	}
	if !slices.ContainsFunc(draft.Findings, func(f policy.Finding) bool { return f.ID == "SG407" && f.Line == 10 }) {
		t.Errorf("findings: %v", draft.Findings)
	}
	agree(t, doc, p, openapi.Options{})
}

// Only what a client can send to the service becomes a rule.
func TestMethods(t *testing.T) {
	doc := read(t, `
openapi: 3.2.0
security: []
paths:
  /x:
    get: {}
    head: {}
    options: {}
    trace: {}
    query: {}
    Post: {}
    x-put: {}
    additionalOperations:
      COPY: {}
      purge: {}
      CONNECT: {}
    post:
      callbacks:
        done: { "{$url}": { post: {} } }
webhooks:
  event: { post: {} }
`)
	draft, p := drafted(t, doc, openapi.Options{})
	var methods []string
	for _, rule := range p.Routes()[0].Rules() {
		methods = append(methods, rule.Method())
	}
	if got := strings.Join(methods, " "); got != "COPY GET HEAD OPTIONS POST QUERY" || len(p.Routes()) != 1 {
		t.Errorf("methods %s, %d routes", got, len(p.Routes()))
	}
	var lines []int
	for _, f := range draft.Findings {
		lines = append(lines, f.Line)
	}
	if want := []int{9, 11, 15, 16}; !slices.Equal(lines, want) {
		t.Errorf("findings in lines %v, want %v: %v", lines, want, draft.Findings)
	}
	agree(t, doc, p, openapi.Options{})
}

// The shipped policy and a document of the service that it stands before.
func TestBillingAgrees(t *testing.T) {
	src, err := os.ReadFile("../testdata/openapi/billing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../../config/policies/billing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc := read(t, string(src))
	p, findings := policy.Load("billing.yaml", file)
	if p == nil {
		t.Fatal(findings)
	}
	agree(t, doc, p, openapi.Options{})
	_, imported := drafted(t, doc, openapi.Options{})
	if diff := cmp.Diff(rules(p), rules(imported)); diff != "" {
		t.Error(diff)
	}
}

// A small document must not cost minutes and gigabytes: the library compares all keys of a mapping in pairs.
func TestCrowdedMappingsAreRefused(t *testing.T) {
	var wide strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&wide, "k%d: b\n", i)
	}
	for want, src := range map[string]string{
		"bomb.yaml:2: mapping key \"a\" already defined at line 1": strings.Repeat("a: b\n", 20_000),
		"bomb.yaml:1: a mapping with more than 20000 keys":         wide.String(),
	} {
		_, err := openapi.Read("bomb.yaml", ".", "bomb.yaml", []byte(src), nil)
		if !errors.Is(err, openapi.ErrUnusable) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want … %s", err, want)
		}
	}
}
