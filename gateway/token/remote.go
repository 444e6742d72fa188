package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// rediscoverAfter is for how long a jwks_uri learnt from metadata is used without asking again.
const rediscoverAfter = time.Hour

// maxRedirects is how many a fetch follows.
const maxRedirects = 3

// loaderOf returns what loads an issuer's keys, which are not inline.
func loaderOf(config *IssuerConfig, transport http.RoundTripper) func(context.Context) (*document, error) {
	if path, isFile := fileURI(config.JWKSURI); isFile {
		return func(context.Context) (*document, error) { return loadFile(config.JWKSURI, path, config.JWKS.MaxBytes) }
	}
	if transport == nil {
		transport = newTransport()
	}
	r := &remote{config: *config}
	r.client = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return r.load
}

// loadFile reads keys from a file. Nothing but a regular file is opened for long: a pipe would hang.
func loadFile(uri, path string, maxBytes int64) (*document, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := readAll(f, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	set, err := parseKeySet(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &document{set: set, raw: raw, uri: uri, lifetime: 0}, nil
}

// readAll reads at most maxBytes; more is an error, not a cut.
func readAll(r io.Reader, maxBytes int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > maxBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxBytes)
	}
	return raw, nil
}

// remote loads an issuer's keys by HTTP. Only the source's driver uses it, so its fields
// need no lock.
type remote struct {
	config     IssuerConfig
	client     *http.Client
	discovered string // jwks_uri of the issuer's metadata
	asked      time.Time
	etag       string // of the last good answer, from etagOf
	etagOf     string
}

func (r *remote) load(ctx context.Context) (*document, error) {
	uri, insecure := r.config.JWKSURI, r.config.AllowInsecure
	if uri == "" {
		if err := r.discover(ctx); err != nil {
			return nil, err
		}
		// What the metadata says is not the operator's word: plain http stays on loopback.
		uri, insecure = r.discovered, false
	}
	doc, err := r.fetchKeys(ctx, uri, insecure)
	if err != nil {
		r.discovered, r.etag = "", ""
		return nil, fmt.Errorf("fetch %s: %w", uri, err)
	}
	return doc, nil
}

func (r *remote) fetchKeys(ctx context.Context, uri string, insecure bool) (*document, error) {
	etag := ""
	if r.etagOf == uri {
		etag = r.etag
	}
	answer, err := r.get(ctx, uri, etag, insecure)
	if err != nil {
		return nil, err
	}
	if answer.unchanged {
		return &document{uri: uri, lifetime: answer.lifetime, unchanged: true}, nil
	}
	set, err := parseKeySet(answer.body)
	if err != nil {
		return nil, err
	}
	r.etag, r.etagOf = answer.etag, uri
	return &document{set: set, raw: answer.body, uri: uri, lifetime: answer.lifetime}, nil
}

// answer is a good HTTP response, read to its end.
type answer struct {
	body      []byte
	etag      string
	lifetime  time.Duration
	unchanged bool
}

func (r *remote) get(ctx context.Context, uri, etag string, insecure bool) (*answer, error) {
	u, err := remoteURL(uri, insecure)
	if err != nil {
		return nil, err
	}
	ctx = withHops(ctx, &hops{insecure: insecure, scheme: u.Scheme})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "scopegate-gateway")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	result := &answer{lifetime: lifetimeOf(response.Header)}
	if response.StatusCode == http.StatusNotModified && etag != "" {
		result.unchanged = true
		return result, nil
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	if tag := response.Header.Get("ETag"); len(tag) <= 1024 {
		result.etag = tag
	}
	result.body, err = readAll(response.Body, r.config.JWKS.MaxBytes)
	return result, err
}

// lifetimeOf reads how long an answer is fresh (RFC 9111 section 4.2.1); negative when it does
// not say.
func lifetimeOf(h http.Header) time.Duration {
	lifetime := time.Duration(-1)
	for _, field := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(field, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			switch name {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				if age, ok := seconds(strings.Trim(value, `"`)); ok {
					lifetime = age
				}
			}
		}
	}
	if age, ok := seconds(h.Get("Age")); ok && lifetime > 0 {
		lifetime = max(0, lifetime-age)
	}
	return lifetime
}

func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

// discover learns jwks_uri from the issuer's metadata: RFC 8414 first, then OpenID Connect
// Discovery. Metadata whose issuer is another one is not used: whoever can place a document on
// the host must not name keys for every issuer there (RFC 8414 section 3.3).
func (r *remote) discover(ctx context.Context) error {
	if r.discovered != "" && time.Since(r.asked) < rediscoverAfter {
		return nil
	}
	var faults []error
	for _, address := range metadataAddresses(r.config.Issuer) {
		uri, err := r.readMetadata(ctx, address)
		if err == nil {
			r.discovered, r.asked = uri, time.Now()
			return nil
		}
		faults = append(faults, fmt.Errorf("metadata %s: %w", address, err))
	}
	return errors.Join(faults...)
}

// metadataAddresses puts the well-known part between host and path for RFC 8414, and behind the
// path for OpenID.
func metadataAddresses(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	return []string{
		origin + "/.well-known/oauth-authorization-server" + path,
		origin + path + "/.well-known/openid-configuration",
	}
}

func (r *remote) readMetadata(ctx context.Context, address string) (string, error) {
	result, err := r.get(ctx, address, "", r.config.AllowInsecure)
	if err != nil {
		return "", err
	}
	members, err := jsonObject(result.body, keySetLimits)
	if err != nil {
		return "", err
	}
	if members["issuer"] != any(r.config.Issuer) {
		return "", fmt.Errorf("its issuer is %q, not %q", clip(fmt.Sprint(members["issuer"])), r.config.Issuer)
	}
	uri, _ := members["jwks_uri"].(string)
	if _, err := remoteURL(uri, false); err != nil {
		return "", fmt.Errorf("its jwks_uri: %w", err)
	}
	return uri, nil
}
