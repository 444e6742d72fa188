package main

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// holds reports whether a token that the auth server has just issued names a
// scope. It reads the token without verifying it, to choose the next words and
// for nothing else.
func holds(token, scope string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Scopes []string `json:"scopes"`
	}
	return json.Unmarshal(payload, &claims) == nil && slices.Contains(claims.Scopes, scope)
}
