package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// jwksFault is one way in which an issuer fails. Whatever it is, the last good keys go on, and
// what the faulty answer says never counts.
var jwksFaults = []struct {
	name, source string
	answer       http.HandlerFunc
}{
	{"not found", "outages", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
	{"internal error with good keys", "outages", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = w.Write(published([]*signer{{"evil", keyNumber(1)}}))
	}},
	{"an empty set", "an empty answer must not lock everybody out", text(`{"keys":[]}`)},
	{"empty", "truncation", text(``)},
	{"a page", "captive portals", text(`<html>sign in</html>`)},
	{"null", "RFC 7517", text(`null`)},
	{"keys of another type", "RFC 7517", text(`{"keys":{"kid":"evil"}}`)},
	{"no keys", "RFC 7517", text(`{"jwks_uri":"x"}`)},
	{"half a document", "truncation", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, `{"keys":[`)
	}},
	{"a symmetric key", "CVE-2026-39999 (APISIX)", text(`{"keys":[{"kty":"oct","kid":"evil","k":"c2VjcmV0","alg":"HS256"}]}`)},
	{"a weak key", "RFC 7518 section 3.3", text(`{"keys":[{"kty":"RSA","kid":"evil","n":"` + strings.Repeat("f", 80) + `","e":"AQAB"}]}`)},
	{"an exponent of one", "RFC 8017", text(`{"keys":[{"kty":"RSA","kid":"evil","n":"` + strings.Repeat("f", 342) + `","e":"AQ"}]}`)},
	{"deep", "stack exhaustion", text(strings.Repeat("[", 100_000))},
	{"sixty-five keys", "hardening 8", func(w http.ResponseWriter, _ *http.Request) {
		var all []*signer
		for n := range 65 {
			all = append(all, &signer{fmt.Sprintf("evil%d", n), keyNumber(1)})
		}
		_, _ = w.Write(published(append(all, &signer{"evil", keyNumber(1)})))
	}},
	{"endless", "unbounded reads (Oathkeeper, Heimdall, go-oidc)", func(w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat(" ", 1<<16))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}},
	{"slow", "slow issuers", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}},
	{"redirects in a circle", "hardening 8", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }},
	{"a redirect to a file", "CVE-2026-41413 (Istio)", redirect("file:///etc/passwd")},
	{"a redirect to a metadata service", "CVE-2026-41413 (Istio)", redirect("http://169.254.169.254/latest/")},
	{"two keys with one id", "wire.md: neither counts", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(published([]*signer{{"evil", keyNumber(1)}, {"evil", keyNumber(0)}}))
	}},
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// TestFaultyKeySetsNeitherLockOutNorLetIn breaks the issuer in every way. A token of a new key
// makes the gateway fetch; it is refused, and one of the old key is not.
func TestFaultyKeySetsNeitherLockOutNorLetIn(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		const groups = 4 // each with a gateway and an issuer of its own, since most of the time is waiting
		for group := range groups {
			t.Run(fmt.Sprint(group), func(t *testing.T) {
				t.Parallel()
				g := newTarget(t, site{lane: l, issuer: "jwks: { unknown_kid_interval: 1s, min_refresh: 1s, max_refresh: 1s, timeout: 500ms, max_bytes: 64KiB }"})
				good := g.issuer.token(nil)
				for i := group; i < len(jwksFaults); i += groups {
					g.withKeys(jwksFaults[i].name+" ("+jwksFaults[i].source+")", jwksFaults[i].answer, good)
				}
				g.notAbove(128 << 20)
			})
		}
	})
}

func (g *target) withKeys(fault string, answer http.HandlerFunc, good string) {
	g.Helper()
	before := g.issuer.fetches.Load()
	g.issuer.fail(answer)
	evil := g.issuer.signedBy(&signer{"evil", keyNumber(1)}, map[string]any{"jti": fault})
	if status, _, _ := g.ask("GET", "/api/1", evil); status != 401 && status != 503 {
		g.Errorf("%s: a token of a key that was never published: %d", fault, status)
	}
	g.eventually("a fetch of "+fault, func() bool { return g.issuer.fetches.Load() > before })
	for _, token := range []string{good, g.issuer.token(map[string]any{"jti": fault})} {
		if status, _, _ := g.ask("GET", "/api/1", token); status != 200 {
			g.Errorf("%s: a token of the last good keys: %d", fault, status)
		}
	}
}

// TestSixKeySwitchesUnderLoadCauseNo401 publishes each new key before it is used, as a careful
// issuer does, and even at the same moment, as a careless one does.
func TestSixKeySwitchesUnderLoadCauseNo401(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l, issuer: "jwks: { unknown_kid_interval: 1s }"})
		var current atomic.Pointer[signer]
		current.Store(&signer{"k0", keyNumber(0)})
		var done atomic.Bool
		var asked atomic.Int64
		var load sync.WaitGroup
		for worker := range 6 {
			load.Go(func() {
				for n := 0; !done.Load(); n++ {
					token := g.issuer.signedBy(current.Load(), map[string]any{"jti": fmt.Sprint(worker, n)})
					if status, _, body := g.ask("GET", "/api/1", token); status != 200 {
						t.Errorf("%d %s", status, body)
					}
					asked.Add(1)
				}
			})
		}
		for n := 1; n <= 6; n++ {
			next := &signer{fmt.Sprintf("k%d", n), keyNumber(n % 3)}
			g.issuer.publish(current.Load(), next)
			current.Store(next)
			begun := asked.Load()
			// A budget of two fetches refills by one a second.
			<-time.After(1100 * time.Millisecond)
			g.eventually("requests with the new key", func() bool { return asked.Load() > begun+10 })
		}
		done.Store(true)
		load.Wait()
		t.Logf("%d requests, %d fetches", asked.Load(), g.issuer.fetches.Load())
	})
}

// TestAThousandUnknownKeyIDsCauseFewFetches is the flood with which a stranger makes a gateway
// attack its own issuer (Oathkeeper, Heimdall, Authorino: reference reading of their sources).
func TestAThousandUnknownKeyIDsCauseFewFetches(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		before := g.issuer.fetches.Load()
		good := g.issuer.token(nil)
		var flood sync.WaitGroup
		began := time.Now()
		for worker := range 20 {
			flood.Go(func() {
				for n := range 50 {
					status, _, _ := g.ask("GET", "/api/1", g.issuer.signedBy(&signer{fmt.Sprintf("x%d-%d", worker, n), keyNumber(1)}, nil))
					if status != 401 && status != 503 {
						t.Errorf("unknown key: %d", status)
					}
					if n%10 == 0 {
						if status, _, _ := g.ask("GET", "/api/1", good); status != 200 {
							t.Errorf("a good token meanwhile: %d", status)
						}
					}
				}
			})
		}
		flood.Wait()
		if n := g.issuer.fetches.Load() - before; n > 5 {
			t.Errorf("%d fetches", n)
		}
		t.Logf("1000 unknown ids in %s: %d fetches", time.Since(began).Round(time.Millisecond), g.issuer.fetches.Load()-before)
	})
}

// TestAWithdrawnKeyEndsItsTokens: a token that was verified and remembered counts no longer than its
// key (Authorino keeps withdrawn keys until something forces a fetch).
func TestAWithdrawnKeyEndsItsTokens(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l, issuer: "jwks: { min_refresh: 1s, max_refresh: 1s }"})
		token := g.issuer.token(nil)
		if status, _, _ := g.ask("GET", "/api/1", token); status != 200 {
			t.Fatalf("before: %d", status)
		}
		g.issuer.publish(&signer{"k1", keyNumber(1)})
		g.eventually("the token of a withdrawn key is refused", func() bool {
			status, _, body := g.ask("GET", "/api/1", token, "Accept: application/problem+json")
			var p struct{ Reason string }
			return status == 401 && json.Unmarshal([]byte(body), &p) == nil && p.Reason == "token_unknown_key"
		})
	})
}
