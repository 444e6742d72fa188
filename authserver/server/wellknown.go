package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// publicMaxAge is how long the world may keep the public documents. The key
// timetable counts on it: see token.Timetable.MaxAge.
const publicMaxAge = "public, max-age=300"

// jwks answers from memory, without any limit on how often: a verifier that
// cannot have the keys refuses everybody.
func (s *Server) jwks(c echo.Context) error {
	body, etag := s.ring.JWKS(time.Now())
	return writePublic(c, body, etag)
}

// metadata is the RFC 8414 document. It names only what exists: there is no
// OAuth token endpoint, because /user/login is a first-party API.
func (s *Server) metadata(c echo.Context) error {
	return writePublic(c, s.metadataBody, s.metadataTag)
}

func metadataDocument(issuer string) (body []byte, etag string) {
	body, err := json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKSURI       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		GrantTypes    []string `json:"grant_types_supported"`
	}{issuer, issuer + "/.well-known/jwks.json", []string{}, []string{}})
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(body)
	return body, `"` + hex.EncodeToString(sum[:16]) + `"`
}

func writePublic(c echo.Context, body []byte, etag string) error {
	header := c.Response().Header()
	header.Set("Cache-Control", publicMaxAge)
	header.Set("ETag", etag)
	header.Set("Access-Control-Allow-Origin", "*")
	if matches(c.Request().Header.Values("If-None-Match"), etag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, "application/json", body)
}

// matches is the weak comparison of RFC 9110 section 13.1.2.
func matches(fields []string, etag string) bool {
	for _, field := range fields {
		for tag := range strings.SplitSeq(field, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
