package server

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxParts is how many parts of a multipart form are looked at.
const maxParts = 64

// loginForm is the body of /user/login: OAuth2's password request.
type loginForm struct {
	Username string
	Password string
	Scopes   []string
}

// readLogin reads the form. A missing or empty grant_type is accepted beside
// "password", because clients of both readings exist; client_id and
// client_secret are ignored. An empty username or password is a missing one.
func readLogin(r *http.Request) (loginForm, error) {
	fields, err := readForm(r)
	if err != nil {
		return loginForm{}, err
	}
	var found faults
	for _, name := range []string{"grant_type", "username", "password", "scope"} {
		if f, bad := judgeLogin(name, fields[name]); bad {
			found = append(found, f)
		}
	}
	if len(found) > 0 {
		return loginForm{}, found
	}
	return loginForm{
		Username: fields.Get("username"),
		Password: fields.Get("password"),
		Scopes:   strings.Fields(fields.Get("scope")),
	}, nil
}

// judgeLogin finds what is wrong with one field. A field that comes twice is
// refused (RFC 6749 section 3.2): readers differ in which one counts.
func judgeLogin(name string, values []string) (fault, bool) {
	if len(values) > 1 {
		return wrongValue("given more than once", "body", name), true
	}
	value := strings.Join(values, "")
	switch name {
	case "username", "password":
		if value == "" {
			return missing("body", name), true
		}
	case "grant_type":
		if value != "" && value != "password" {
			return fault{
				Type: "string_pattern_mismatch", Loc: []any{"body", name}, Msg: "String should match pattern '^password$'",
				Ctx: map[string]any{"pattern": "^password$"},
			}, true
		}
	}
	return fault{}, false
}

// readForm reads a form from the body only: a password in the query would
// stand in every access log on its way. Any other kind of body has no fields.
func readForm(r *http.Request) (url.Values, error) {
	raw, err := readAll(r)
	if err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, nil
	}
	var fields url.Values
	switch kind {
	case "application/x-www-form-urlencoded":
		fields, err = url.ParseQuery(string(raw))
	case "multipart/form-data":
		fields, err = readParts(raw, params["boundary"])
	}
	if err != nil {
		return nil, errBodyBroken
	}
	for name, values := range fields {
		if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(values, "")) {
			return nil, errBodyBroken
		}
	}
	return fields, nil
}

// readParts reads the plain fields of a multipart form and passes over files.
func readParts(raw []byte, boundary string) (url.Values, error) {
	fields := url.Values{}
	parts := multipart.NewReader(bytes.NewReader(raw), boundary)
	for range maxParts {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err != nil {
			return nil, err
		}
		if part.FileName() != "" || part.FormName() == "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		fields.Add(part.FormName(), string(value))
	}
	return nil, errBodyBroken
}
