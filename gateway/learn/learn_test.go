package learn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/learn"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/replay"
)

type members = map[string]any

// line is a line of the log: an allowed request with a token, but for what is given.
func line(more members) string {
	all := members{
		"time": "2026-02-03T04:05:06Z", "msg": "request", "request_id": "id", "service": "shop", "host": "shop.test", "method": "GET", "path": "/", "route": "/",
		"status": 200, "decision": "allow", "reason": "allowed", "guard": "", "accepted": []string{}, "issuer": "https://i.example", "subject": "ann", "client": "cli",
		"scopes": []string{}, "missing": []string{}, "claims": members{}, "auth_age": nil, "acr": "", "anonymous": false, "policy": "sha256:0", "rule": "shop.yaml:6",
		"duration_ms": 1, "upstream_ms": 1, "bytes_in": 0, "bytes_out": 0, "sampled": 1,
	}
	maps.Copy(all, more)
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text) + "\n"
}

// call is an allowed request.
func call(method, path string, scopes ...string) string {
	return line(members{"method": method, "path": path, "route": path, "scopes": append([]string{}, scopes...)})
}

func public(method, path string) string {
	return line(members{"method": method, "path": path, "route": path, "reason": "public", "issuer": "", "subject": ""})
}

func refused(method, path, reason string, scopes ...string) string {
	return line(members{"method": method, "path": path, "route": path, "decision": "deny", "reason": reason, "scopes": append([]string{}, scopes...)})
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// drafted learns a log, and loads what came of it.
func drafted(t failer, c learn.Config, log string) (*learn.Draft, *policy.Policy) {
	t.Helper()
	g := learn.NewLog(c)
	var r decisions.Reader
	if _, err := r.Read(context.Background(), []decisions.Source{decisions.Stream("log", strings.NewReader(log))}, func(_ int, r *decisions.Record) { g.Add(r) }); err != nil {
		t.Fatalf("%v", err)
	}
	services := g.Services()
	if len(services) != 1 {
		t.Fatalf("services %v", services)
	}
	d := g.Draft(services[0])
	if d == nil {
		return nil, nil
	}
	p, findings := policy.Load("draft.yaml", []byte(d.YAML))
	if p == nil {
		t.Fatalf("%s\n%s", findings, d.YAML)
	}
	return d, p
}

// allowsAll wants the draft to allow what the log allowed, as far as it was placed.
func allowsAll(t failer, d *learn.Draft, p *policy.Policy, log string) *replay.Report {
	t.Helper()
	cfg := replay.Config{Policies: map[string]*policy.Policy{"shop": p}, Samples: 1}
	r, err := cfg.Run(context.Background(), &decisions.Reader{}, []decisions.Source{decisions.Stream("log", strings.NewReader(log))})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if lost := r.Lost.Lines + r.OpenAllow.Lines; lost != d.Unplaced.Lines {
		t.Fatalf("%d allowed lines are lost, and %d could not be placed: %+v %+v\n%s\n%s", lost, d.Unplaced.Lines, r.Changes, r.Open, d.YAML, log)
	}
	return r
}

// rules lists the draft's rules.
func rules(d *learn.Draft) (all []string) {
	for _, route := range d.Routes {
		for _, rule := range route.Rules {
			all = append(all, rule.Method+" "+route.Path+": "+rule.Needs)
		}
	}
	return all
}

// What is learned of small logs.
func TestLearned(t *testing.T) {
	many := func(n int, each func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(each(i))
		}
		return b.String()
	}
	name := func(i int) string {
		return string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i*7%26))
	}
	for title, c := range map[string]struct {
		log  string
		want []string
	}{
		"a scope that all had": {call("GET", "/a", "r", "x") + call("GET", "/a", "r", "y"), []string{"GET /a: r"}},
		"the rarer of two that all had": {
			call("POST", "/a", "r", "w") + call("GET", "/a", "r") + call("GET", "/a", "r", "w"),
			[]string{"GET /a: r", "POST /a: w"}},
		"two, of which each is held without the other": {
			call("POST", "/a", "r", "w") + call("GET", "/a", "r") + call("GET", "/b", "w"),
			[]string{"GET /a: r", "POST /a: { all: [r, w] }", "GET /b: w"}},
		"what a refused token lacked": {
			call("POST", "/a", "r", "w") + refused("POST", "/a", "insufficient_scope", "r"), []string{"POST /a: w"}},
		"alternatives": {call("GET", "/a", "r") + call("GET", "/a", "s"), []string{"GET /a: { any: [r, s] }"}},
		"the alternatives that the most had": {
			call("GET", "/a", "r", "q") + call("GET", "/a", "r", "p") + call("GET", "/a", "s"), []string{"GET /a: { any: [r, s] }"}},
		"a common scope that refused tokens had too": {
			call("GET", "/a", "x", "r") + call("GET", "/a", "x", "s") + refused("GET", "/a", "insufficient_scope", "x"), []string{"GET /a: { any: [r, s] }"}},
		"alternatives of several scopes": {
			call("GET", "/a", "r", "s") + call("GET", "/a", "t") + refused("GET", "/a", "insufficient_scope", "r") + refused("GET", "/a", "insufficient_scope", "s"),
			[]string{"GET /a: { any: [t, { all: [r, s] }] }"}},
		"a scope that every token has": {
			call("GET", "/a", "openid", "r") + call("GET", "/a", "openid", "s") + call("GET", "/b", "openid", "b"),
			[]string{"GET /a: openid", "GET /b: b"}}, // with a note
		"a scope that every token has, and nothing else": {
			call("GET", "/a", "openid", "r") + call("GET", "/a", "openid") + call("GET", "/b", "openid", "b"), []string{"GET /a: openid", "GET /b: b"}},
		"a scope that every token has, and too many others": {
			many(5, func(i int) string { return call("GET", "/a", "openid", name(i)) }), []string{"GET /a: openid"}},
		"a token without scopes":    {call("GET", "/a", "r") + call("GET", "/a"), []string{"GET /a: authenticated"}},
		"no token asked for":        {public("GET", "/a") + call("GET", "/b", "r"), []string{"GET /a: public", "GET /b: r"}},
		"public for a while":        {public("GET", "/a") + call("GET", "/a", "r"), []string{"GET /a: public"}},
		"HEAD beside GET":           {call("HEAD", "/a", "r", "x") + call("GET", "/a", "r"), []string{"GET /a: r"}},
		"HEAD alone":                {call("HEAD", "/a", "r"), []string{"HEAD /a: r"}},
		"the service failed":        {line(members{"path": "/a", "reason": "upstream_timeout", "scopes": []string{"r"}}), []string{"GET /a: r"}},
		"refused calls are no rule": {call("GET", "/a", "r") + refused("GET", "/b", "insufficient_scope", "r"), []string{"GET /a: r"}},
		"preflights are no rule":    {call("GET", "/a", "r") + line(members{"method": "OPTIONS", "path": "/b", "reason": "preflight", "issuer": ""}), []string{"GET /a: r"}},
		"numbers, UUIDs, dates, codes and addresses": {
			call("GET", "/n/17", "r") + call("GET", "/u/0191e1b4-7c3f-7d5e-9b1a-2f6f6e2d1c00/x", "r") + call("GET", "/d/2026-01-31", "r") + call("GET", "/c/INV-2024-17", "r") + call("GET", "/m/ann@example.com", "r"),
			[]string{"GET /c/{id}: r", "GET /d/{id}: r", "GET /m/{id}: r", "GET /n/{id}: r", "GET /u/{id}/x: r"}},
		"names, versions and words with a digit": {
			call("GET", "/api/v2/oauth2/users", "r"), []string{"GET /api/v2/oauth2/users: r"}},
		"two parameters": {call("GET", "/orgs/1/bills/2", "r"), []string{"GET /orgs/{id}/bills/{id2}: r"}},
		"a word beside numbers": {
			call("GET", "/users/1", "u") + call("GET", "/users/2", "u") + call("GET", "/users/me", "me"), []string{"GET /users/me: me", "GET /users/{id}: u"}},
		"many names, each seen seldom": {
			many(60, func(i int) string { return call("GET", "/users/"+name(i), "r") }), []string{"GET /users/{id}: r"}},
		"a name that stands out among many": {
			many(60, func(i int) string { return call("GET", "/users/"+name(i), "r") }) + many(40, func(int) string { return call("GET", "/users/me", "me") }),
			[]string{"GET /users/me: me", "GET /users/{id}: r"}},
		"a value that stands out and asks for the same": {
			many(60, func(i int) string { return call("GET", "/users/"+name(i), "r") }) + many(40, func(int) string { return call("GET", "/users/acme", "r") }),
			[]string{"GET /users/{id}: r"}},
		"few names": {call("GET", "/a/x", "r") + call("GET", "/a/y", "r"), []string{"GET /a/x: r", "GET /a/y: r"}},
		"a claim that is the segment": {
			line(members{"path": "/orgs/acme/x", "scopes": []string{"r"}, "claims": members{"org": "acme"}}) +
				line(members{"path": "/orgs/corp/x", "scopes": []string{"r"}, "claims": members{"org": []string{"corp", "acme"}}}),
			[]string{`GET /orgs/{id}/x: { all: [r], claims: { org: "{id}" } }`}},
		"a claim that is so only once": {
			line(members{"path": "/orgs/1/x", "scopes": []string{"r"}, "claims": members{"org": 1}}) +
				line(members{"path": "/orgs/2/x", "scopes": []string{"r"}, "claims": members{"org": 1}}),
			[]string{"GET /orgs/{id}/x: r"}},
		"exceptions to the guard": {
			line(members{"path": "/a%2Fb", "accepted": []string{"encoded_slash"}, "scopes": []string{"r"}}), []string{"GET /{id}: r"}},
		"characters that mean something in patterns": {
			call("GET", "/a*b/%7Bx%7D/c%3Fd/%25x/*/%23", "r"), []string{"GET /{id}/{id2}/{id3}/{id4}/{id5}/{id6}: r"}},
		"an escaped name":    {call("GET", "/%E2%82%AC%20x", "r"), []string{"GET /€ x: r"}},
		"a path without end": {call("GET", "/"+strings.Repeat("a/", 40), "r"), []string{"GET /" + strings.Repeat("a/", 24) + "**: r"}},
	} {
		d, p := drafted(t, learn.Config{}, c.log)
		if got := rules(d); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", title, got, c.want)
		}
		allowsAll(t, d, p, c.log)
	}
}

// What the log cannot tell is said behind the rule.
func TestNotes(t *testing.T) {
	for _, c := range []struct{ log, want string }{
		{call("GET", "/a", "openid", "r") + call("GET", "/a", "openid", "s") + call("GET", "/b", "openid", "b"),
			"every token of the log has it, so that it keeps nobody out; { any: [r, s] } would let in the same calls"},
		{call("GET", "/a", "r", "w"), "every caller also has w: the log cannot tell which of them is needed"},
		{call("GET", "/a", "r") + call("GET", "/a", "s"), "no scope is common to all calls: alternatives"},
		{call("GET", "/a", "r") + call("GET", "/a"), "a token without scopes got in"},
		{call("GET", "/a", "r") + public("GET", "/a"), "public in a part of the log only"},
		{call("GET", "/a", "r") + refused("GET", "/a", "step_up_required", "r"), "calls were refused for step_up_required, and a condition for it is missing here"},
		{call("GET", "/a", "r") + refused("GET", "/a", "insufficient_scope", "r"), "tokens with the same scopes were refused as well"},
		{line(members{"path": "/o/1", "scopes": []string{"r"}, "claims": members{"org": 1}}), "{id} had one value only"},
		{line(members{"path": "/a/;x", "accepted": []string{"semicolon"}, "scopes": []string{"r"}}), "CHECK: exceptions to the ambiguity guard"},
	} {
		if d, _ := drafted(t, learn.Config{}, c.log); !strings.Contains(d.YAML, c.want) {
			t.Errorf("%q is missing in\n%s", c.want, d.YAML)
		}
	}
}

// The implications of the policy in force count, and are taken over.
func TestTheVocabularyInForce(t *testing.T) {
	current, findings := policy.Load("current.yaml", []byte(`version: 1
service: shop
scopes: { r: Read it, w: Write it, all: { about: Both, implies: [r, w] } }
routes:
  /a: { GET: r, POST: w, DELETE: all }
`))
	if current == nil {
		t.Fatal(findings)
	}
	log := call("GET", "/a", "r") + call("GET", "/a", "all") + call("POST", "/a", "all")
	d, p := drafted(t, learn.Config{Current: current}, log)
	if got := rules(d); !slices.Equal(got, []string{"GET /a: r", "POST /a: all"}) {
		t.Errorf("%q\n%s", got, d.YAML)
	}
	if !strings.Contains(d.YAML, "about: Both") || !slices.Equal(d.Unused, []learn.Unused{{Path: "/a", Method: "DELETE", Line: 5}}) {
		t.Errorf("%+v\n%s", d.Unused, d.YAML)
	}
	allowsAll(t, d, p, log)
}

// Whatever a log says, the draft is a policy, and allows what was allowed.
func TestDraftsAllowWhatWasAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.SampledFrom([]string{"a", "b", "me", "users", "17", "18", "v1", "%20", "%7Bid%7D", "*", "**", "%2A%2A", "%25", "%E2%80%AE", "é"[:0] + "%C3%A9", "x%3Fy", "true", "null", "~", "-", "a:b", "#"[:0] + "%23", "'", "!x", "&y", "@z", "0x1f", "%22q%22", "yes"})
		words := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"r", "w", "x.y", "all", "true", "null", "a:b", "#c", "{d}", "*", "-", "public", "\u202e", "a b"}), 0, 4, rapid.ID)
		var log strings.Builder
		for range rapid.IntRange(1, 60).Draw(t, "lines") {
			path := "/" + strings.Join(rapid.SliceOfN(segment, 0, 4).Draw(t, "path"), "/")
			if rapid.IntRange(0, 3).Draw(t, "slash") == 0 && path != "/" {
				path += "/"
			}
			method := rapid.SampledFrom([]string{"GET", "GET", "HEAD", "POST", "DELETE", "ANY", "NO", "PROPFIND"}).Draw(t, "method")
			m := members{"method": method, "path": path, "route": path, "scopes": words.Draw(t, "scopes"), "subject": rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "subject"), "sampled": rapid.IntRange(1, 3).Draw(t, "sampled")}
			switch rapid.IntRange(0, 8).Draw(t, "kind") {
			case 0:
				m["reason"], m["issuer"] = "public", ""
			case 1:
				m["decision"], m["reason"] = "deny", "insufficient_scope"
			case 2:
				m["path"], m["accepted"] = "/a;b"+path, []string{"semicolon"}
			case 3:
				m["claims"] = members{"org": rapid.SampledFrom([]any{"a", "me", 17, []any{"a", "17"}, nil}).Draw(t, "claim")}
			case 4:
				m["path"] = rapid.SampledFrom([]string{"/a\nb", "/../x", "", "/\x00", "/" + strings.Repeat("x", 600), "a", "/%zz", "/é"}).Draw(t, "odd")
			}
			log.WriteString(line(m))
		}
		c := learn.Config{Names: rapid.IntRange(1, 4).Draw(t, "names")}
		d, p := drafted(t, c, log.String())
		if d == nil {
			return
		}
		allowsAll(t, d, p, log.String())
		if again, _ := drafted(t, c, log.String()); again.YAML != d.YAML {
			t.Fatalf("another draft of the same log:\n%s\n%s", d.YAML, again.YAML)
		}
	})
}

// What a stranger writes into a log stands nowhere in the draft but as text.
func TestHostileLogs(t *testing.T) {
	hostile := []string{"x\nroutes:\n  /admin: { GET: public }", "\x1b[2J", "a # b", `"`, "'", "\u2028  /x:", "\u202e", "{{x}}", "*alias", "!!int 1", "%"}
	var log strings.Builder
	for _, h := range hostile {
		log.WriteString(call("GET", "/ok", "r"))
		log.WriteString(line(members{"path": "/" + h, "scopes": []string{"r"}}))
		log.WriteString(line(members{"path": "/ok", "method": h}))
		log.WriteString(line(members{"path": "/ok", "route": h, "scopes": []string{"r", h}, "subject": h, "issuer": h, "rule": h, "accepted": []string{h}, "claims": members{h: "ok"}}))
		log.WriteString(line(members{"path": "/ok", "route": h, "method": h, "reason": h, "decision": "deny"}))
		log.WriteString(line(members{"path": "/ok", "route": "/" + h, "reason": "insufficient_scope", "decision": "deny"}))
	}
	d, p := drafted(t, learn.Config{}, log.String())
	if got := rules(d); !slices.Equal(got, []string{"GET /': r", "GET /ok: r", "GET /{id}: r"}) { // the others are no paths
		t.Errorf("%q", got)
	}
	if len(p.Vocabulary()) != 1 {
		t.Errorf("%s", d.YAML)
	}
	for i, line := range strings.Split(d.YAML, "\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u202e' }) {
			t.Errorf("line %d: %q", i, line)
		}
	}
}

// A log that was made to fill the memory is learned in part, and the draft says so.
func TestLearningIsBounded(t *testing.T) {
	var log strings.Builder
	for i := range 6000 {
		log.WriteString(call("GET", fmt.Sprintf("/x/a%cb%cc%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26), fmt.Sprint("s", i)))
	}
	d, _ := drafted(t, learn.Config{}, log.String())
	if d.Unplaced.Lines == 0 || d.Unplaced.Lines+4096 != d.Allowed.Lines || !strings.Contains(d.YAML, "are not covered") {
		t.Errorf("%+v of %+v", d.Unplaced, d.Allowed)
	}
	if got := len(d.Routes); got != 1001 { // as many names as are kept, each with a scope of its own, and all others
		t.Errorf("%d routes", got)
	}
}
