package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/seal"
)

// record is what a gateway said of a request that it decided about: a line of the decision log, or
// what stood sealed in a refusal. The latter has the keys below its empty line besides.
type record struct {
	Time      time.Time      `json:"time"`
	RequestID string         `json:"request_id"`
	Service   string         `json:"service"`
	Host      string         `json:"host"`
	Method    string         `json:"method"`
	Path      string         `json:"path"`
	Route     string         `json:"route"`
	Status    int            `json:"status"`
	Decision  string         `json:"decision"`
	Reason    string         `json:"reason"`
	Guard     string         `json:"guard"`
	Issuer    string         `json:"issuer"`
	Subject   string         `json:"subject"`
	Client    string         `json:"client"`
	Scopes    []string       `json:"scopes"`
	Missing   []string       `json:"missing"`
	Claims    map[string]any `json:"claims"`
	AuthAge   *int64         `json:"auth_age"`
	ACR       string         `json:"acr"`
	Anonymous bool           `json:"anonymous"`
	Policy    string         `json:"policy"`
	Rule      string         `json:"rule"`

	Needs     string   `json:"needs"`
	Unmet     []string `json:"unmet"`
	MaxAge    int64    `json:"max_age"`
	ACRValues []string `json:"acr_values"`
	Cause     string   `json:"cause"`
	Truncated bool     `json:"truncated"`
}

// explainRecord explains what was, and with a policy, what it would be now.
func (c *explainCmd) explainRecord(a *app) error {
	text, err := c.recordText(a)
	if err != nil {
		return err
	}
	r, err := readRecord(text)
	if err != nil {
		return fail(exitUsage, err.Error(), "give one line of the gateway's log, in JSON and with \"msg\":\"request\"")
	}
	x := r.explained()
	x.Record = json.RawMessage(text)
	if c.File == "" {
		return c.finish(a, x)
	}
	t, err := a.loadTarget(c.File, byName(r.Service))
	if err != nil {
		return err
	}
	if t.policy.Service() != r.Service {
		return fail(exitUsage, fmt.Sprintf("the record is about the service %s, and %s is the policy of %s", r.Service, c.File, t.policy.Service()), "name the policy of the same service")
	}
	x.Now = r.again(t.policy)
	return c.finish(a, x)
}

// recordText is the record as JSON, opened if it was sealed.
func (c *explainCmd) recordText(a *app) ([]byte, error) {
	if c.Log != "" {
		line, err := a.value(c.Log)
		return bytes.TrimSpace([]byte(line)), err
	}
	var keys []*seal.Key
	for _, file := range c.Key {
		key, err := openingKey(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	sealed, err := a.value(c.Sealed)
	if err != nil {
		return nil, err
	}
	// People copy the field with its name, and the member of a problem document with its quotes.
	sealed = strings.Trim(strings.TrimSpace(sealed), `"`)
	if name, rest, ok := strings.Cut(sealed, ":"); ok && strings.EqualFold(name, "Scopegate-Explanation") {
		sealed = rest
	}
	text, err := seal.Open(sealed, keys...)
	var closed *seal.Error
	if errors.As(err, &closed) {
		return nil, fail(exitUsage, closed.Text, closed.Hint)
	}
	return text, err
}

// openingKey reads a key that nobody else may read: with it, every explanation can be.
func openingKey(file string) (*seal.Key, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	key, err := seal.ParseKey(text)
	if err != nil {
		return nil, fail(exitUsage, file+" "+err.Error(), "gateway explain --new-key makes a pair of keys")
	}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fail(exitUsage, fmt.Sprintf("%s can be read by others (mode %04o)", file, info.Mode().Perm()), "chmod 600 "+file)
	}
	return key, nil
}

// newExplainKey writes a new pair of keys, and never over a file that is there.
func (a *app) newExplainKey(file string) error {
	opening, sealing, err := seal.NewKey()
	if err != nil {
		return err
	}
	sealFile := file + ".seal"
	if err := writeNew(file, opening); err != nil {
		return err
	}
	if err := writeNew(sealFile, sealing); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	a.printf("%s\n  opens explanations: keep it where operators are, and nowhere else\n", file)
	a.printf("%s\n  seals them: give it to the gateway, and write into gateway.yaml\n\n", sealFile)
	a.printf("    explain_key: %s\n    services:\n      - explain: sealed\n        …\n\n", sealFile)
	a.printf("Then: gateway explain --key %s --sealed \"…what the refusal's Scopegate-Explanation says…\"\n", file)
	return nil
}

func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unwritable(file, err)
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(unwritable(file, err), f.Close(), os.Remove(file))
	}
	return f.Close()
}

func unwritable(file string, err error) error {
	hint := ""
	if errors.Is(err, os.ErrExist) {
		hint = "a key is never overwritten; choose another name"
	}
	return fail(exitUsage, fmt.Sprintf("write %s: %v", file, errors.Unwrap(err)), hint)
}

// readRecord reads one record.
func readRecord(text []byte) (*record, error) {
	var r record
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("this is no decision record: %w", err)
	}
	if dec.More() {
		return nil, errors.New("this is more than one decision record")
	}
	if r.Reason == "" || r.Status == 0 {
		return nil, errors.New("this is no decision record: it has no reason and status")
	}
	return &r, nil
}

// explained is the decision as it was.
func (r *record) explained() *explained {
	x := &explained{
		Decision: r.Decision, Status: r.Status, Reason: r.Reason, Guard: r.Guard, Needs: r.Needs, Policy: r.Policy, cause: r.Cause,
		Fix: []string{}, Missing: append([]string{}, r.Missing...), Unmet: []unmetCondition{}, Others: []matchedRoute{},
		MaxAge: r.MaxAge, ACRValues: r.ACRValues,
		Request: askedFor{Method: r.Method, Target: r.Path, Path: r.Path, Host: r.Host},
		Route:   r.place(), seen: r.seen(),
	}
	caller := r.caller(nil)
	for _, condition := range r.Unmet {
		x.Unmet = append(x.Unmet, unmetCondition{Condition: x.spell(condition), Has: has(slices.Collect(maps.Keys(r.Claims)), caller, condition)})
	}
	if r.Issuer != "" {
		x.Caller = &callerReport{Scopes: append([]string{}, r.Scopes...), Held: append([]string{}, r.Scopes...), Unknown: []string{}, Claims: r.Claims, Issuer: r.Issuer, ACR: r.ACR}
		if r.AuthAge != nil {
			x.Caller.AuthAge = shortest(caller.AuthAge)
		}
	}
	if r.Truncated {
		x.note = "the record was cut to fit: long values end early, and scopes and claims may be missing"
	}
	return x
}

// place is the rule that answered.
func (r *record) place() *routeRef {
	if r.Route == "" || r.Route == "unmatched" {
		return nil
	}
	at := &routeRef{Path: r.Route}
	file, line, ok := cutLast(r.Rule, ":")
	if n, err := strconv.Atoi(line); ok && err == nil {
		at.File, at.Line, at.Method = file, n, &r.Method
	}
	return at
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// seen are the rows about the request that only a record has.
func (r *record) seen() [][]string {
	rows := [][]string{}
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, printable(value)})
		}
	}
	row("service", r.Service)
	row("host", r.Host)
	row("subject", r.Subject)
	row("client", r.Client)
	row("request id", r.RequestID)
	row("time", r.Time.UTC().Format("2006-01-02 15:04:05 MST"))
	return rows
}

// caller is who asked, as far as the record says.
func (r *record) caller(p *policy.Policy) *policy.Caller {
	c := &policy.Caller{Anonymous: r.Issuer == "", Issuer: r.Issuer, Claims: r.Claims, ACR: r.ACR}
	if r.AuthAge != nil {
		c.AuthAge, c.AuthAgeKnown = time.Duration(*r.AuthAge)*time.Second, true
	}
	if p != nil {
		c.Scopes = p.Scopes(r.Scopes)
	}
	return c
}

// again decides about the request under p.
func (r *record) again(p *policy.Policy) *explained {
	x := newExplained(p)
	x.Request = askedFor{Method: r.Method, Target: r.Path, Host: r.Host}
	var refused *tokenRefused
	if tokenCures[r.Reason] != "" {
		refused = &tokenRefused{r.Reason, r.Cause}
	}
	caller := r.caller(p)
	x.Caller = reportOf(caller, r.Scopes, nil, p)
	x.Caller.Anonymous = caller.Anonymous
	in := &policy.Received{Method: r.Method, Target: r.Path, Hosts: []string{or(r.Host, "localhost")}, ProtoMajor: 1, ProtoMinor: 1}
	x.judge(p, in, caller, refused)
	x.title = fmt.Sprintf("Today, by %s, which has changed since:", p.File())
	if p.Hash() == r.Policy {
		x.title = fmt.Sprintf("Today, by %s, which has not changed since:", p.File())
	}
	if r.Truncated {
		x.note = "the record was cut, so that this may be wrong"
	}
	return x
}

// spell adds to a condition what stands in the request's path where it names a segment.
func (x *explained) spell(condition string) string {
	if x.Route == nil {
		return condition
	}
	values := strings.Split(x.Request.Path, "/")
	for i, segment := range strings.Split(x.Route.Path, "/") {
		if strings.HasPrefix(segment, "{") && i < len(values) && strings.Contains(condition, "= "+segment) {
			return fmt.Sprintf("%s (%s is %s here)", condition, segment, printable(values[i]))
		}
	}
	return condition
}
