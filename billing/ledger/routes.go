package ledger

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// endpoint is one path's answers by method.
type endpoint map[string]http.HandlerFunc

// billing answers the demo's routes. Paths are compared whole: no cleaning and no
// redirect, because the gateway has already settled the one spelling of a path.
func billing() http.Handler {
	endpoints := map[string]endpoint{
		"/billing/": {
			http.MethodGet:    message("Read billing"),
			http.MethodPost:   message("Write billing"),
			http.MethodDelete: message("Delete billing"),
		},
		"/billing/whoami": {http.MethodGet: whoami},
		"/healthz":        {http.MethodGet: message("ok")},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, found := endpoints[r.URL.Path]
		if !found {
			detail(w, http.StatusNotFound)
			return
		}
		answer, found := e[readMethod(r.Method)]
		if !found {
			w.Header().Set("Allow", e.allow())
			detail(w, http.StatusMethodNotAllowed)
			return
		}
		answer(w, r)
	})
}

// readMethod is the method whose answer is given: HEAD is a GET without the body, which
// net/http leaves out.
func readMethod(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// allow is the value of an Allow header, sorted.
func (e endpoint) allow() string {
	methods := make([]string, 0, len(e)+1)
	for method := range e {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// message answers like the demo's FastAPI handlers. The body of the request is read to
// its end first: net/http would break off a large upload that nobody reads.
func message(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			detail(w, http.StatusBadRequest)
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"message": text})
	}
}

// Identity is the answer of /billing/whoami: what the gateway said about the caller.
type Identity struct {
	Subject string   `json:"subject"`
	Issuer  string   `json:"issuer"`
	Client  string   `json:"client"`
	Scopes  []string `json:"scopes"`
	// Headers are all identity headers as received, under every spelling that a less
	// strict service would take for one.
	Headers map[string][]string `json:"headers"`
}

// whoami shows the identity headers that the request brought.
func whoami(w http.ResponseWriter, r *http.Request) {
	id := Identity{
		Subject: decoded(r.Header.Get("X-Auth-Subject")),
		Issuer:  decoded(r.Header.Get("X-Auth-Issuer")),
		Client:  decoded(r.Header.Get("X-Auth-Client")),
		Scopes:  strings.Fields(decoded(r.Header.Get("X-Auth-Scopes"))),
		Headers: map[string][]string{},
	}
	if id.Scopes == nil {
		id.Scopes = []string{}
	}
	for name, values := range r.Header {
		if strings.HasPrefix(folded(name), "x-auth-") {
			id.Headers[name] = values
		}
	}
	writeJSON(w, http.StatusOK, id)
}

// decoded undoes the percent-encoding of an identity value; one that is not encoded
// properly is shown as it came.
func decoded(value string) string {
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// folded is a header name as CGI-like stacks see it: X_Auth_Subject, X.Auth.Subject and
// X-Auth-Subject are one variable to them.
func folded(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		default:
			return '-'
		}
	}, name)
}

// detail answers an error in FastAPI's shape, with the status's standard phrase.
func detail(w http.ResponseWriter, status int) {
	writeJSON(w, status, map[string]string{"detail": http.StatusText(status)})
}

// writeJSON sends v compactly and without a final newline, as FastAPI does. Every v of
// this package encodes, so an error can only be the client's connection.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
