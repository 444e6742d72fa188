package policy

import "time"

// Persona is one caller of a policy's own tests, with what it should get.
type Persona struct {
	Name string
	Line int
	// Anonymous means that no token is sent; everything below is empty then.
	Anonymous bool
	Scopes    []string
	// Claims is a tree as a token's JSON would give it: numbers are json.Number.
	Claims map[string]any
	Issuer string
	ACR    string
	// AuthAge is how long ago the login was, if AuthAgeKnown.
	AuthAge      time.Duration
	AuthAgeKnown bool
	// Allow are requests that must reach the service, Deny those that must not.
	Allow, Deny []Expectation
}

// Expectation is one request of a persona.
type Expectation struct {
	// Request is `METHOD /path` as written.
	Request string
	Method  string
	Target  string
	// Reason is the one that must be given, ReasonNone for any.
	Reason       Reason
	Line, Column int
}
