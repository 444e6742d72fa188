package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// callerFlags describe who asks, for every command that takes a caller.
type callerFlags struct {
	Scopes    []string       `help:"Scopes of the token, separated by commas." placeholder:"A,B"`
	Claims    []string       `help:"A claim of the token, repeatable; the value is JSON or else plain text." placeholder:"NAME=VALUE" sep:"none"`
	Issuer    string         `help:"The token's issuer." placeholder:"URL"`
	AuthAge   *time.Duration `help:"How long ago the login was (auth_time)." placeholder:"20m"`
	ACR       string         `name:"acr" help:"The login's authentication context class."`
	Anonymous bool           `help:"No token at all; without this a valid token is assumed."`
	Token     string         `help:"Take all of it from a JWT: the token itself, @FILE, or - for standard input." placeholder:"JWT"`
	JWKS      string         `name:"jwks" help:"Verify --token with the keys in this file; otherwise it is only read." placeholder:"FILE"`
}

// callerReport is how explain and can repeat the caller that they judged.
type callerReport struct {
	Anonymous bool           `json:"anonymous"`
	Scopes    []string       `json:"scopes"` // as presented
	Held      []string       `json:"held"`   // what the policy makes of them, implications included
	Unknown   []string       `json:"unknown"`
	Claims    map[string]any `json:"claims,omitempty"`
	Issuer    string         `json:"issuer,omitempty"`
	ACR       string         `json:"acr,omitempty"`
	AuthAge   string         `json:"auth_age,omitempty"`
	Token     *tokenReport   `json:"token,omitempty"`
}

// tokenReport says how far a token that was presented can be trusted.
type tokenReport struct {
	Verified bool   `json:"verified"`
	Expired  bool   `json:"expired"`
	Note     string `json:"note"`
}

// caller reads the flags. A *tokenRefused says that the token is not accepted: --jwks did not bear
// it out, or the gateway.yaml does not take it.
func (f *callerFlags) caller(a *app, on *target) (*policy.Caller, *callerReport, error) {
	p := on.policy
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	if f.Anonymous {
		return &policy.Caller{Anonymous: true}, &callerReport{Anonymous: true, Scopes: []string{}, Held: []string{}, Unknown: []string{}}, nil
	}
	c := &policy.Caller{Issuer: f.Issuer, ACR: f.ACR}
	scopes := f.Scopes
	var note *tokenReport
	if f.Token != "" {
		t, err := f.presented(a, on)
		var refused *tokenRefused
		if errors.As(err, &refused) {
			return nil, t.report(p), err
		}
		if err != nil {
			return nil, nil, err
		}
		scopes, note = t.fill(c)
	} else if err := f.fill(c); err != nil {
		return nil, nil, err
	}
	c.Scopes = p.Scopes(scopes)
	return c, reportOf(c, scopes, note, p), nil
}

// check refuses flags that contradict each other, rather than let one of them win.
func (f *callerFlags) check() error {
	switch described := f.described(); {
	case f.Anonymous && (described || f.Token != ""):
		return fail(exitUsage, "--anonymous means no token, and other flags describe one", "leave one side out")
	case f.Token != "" && described:
		return fail(exitUsage, "--token brings its own scopes, claims, issuer and login", "leave the flags that describe a token out")
	case f.JWKS != "" && f.Token == "":
		return fail(exitUsage, "--jwks verifies a --token, and there is none", "")
	case f.AuthAge != nil && *f.AuthAge < 0:
		return fail(exitUsage, "--auth-age is a time that has passed, and cannot be negative", "")
	}
	return nil
}

// described reports flags that describe a token; describes, flags about the caller at all.
func (f *callerFlags) described() bool {
	return len(f.Scopes) > 0 || len(f.Claims) > 0 || f.Issuer != "" || f.AuthAge != nil || f.ACR != ""
}

func (f *callerFlags) describes() bool {
	return f.described() || f.Anonymous || f.Token != "" || f.JWKS != ""
}

// fill takes the caller from the flags that describe one.
func (f *callerFlags) fill(c *policy.Caller) error {
	c.Claims = map[string]any{}
	for _, claim := range f.Claims {
		name, text, ok := strings.Cut(claim, "=")
		if !ok || name == "" {
			return fail(exitUsage, fmt.Sprintf("--claims %s names no claim and value", claim), "write --claims org_id=7, or --claims 'tenants=[\"a\",\"b\"]'")
		}
		if _, twice := c.Claims[name]; twice {
			return fail(exitUsage, fmt.Sprintf("--claims %s stands twice", name), "a claim with several values is an array: --claims '"+name+"=[\"a\",\"b\"]'")
		}
		value, err := decodeJSON([]byte(text))
		if err != nil {
			value = text
		}
		c.Claims[name] = value
	}
	if iss, ok := c.Claims["iss"].(string); ok && c.Issuer == "" {
		c.Issuer = iss
	}
	if acr, ok := c.Claims["acr"].(string); ok && c.ACR == "" {
		c.ACR = acr
	}
	if f.AuthAge != nil {
		c.AuthAge, c.AuthAgeKnown = *f.AuthAge, true
	}
	return nil
}

// presented reads the token from where --token says, and verifies it as the target's gateway
// does, or with the keys that were given.
func (f *callerFlags) presented(a *app, on *target) (*presented, error) {
	raw, err := a.value(f.Token)
	if err != nil {
		return nil, err
	}
	raw = trimBearer(raw)
	t, err := readBearer(raw)
	if err != nil {
		hint := ""
		if _, statErr := os.Stat(f.Token); statErr == nil {
			hint = "to read a file write --token @" + f.Token
		}
		return nil, fail(exitUsage, "--token is no JWT: "+err.Error(), hint)
	}
	if f.JWKS == "" && on.config == nil {
		return t, nil
	}
	return t, t.verify(a.ctx, raw, f.JWKS, on)
}

// value is what a flag says: the text itself, @FILE, or - for standard input.
func (a *app) value(flag string) (string, error) {
	if file, ok := strings.CutPrefix(flag, "@"); ok {
		src, err := readFile(file)
		return string(src), err
	}
	if flag != "-" {
		return flag, nil
	}
	src, err := io.ReadAll(io.LimitReader(a.stdin, maxFile))
	if err != nil {
		return "", unreadable("standard input", err)
	}
	return string(src), nil
}

// fill takes the caller from a token.
func (t *presented) fill(c *policy.Caller) (scopes []string, note *tokenReport) {
	c.Issuer, c.ACR, c.Claims = t.issuer, t.acr, t.claims
	if !t.authTime.IsZero() {
		c.AuthAge, c.AuthAgeKnown = max(0, time.Since(t.authTime)-t.skew), true
	}
	note = &tokenReport{Verified: t.verified != "", Note: "the token was read and not verified: its signature, times, audience and type were not looked at"}
	if t.verified != "" {
		note.Note = t.verified
		return t.scopes, note
	}
	if late := time.Since(t.expires) - t.skew; !t.expires.IsZero() && late > 0 {
		note.Expired = true
		note.Note += fmt.Sprintf("; it expired %s ago, so the gateway answers 401 token_expired whatever the policy says", late.Round(time.Second))
	}
	return t.scopes, note
}

// report is what a token says that is not accepted.
func (t *presented) report(p *policy.Policy) *callerReport {
	c := &policy.Caller{}
	t.fill(c)
	c.Scopes = p.Scopes(t.scopes)
	return reportOf(c, t.scopes, &tokenReport{Note: "this is what the token says, and nobody vouches for it"}, p)
}

func reportOf(c *policy.Caller, scopes []string, note *tokenReport, p *policy.Policy) *callerReport {
	r := &callerReport{Scopes: []string{}, Held: c.Scopes.Words(), Unknown: []string{}, Issuer: c.Issuer, ACR: c.ACR, Token: note}
	r.Scopes = append(r.Scopes, scopes...)
	known := p.Vocabulary()
	for _, s := range scopes {
		if !slices.ContainsFunc(known, func(k policy.Scope) bool { return k.Name == s }) {
			r.Unknown = append(r.Unknown, s)
		}
	}
	if r.Held == nil {
		r.Held = []string{}
	}
	if c.AuthAgeKnown {
		r.AuthAge = shortest(c.AuthAge)
	}
	r.Claims = maps.Clone(c.Claims)
	return r
}
