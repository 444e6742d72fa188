package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/sidecar"
	"github.com/scopegate/scopegate/gateway/token"
)

// presented is a token as explain reads it: what it says, and how far that can be trusted.
type presented struct {
	issuer   string
	scopes   []string
	claims   map[string]any
	acr      string
	authTime time.Time
	expires  time.Time
	skew     time.Duration
	verified string // how; "" where it was not
}

// tokenRefused says that the gateway would not take a token, with the code that the log would have.
type tokenRefused struct{ reason, detail string }

func (e *tokenRefused) Error() string { return e.reason + ": " + e.detail }

// status is the one that the gateway answers with.
func (e *tokenRefused) status() int {
	if e.reason == string(token.ReasonKeysUnavailable) {
		return 503
	}
	return 401
}

// verify checks the token as the target's gateway does. Without a gateway.yaml that is one whose
// only issuer is the token's own, with the keys of a file, any algorithm and any audience.
func (p *presented) verify(ctx context.Context, raw, jwks string, on *target) error {
	var keys []byte
	var err error
	if jwks != "" {
		if keys, err = readFile(jwks); err != nil {
			return err
		}
	}
	how := "the token was verified with the keys given; its audience was not looked at"
	if on.config != nil {
		how = "the token was verified as the gateway does it by " + on.config.Source.File
	} else {
		own := token.IssuerConfig{Issuer: p.issuer, Inline: keys, Algorithms: token.Algorithms(), Audience: token.Audience{Mode: token.AudienceAny}}
		if _, err := token.New(token.Config{Issuers: []token.IssuerConfig{own}}, nil); err != nil {
			return fail(exitUsage, "--jwks "+jwks+": "+err.Error(), "the file must hold a JWKS document: {\"keys\": [...]}, and the token an iss")
		}
		on = &target{config: &sidecar.Config{Issuers: []token.IssuerConfig{own}}, service: &sidecar.Service{}}
	}
	t, err := on.judge(ctx, raw, keys)
	if err != nil {
		return refusedBy(err)
	}
	p.verified, p.scopes, p.claims, p.acr, p.authTime, p.skew = how, t.Scopes, t.Claims(), t.ACR, t.AuthTime, t.Skew()
	return nil
}

// readBearer reads a token's claims without checking its signature. Scopes are those of the first
// of scope, scopes and scp that is there, as the gateway reads them by default.
func readBearer(raw string) (*presented, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("a JWT has three parts separated by dots, this has %d", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("its claims are no base64url: %w", err)
	}
	value, err := decodeJSON(payload)
	if err != nil {
		return nil, fmt.Errorf("its claims are no JSON: %w", err)
	}
	claims, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("its claims are no JSON object")
	}
	p := &presented{claims: claims, skew: token.DefaultSkew}
	p.issuer, _ = claims["iss"].(string)
	p.acr, _ = claims["acr"].(string)
	p.authTime = numericDate(claims["auth_time"])
	p.expires = numericDate(claims["exp"])
	for _, name := range []string{"scope", "scopes", "scp"} {
		if claim := claims[name]; claim != nil {
			p.scopes = scopeWords(claim)
			break
		}
	}
	slices.Sort(p.scopes)
	p.scopes = slices.Compact(p.scopes)
	return p, nil
}

// scopeWords reads a string of words, or an array of which each element is one word.
func scopeWords(claim any) (words []string) {
	switch v := claim.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok && s != "" && !strings.Contains(s, " ") {
				words = append(words, s)
			}
		}
	}
	return words
}

// numericDate reads RFC 7519's NumericDate; zero when it is none.
func numericDate(v any) time.Time {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := n.Float64()
	if err != nil {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// trimBearer drops what people copy along with a token.
func trimBearer(raw string) string {
	raw = strings.TrimSpace(raw)
	if len(raw) > 7 && strings.EqualFold(raw[:7], "bearer ") {
		raw = strings.TrimSpace(raw[7:])
	}
	return raw
}

// decodeJSON decodes one JSON value, numbers as they are written.
func decodeJSON(src []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("text follows the value")
	}
	return v, nil
}
