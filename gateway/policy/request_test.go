package policy

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// dataRows reads a data file of tab-separated columns; lines that begin with # are comments.
func dataRows(t *testing.T, file string, columns int) [][]string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for n, line := range strings.Split(string(src), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != columns {
			t.Fatalf("%s:%d: %d columns, want %d", file, n+1, len(row), columns)
		}
		all = append(all, row)
	}
	return all
}

// requestFor is a well-formed request for a target, to be changed by a test.
func requestFor(target string) *Received {
	return &Received{Method: "GET", Target: target, Hosts: []string{"gateway.example"}, ProtoMajor: 1, ProtoMinor: 1}
}

// refusalText is the text that the data files have for an error.
func refusalText(t *testing.T, err error) string {
	t.Helper()
	var g *GuardError
	if !errors.As(err, &g) {
		t.Fatalf("error %v is no *GuardError", err)
	}
	return "refused " + g.Rule.String()
}

func TestTargets(t *testing.T) {
	for _, row := range dataRows(t, "testdata/guard/targets.tsv", 3) {
		t.Run(row[0], func(t *testing.T) {
			target := row[1]
			if strings.HasPrefix(target, `"`) {
				var err error
				if target, err = strconv.Unquote(target); err != nil {
					t.Fatal(err)
				}
			}
			if got := targetReading(t, target); got != row[2] {
				t.Errorf("%q\n got %s\nwant %s", target, got, row[2])
			}
		})
	}
}

// targetReading writes what the guard says of a target as the data file does.
func targetReading(t *testing.T, target string) string {
	req, err := NewRequest(requestFor(target))
	if err != nil {
		return refusalText(t, err)
	}
	if req.Broken != 0 {
		return "breaks " + req.Broken.String() + " -> " + req.Path
	}
	return "-> " + req.Path
}

func TestHosts(t *testing.T) {
	for _, row := range dataRows(t, "testdata/guard/hosts.tsv", 4) {
		t.Run(row[0], func(t *testing.T) {
			in := requestFor("/")
			in.ProtoMajor, in.ProtoMinor = int(row[1][0]-'0'), int(row[1][2]-'0')
			in.Hosts = nil
			for _, h := range strings.Fields(row[2]) {
				if h != "-" {
					in.Hosts = append(in.Hosts, strings.Trim(h, "'"))
				}
			}
			req, err := NewRequest(in)
			got := req.Host
			switch {
			case err != nil:
				got = strings.TrimSuffix(refusalText(t, err), " host")
			case got == "":
				got = "none"
			}
			if got != row[3] {
				t.Errorf("%q: got %s, want %s", in.Hosts, got, row[3])
			}
		})
	}
}

func TestQueries(t *testing.T) {
	for _, row := range dataRows(t, "testdata/guard/queries.tsv", 5) {
		t.Run(row[0], func(t *testing.T) {
			in := requestFor(row[2])
			in.Method = row[1]
			if row[3] != "-" {
				in.Overrides = strings.Split(row[3], "|")
			}
			if got := queryReading(t, in); got != row[4] {
				t.Errorf("%s %s %q: got %s, want %s", row[1], row[2], in.Overrides, got, row[4])
			}
		})
	}
}

func queryReading(t *testing.T, in *Received) string {
	req, err := NewRequest(in)
	if err != nil {
		return refusalText(t, err)
	}
	if _, q, _ := strings.Cut(in.Target, "?"); q != req.RawQuery {
		t.Errorf("the query %q came out as %q", q, req.RawQuery)
	}
	if (req.Override != "") != req.Broken.Has(RuleMethodOverride) {
		t.Errorf("override %q but the rules broken are %s", req.Override, req.Broken)
	}
	switch method, query, _ := req.Overridden(); {
	case req.QueryToken:
		return "token"
	case req.Override != "":
		return strings.TrimRight("override "+method+" "+query, " ")
	}
	return "plain"
}

func TestOverriddenQueryKeepsItsQuestionMarkOnlyWhereOneIsMeant(t *testing.T) {
	for _, c := range []struct {
		target string
		want   bool
	}{{"/a", false}, {"/a?", true}, {"/a?_method=PUT", false}, {"/a?b&_method=PUT", true}} {
		in := requestFor(c.target)
		in.Method, in.Overrides = "POST", []string{"PUT"}
		req, err := NewRequest(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, got := req.Overridden(); got != c.want {
			t.Errorf("%s: a query is sent: %v, want %v", c.target, got, c.want)
		}
	}
}

func TestMethods(t *testing.T) {
	for method, want := range map[string]string{
		"GET": "", "PATCH": "", "M-SEARCH": "", "BASELINE-CONTROL": "", "X_Y": "", strings.Repeat("A", 32): "",
		"":        "ambiguous_request",
		"get":     "ambiguous_request",
		"Get":     "ambiguous_request",
		"GET2":    "ambiguous_request",
		"GET ":    "ambiguous_request",
		"G.T":     "ambiguous_request",
		"*":       "ambiguous_request",
		"trace":   "ambiguous_request",
		"GÉT":     "ambiguous_request",
		"TRACE":   "malformed",
		"TRACK":   "malformed",
		"CONNECT": "malformed",
		"PRI":     "malformed",

		strings.Repeat("A", 33): "ambiguous_request",
	} {
		in := requestFor("/billing/")
		in.Method = method
		_, err := NewRequest(in)
		if want == "" {
			if err != nil {
				t.Errorf("%s is refused: %v", method, err)
			}
			continue
		}
		var g *GuardError
		if !errors.As(err, &g) || g.Reason.String() != want || g.Rule != RuleMethod {
			t.Errorf("%q: got %v, want reason %s by rule method", method, err, want)
		} else if (g.Kind == KindNotImplemented) != (want == "malformed") {
			t.Errorf("%q: kind %v beside reason %s", method, g.Kind, want)
		}
	}
}

func TestOptionsForTheWholeServerInAbsoluteFormIsRefused(t *testing.T) {
	in := requestFor("http://gateway.example") // RFC 9112 section 3.2.4: it stands for OPTIONS *
	in.Method = "OPTIONS"
	if _, err := NewRequest(in); err == nil || refusalText(t, err) != "refused target_form" {
		t.Errorf("got %v", err)
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		major, minor int
		spoken       bool
	}{{1, 0, true}, {1, 1, true}, {2, 0, true}, {0, 9, false}, {1, 2, false}, {1, 9, false}, {2, 1, false}, {3, 0, false}} {
		in := requestFor("/")
		in.ProtoMajor, in.ProtoMinor = c.major, c.minor
		_, err := NewRequest(in)
		var g *GuardError
		if c.spoken && err != nil || !c.spoken && (!errors.As(err, &g) || g.Kind != KindVersion || g.Reason != ReasonMalformed) {
			t.Errorf("HTTP/%d.%d: got %v, spoken %v", c.major, c.minor, err, c.spoken)
		}
	}
}

func TestAnAbsoluteTargetIsNoPathInHTTP2(t *testing.T) {
	in := requestFor("http://gateway.example/")
	in.ProtoMajor, in.ProtoMinor = 2, 0
	if _, err := NewRequest(in); err == nil || refusalText(t, err) != "refused target_form" {
		t.Errorf("got %v", err)
	}
}

func TestAnAbsoluteTargetStandsForTheHostField(t *testing.T) {
	in := requestFor("http://Gateway.Example:8001/a")
	in.Hosts = nil
	req, err := NewRequest(in)
	if err != nil || req.Host != "gateway.example:8001" {
		t.Errorf("got host %q, %v", req.Host, err)
	}
}

func TestHostName(t *testing.T) {
	for host, want := range map[string]string{
		"": "", "a.example": "a.example", "a.example:80": "a.example", "[::1]": "[::1]", "[::1]:80": "[::1]",
	} {
		if got := HostName(host); got != want {
			t.Errorf("HostName(%q) is %q, want %q", host, got, want)
		}
	}
}

func TestEveryRuleHasANameAndAnExplanation(t *testing.T) {
	for r := RuleEncodedSlash; r < ruleCount; r++ {
		if r.String() == "" || r.About() == "" || r.Cure() == "" {
			t.Errorf("rule %d is named %q, says %q, advises %q", r, r, r.About(), r.Cure())
		}
		if found, ok := GuardRuleNamed(r.String()); !ok || found != r {
			t.Errorf("%s is found as %v", r, found)
		}
		if r.Waivable() != Waivable.Has(r) {
			t.Errorf("%s: waivable %v, in the set %v", r, r.Waivable(), Waivable.Has(r))
		}
	}
	want := "encoded_slash,encoded_backslash,semicolon,double_encoding,empty_segment,method_override,query_token"
	if got := Waivable.String(); got != want {
		t.Errorf("accept: may name %s, want %s", got, want)
	}
	if (GuardRules(0)).First() != 0 || GuardRule(0).String() != "" {
		t.Error("the empty set names a rule")
	}
	if _, ok := GuardRuleNamed(""); ok {
		t.Error("no name is a rule's name")
	}
}

func TestARefusalNeverRepeatsTheRequest(t *testing.T) {
	_, err := NewRequest(requestFor("/secret-marker/../x"))
	if err == nil || strings.Contains(err.Error(), "secret-marker") {
		t.Errorf("got %v", err)
	}
}
