package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

const shop = `version: 1
service: shop
scopes: { a: About a, b: About b }
routes:
  /a:
    GET: a
  /old:
    GET: { max_age: 90500ms }
  /acr:
    GET: { acr: strong }
  /mine/{who}:
    GET: { claims: { sub: "{who}" } }
  /alt:
    GET: { any: [ { claims: { plan: gold } }, { max_age: 1h } ] }
  /open:
    ANY: public
`

// absent takes a key out of a line.
const absent = "absent"

func load(t *testing.T, src string) *policy.Policy {
	t.Helper()
	p, findings := policy.Load("shop.yaml", []byte(src))
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

// line is a line of the log: a request with a token for a, but for what is given.
func line(members map[string]any) string {
	all := map[string]any{
		"time": "2026-02-03T04:05:06Z", "msg": "request", "request_id": "id", "service": "shop", "host": "shop.test", "method": "GET", "path": "/a", "route": "/a",
		"status": 200, "decision": "allow", "reason": "allowed", "guard": "", "accepted": []string{}, "issuer": "https://i.example", "subject": "ann", "client": "cli",
		"scopes": []string{"a"}, "missing": []string{}, "claims": map[string]any{}, "auth_age": nil, "acr": "", "anonymous": false, "policy": "sha256:0",
		"rule": "shop.yaml:6", "duration_ms": 1, "upstream_ms": 1, "bytes_in": 0, "bytes_out": 0, "sampled": 1,
	}
	maps.Copy(all, members)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == absent })
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text) + "\n"
}

func run(t *testing.T, c Config, jobs int, log string) *Report {
	t.Helper()
	r, err := c.Run(t.Context(), &decisions.Reader{Jobs: jobs}, []decisions.Source{decisions.Stream("log", strings.NewReader(log))})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What the policy above says to single lines: a change as "kind: from, now to", "cannot be told:
// why", "not the policy's", or "" for none.
func TestOneLine(t *testing.T) {
	p := load(t, shop)
	long := strings.Repeat("x", decisions.MaxValue)
	many := slices.Repeat([]string{"x"}, decisions.MaxListed)
	type m = map[string]any
	for name, c := range map[string]struct {
		line m
		want string
	}{
		"as it was":                      {m{}, ""},
		"the service failed":             {m{"reason": "upstream_timeout", "status": 504}, ""},
		"the client went away":           {m{"reason": "client_closed", "status": 499}, ""},
		"other scopes":                   {m{"scopes": []string{"b"}}, "allow_to_deny: allowed, now insufficient_scope"},
		"a failed service, other scopes": {m{"reason": "upstream_broken", "scopes": []string{"b"}}, "allow_to_deny: upstream_broken, now insufficient_scope"},
		"refused, with the scope":        {m{"decision": "deny", "reason": "insufficient_scope"}, "deny_to_allow: insufficient_scope, now allowed"},
		"refused for another reason":     {m{"decision": "deny", "reason": "claim_mismatch", "scopes": []string{"b"}}, "reason: claim_mismatch, now insufficient_scope"},
		"public then":                    {m{"reason": "public", "issuer": "", "scopes": []string{}}, "cannot be told: caller_unknown"},
		"public now":                     {m{"path": "/open"}, "reason: allowed, now public"},
		"a bad token, and public now":    {m{"path": "/open", "decision": "deny", "reason": "token_expired", "issuer": ""}, "deny_to_allow: token_expired, now public"},
		"a bad token":                    {m{"decision": "deny", "reason": "token_expired", "issuer": ""}, ""},
		"no token":                       {m{"decision": "deny", "reason": "token_missing", "issuer": ""}, ""},
		"no token, and no route now":     {m{"path": "/gone", "decision": "deny", "reason": "token_missing", "issuer": ""}, "reason: token_missing, now no_route"},
		"no token, hidden routes":        {m{"path": "/gone", "rule": "", "decision": "deny", "reason": "token_missing", "issuer": ""}, ""},
		"keys could not be had":          {m{"decision": "deny", "reason": "keys_unavailable", "issuer": ""}, ""},
		"no route then":                  {m{"decision": "deny", "reason": "no_route", "issuer": "", "rule": ""}, "cannot be told: caller_unknown"},
		"no route, with a token":         {m{"decision": "deny", "reason": "no_route", "rule": ""}, "deny_to_allow: no_route, now allowed"},
		"no method now":                  {m{"method": "PUT"}, "allow_to_deny: allowed, now method_not_allowed"},
		"two readings":                   {m{"path": "", "decision": "deny", "reason": "ambiguous_request", "issuer": ""}, "not the policy's"},
		"malformed":                      {m{"method": "", "path": "", "decision": "deny", "reason": "malformed", "issuer": ""}, "not the policy's"},
		"a body too large":               {m{"decision": "deny", "reason": "body_too_large", "issuer": ""}, "not the policy's"},
		"a preflight":                    {m{"method": "OPTIONS", "reason": "preflight", "issuer": ""}, "not the policy's"},
		"an exception that is gone":      {m{"path": "/a%2Fb", "accepted": []string{"encoded_slash"}}, "allow_to_deny: allowed, now ambiguous_request"},
		"an override that is gone":       {m{"accepted": []string{"method_override"}}, "allow_to_deny: allowed, now ambiguous_request"},
		"a query token no more accepted": {m{"accepted": []string{"query_token"}}, "allow_to_deny: allowed, now token_ambiguous"},
		"a path that was cut":            {m{"path": "/" + long[1:]}, "cannot be told: value_cut"},
		"a path that is none":            {m{"path": "/a/../b"}, "cannot be told: no_request"},
		"a path with a query":            {m{"path": "/a?b"}, "cannot be told: no_request"},
		"a path in another spelling":     {m{"path": "/%61"}, "cannot be told: no_request"},
		"a method that is none":          {m{"method": "get"}, "cannot be told: no_request"},
		"a reason of tomorrow":           {m{"decision": "deny", "reason": "quota"}, "cannot be told: reason_unknown"},

		"a login that is recent":       {m{"path": "/old", "auth_age": 90}, ""},
		"a login that is too old":      {m{"path": "/old", "auth_age": 92}, "allow_to_deny: allowed, now step_up_required"},
		"a login within the second":    {m{"path": "/old", "auth_age": 91}, "cannot be told: auth_age_rounded"},
		"no login":                     {m{"path": "/old"}, "allow_to_deny: allowed, now step_up_required"},
		"a login as old as can be":     {m{"path": "/old", "auth_age": int64(1) << 60}, "allow_to_deny: allowed, now step_up_required"},
		"a class of login":             {m{"path": "/acr", "acr": "strong"}, ""},
		"another class":                {m{"path": "/acr", "acr": "weak"}, "allow_to_deny: allowed, now step_up_required"},
		"no scopes in the line":        {m{"scopes": absent}, "cannot be told: scopes_not_recorded"},
		"a class that was cut":         {m{"path": "/acr", "acr": long}, "cannot be told: value_cut"},
		"a claim that fits":            {m{"path": "/mine/ann", "claims": m{"sub": "ann"}}, ""},
		"a claim that does not":        {m{"path": "/mine/ann", "claims": m{"sub": "bob"}}, "allow_to_deny: allowed, now claim_mismatch"},
		"a claim that the token lacks": {m{"path": "/mine/ann", "claims": m{"sub": nil}}, "allow_to_deny: allowed, now claim_mismatch"},
		"a claim that nobody read":     {m{"path": "/mine/ann", "claims": m{"other": "ann"}}, "cannot be told: claim_not_recorded"},
		"a claim that was cut":         {m{"path": "/mine/ann", "claims": m{"sub": long}}, "cannot be told: claim_not_recorded"},
		"a long list that has it":      {m{"path": "/mine/x", "claims": m{"sub": many}}, ""},
		"a long list that may have it": {m{"path": "/mine/ann", "claims": m{"sub": many}}, "cannot be told: claim_not_recorded"},
		"another way than the claim":   {m{"path": "/alt", "auth_age": 5}, ""},
		"neither way for sure":         {m{"path": "/alt", "auth_age": 5000}, "cannot be told: claim_not_recorded"},
		"neither way":                  {m{"path": "/alt", "auth_age": 5000, "claims": m{"plan": nil}}, "allow_to_deny: allowed, now step_up_required"},
	} {
		r := run(t, Config{Policies: map[string]*policy.Policy{"shop": p}}, 1, line(c.line))
		got := ""
		for _, x := range r.Changes {
			got = fmt.Sprintf("%s: %s, now %s", x.Kind, x.From, x.To)
		}
		for _, o := range r.Open {
			got = "cannot be told: " + o.Why
		}
		if len(r.Beyond) > 0 {
			got = "not the policy's"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if sum := r.Unchanged.Lines + r.NewAccess.Lines + r.Lost.Lines + r.Reasons.Lines + r.Undecided.Lines + r.BeyondLines(); sum != 1 || r.Judged.Lines != 1 {
			t.Errorf("%s: counted %d times", name, sum)
		}
	}
}

// Every reason that the gateway writes has its class.
func TestEveryReasonIsKnown(t *testing.T) {
	want := map[string]bool{"allowed": true, "public": true}
	for _, reason := range gate.Reasons() {
		want[string(reason)] = true
	}
	for reason := range want {
		if classes[reason] == unheard {
			t.Errorf("%s has no class", reason)
		}
	}
	for reason := range classes {
		if !want[reason] {
			t.Errorf("%s is no reason of the gateway", reason)
		}
	}
}

// The report is the same whatever number of workers read the log; samples are the first lines,
// one for each list of scopes, and lines weigh as much as they were sampled.
func TestReportsDoNotDependOnWorkers(t *testing.T) {
	var log strings.Builder
	for i := range 5000 {
		log.WriteString(line(map[string]any{"request_id": fmt.Sprint(i), "path": []string{"/a", "/open", "/nowhere"}[i%3], "scopes": []string{fmt.Sprint("s", i%7)}, "sampled": 10}))
	}
	c := Config{Policies: map[string]*policy.Policy{"shop": load(t, shop)}, Samples: 4}
	want := run(t, c, 1, log.String())
	if want.Lost.Requests != 10*want.Lost.Lines || want.Lost.Lines != 3333 || len(want.Changes) != 3 {
		t.Errorf("%+v", want)
	}
	for i, id := range []string{"0", "3", "6", "9"} {
		if got := want.Changes[0].Samples[i]; got.RequestID != id || got.Line != int64(3*i+1) || got.File != "log" {
			t.Errorf("sample %d is %+v", i, got)
		}
	}
	for jobs := 2; jobs <= 4; jobs++ {
		if got := run(t, c, jobs, log.String()); !reflect.DeepEqual(want, got) {
			t.Errorf("%d workers: %+v, want %+v", jobs, got, want)
		}
	}
}

// An audit looks at the lines of this very policy alone, and at the rule's line too.
func TestAudit(t *testing.T) {
	p := load(t, shop)
	log := line(map[string]any{"policy": p.Hash()}) +
		line(map[string]any{"policy": p.Hash(), "rule": "elsewhere/shop.yaml:6"}) +
		line(map[string]any{"policy": p.Hash(), "rule": "shop.yaml:7"}) +
		line(map[string]any{"policy": p.Hash(), "scopes": []string{}}) +
		line(map[string]any{"scopes": []string{}})
	r := run(t, Config{Policies: map[string]*policy.Policy{"shop": p}, Audit: true}, 1, log)
	if r.Judged.Lines != 4 || r.Unchanged.Lines != 2 || r.Lost.Lines != 1 || r.Reasons.Lines != 1 || r.Policies["sha256:0"] != 1 {
		t.Errorf("%+v", r)
	}
}

// A log is not to be believed: it must not fill the memory with names of its own.
func TestAForgedLogIsBounded(t *testing.T) {
	var log bytes.Buffer
	for i := range mostPlaces + 500 {
		log.WriteString(line(map[string]any{"route": fmt.Sprint("/", i), "scopes": []string{}, "policy": fmt.Sprint(i)}))
		if i < 2*mostNames {
			log.WriteString(line(map[string]any{"service": fmt.Sprint(i)}))
		}
	}
	r := run(t, Config{Policies: map[string]*policy.Policy{"shop": load(t, shop)}}, 1, log.String())
	if r.Complete || len(r.Changes) != mostPlaces || r.Lost.Lines != mostPlaces+500 || len(r.Policies) > mostNames+1 || len(r.Services) > mostNames+1 {
		t.Errorf("complete %v, %d changes of %d lines, %d policies, %d services", r.Complete, len(r.Changes), r.Lost.Lines, len(r.Policies), len(r.Services))
	}
}
