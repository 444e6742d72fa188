package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
	verified bool
}

// tokenRefused says that the gateway would not take a token, with the code that the log would have.
type tokenRefused struct{ reason, detail string }

func (e *tokenRefused) Error() string { return e.reason + ": " + e.detail }

// verify checks the token as a gateway does whose only issuer is the token's own, with the
// keys of a file. No gateway.yaml is read, so any algorithm will do that one could allow.
func (p *presented) verify(ctx context.Context, raw, jwks string) error {
	keys, err := readFile(jwks)
	if err != nil {
		return err
	}
	verifier, err := token.New(token.Config{Issuers: []token.IssuerConfig{{
		Issuer: p.issuer, Inline: keys, Algorithms: token.Algorithms(), Audience: token.Audience{Mode: token.AudienceAny},
	}}}, nil)
	if err != nil {
		return fail(exitUsage, "--jwks "+jwks+": "+err.Error(), "the file must hold a JWKS document: {\"keys\": [...]}, and the token an iss")
	}
	t, err := verifier.Verify(ctx, raw, nil)
	var refused *token.Error
	if errors.As(err, &refused) {
		return &tokenRefused{string(refused.Reason), refused.Detail}
	}
	if err != nil {
		return err
	}
	p.verified, p.scopes, p.claims, p.acr, p.authTime, p.skew = true, t.Scopes, t.Claims(), t.ACR, t.AuthTime, t.Skew()
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
