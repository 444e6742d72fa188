package token

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// afterBadAnswer lets the background fetch meet an answer, and asks whether the keys survive it.
func afterBadAnswer(t *testing.T, answer func(*http.Request) (*http.Response, error), inError string) {
	t.Helper()
	inWorld(t, []string{"ec256"}, func(s *issuerServer, ic *IssuerConfig) {
		s.publish("ec256")
		ic.JWKS.MaxRefresh = time.Minute
	}, func(w *world) {
		raw := pair("ec256").token("ES256", claims(map[string]any{"exp": time.Now().Add(2 * time.Hour).Unix()}))
		w.server.set(answer)
		w.pass(2 * time.Minute)
		status := w.status()
		if !status.Stale || !status.Usable || status.Keys != 1 || !strings.Contains(status.LastError, inError) {
			t.Errorf("status %+v", status)
		}
		w.want("the last good key goes on", w.askRaw(raw), "accepted")
		w.server.publish("ec256")
		w.pass(time.Minute)
		if w.status().Stale {
			t.Error("still stale after the issuer came back")
		}
	})
}

func TestLastGoodKeysSurvive(t *testing.T) {
	ok := func(body string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return reply(200, []byte(body)), nil }
	}
	status := func(code int, fields ...string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return reply(code, nil, fields...), nil }
	}
	key := string(mustJSON(pair("ec256-other").jwk()))
	cases := []struct {
		name    string
		answer  func(*http.Request) (*http.Response, error)
		inError string
	}{
		{"an empty set", ok(`{"keys":[]}`), "no usable key"},
		{"an empty body", ok(``), "not a JSON object"},
		{"null", ok(`null`), "not a JSON object"},
		{"an HTML page", ok(`<html>sign in</html>`), "not a JSON object"},
		{"half a document", ok(`{"keys":[` + key), "end of JSON"},
		{"two documents", ok(`{"keys":[` + key + `]}{}`), "behind the JSON object"},
		{"keys that is an object", ok(`{"keys":{}}`), "not an array"},
		{"keys twice", ok(`{"keys":[],"keys":[` + key + `]}`), "twice"},
		{"only unfit keys", ok(`{"keys":[{"kty":"oct","k":"AA","kid":"x"}]}`), "symmetric"},
		{"65 keys", ok(`{"keys":[` + strings.Repeat(key+",", 64) + key + `]}`), "more than 64"},
		{"a huge body", ok(`{"keys":[],"x":"` + strings.Repeat("x", 2<<20) + `"}`), "longer than"},
		{"an endless body", func(r *http.Request) (*http.Response, error) {
			response := reply(200, nil)
			response.Body, response.ContentLength = endless{}, -1
			return response, nil
		}, "longer than"},
		{"a slow answer", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, "deadline exceeded"},
		{"status 500", status(500), "status 500"},
		{"status 401", status(401), "status 401"},
		{"status 429", status(429), "status 429"},
		{"status 204", status(204), "status 204"},
		{"status 304 that nobody asked for", status(304), "status 304"},
		{"a redirect without end", status(302, "Location", keysURI), "more than 3 redirects"},
		{"a redirect to a file", status(302, "Location", "file:///etc/passwd"), "redirected from http to file"},
		{"a redirect to a public address over http", status(302, "Location", "ftp://localhost/"), "redirected from http to ftp"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { afterBadAnswer(t, c.answer, c.inError) })
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil }
func (endless) Close() error               { return nil }

// Keys count for max_stale after the last good fetch, and not a moment longer, on a hit either.
func TestKeysEndAtMaxStale(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, ic *IssuerConfig) {
		s.publish("ec256")
		ic.JWKS.MaxStale = time.Hour
	}, func(w *world) {
		w.server.down()
		raw := pair("ec256").token("ES256", claims(map[string]any{"exp": time.Now().Add(3 * time.Hour).Unix()}))
		token, err := w.verifier.Verify(w.Context(), raw, nil)
		wantReason(w.T, err, "accepted")
		w.pass(time.Hour - time.Second)
		w.want("a second before", w.askRaw(raw), "accepted")
		w.pass(time.Second)
		w.want("at max_stale", w.askRaw(raw), ReasonKeysUnavailable)
		if s := w.status(); s.Usable || w.verifier.Active(token) {
			t.Errorf("status %+v", s)
		}
		w.server.publish("ec256")
		w.pass(time.Minute)
		w.want("the issuer is back", w.askRaw(raw), "accepted")
	})
}

// A key that the issuer takes back stops counting with the next fetch, also for tokens in the cache.
func TestWithdrawnKeyEndsItsTokens(t *testing.T) {
	inWorld(t, []string{"ec256-a", "ec256-b"}, func(s *issuerServer, ic *IssuerConfig) {
		s.publish("ec256-a", "ec256-b")
		ic.JWKS.MaxRefresh = time.Minute
	}, func(w *world) {
		raw := pair("ec256-a").token("ES256", claims(nil))
		token, err := w.verifier.Verify(w.Context(), raw, nil)
		wantReason(w.T, err, "accepted")
		w.server.publish("ec256-b")
		w.pass(time.Minute)
		if w.verifier.Active(token) {
			t.Error("a tunnel would go on with a withdrawn key")
		}
		w.want("after the withdrawal", w.askRaw(raw), ReasonUnknownKey)
	})
}

// A key of another issuer under the same id must not confirm a cached token.
func TestKeyIsLookedUpInItsOwnIssuersSnapshot(t *testing.T) {
	edit := func(name string, keys ...string) IssuerConfig {
		return IssuerConfig{Issuer: name, Inline: published(keys...), Audience: Audience{Mode: AudienceNone}, Algorithms: []string{"ES256"}}
	}
	v := must(New(Config{Issuers: []IssuerConfig{edit("https://a.example", "ec256-a"), edit("https://b.example", "ec256-b")}}, nil))
	_, err := v.Verify(t.Context(), pair("ec256-a").token("ES256", claims(map[string]any{"iss": "https://a.example"})), nil)
	wantReason(t, err, "accepted")
	_, err = v.Verify(t.Context(), pair("ec256-a").token("ES256", claims(map[string]any{"iss": "https://b.example"})), nil)
	wantReason(t, err, ReasonUnknownKey)
}

func TestMaxAgeIsClampedAndJittered(t *testing.T) {
	j := IssuerConfig{}.withDefaults().JWKS
	cases := []struct {
		name             string
		lifetime, lo, hi time.Duration
	}{
		{"not said", -1, 9 * time.Minute, 10 * time.Minute},
		{"below the bounds", time.Second, 30 * time.Second, 30 * time.Second},
		{"within", 5 * time.Minute, 270 * time.Second, 5 * time.Minute},
		{"above", time.Hour, 9 * time.Minute, 10 * time.Minute},
	}
	for _, c := range cases {
		seen := map[time.Duration]bool{}
		for range 100 {
			pause := j.pause(c.lifetime)
			seen[pause] = true
			if pause < c.lo || pause > c.hi {
				t.Errorf("%s: %s is not within %s and %s", c.name, pause, c.lo, c.hi)
			}
		}
		if c.lo != c.hi && len(seen) < 2 {
			t.Errorf("%s: no jitter", c.name)
		}
	}
}

func TestFreshnessOfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		control, age string
		want         time.Duration
	}{
		{"", "", -1}, {"public, max-age=300", "", 5 * time.Minute}, {"Max-Age=300", "100", 200 * time.Second},
		{"max-age=300", "400", 0}, {"max-age=300, no-store", "", 0}, {"no-cache", "", 0},
		{"max-age=-5", "", -1}, {"max-age=99999999999999999999", "", -1}, {"s-maxage=1", "", -1},
	} {
		h := http.Header{"Cache-Control": {c.control}, "Age": {c.age}}
		if got := lifetimeOf(h); got != c.want {
			t.Errorf("%q with age %q: %s, want %s", c.control, c.age, got, c.want)
		}
	}
}

// A 304 confirms the keys: they are as fresh as if they had been sent again.
func TestNotModifiedConfirmsTheKeys(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, ic *IssuerConfig) {
		ic.JWKS.MaxStale, ic.JWKS.MaxRefresh = 2*time.Minute, time.Minute
		s.set(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") == `"v1"` {
				return reply(304, nil), nil
			}
			return reply(200, published("ec256"), "ETag", `"v1"`), nil
		})
	}, func(w *world) {
		w.pass(time.Hour)
		w.want("an hour later", w.ask("ec256"), "accepted")
		status := w.status()
		if n := status.Refreshes[Refresh{TriggerBackground, ResultUnchanged}]; n < 59 || status.Age > time.Minute {
			t.Errorf("status %+v", status)
		}
	})
}

func TestReadingKeysNeverWaitsForAFetch(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, ic *IssuerConfig) {
		s.publish("ec256")
		ic.JWKS.MaxRefresh = time.Minute
	}, func(w *world) {
		under := make(chan struct{}, 1)
		w.server.set(func(r *http.Request) (*http.Response, error) {
			select {
			case under <- struct{}{}:
			default:
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		<-under // a fetch is under way, and hangs
		began := time.Now()
		for range 1000 {
			w.want("during the fetch", w.ask("ec256"), "accepted")
			w.verifier.Status()
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("readers waited %s", waited)
		}
	})
}

func TestFilesOfKeysAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, published("ec256-a"), 0o644); err != nil {
		t.Fatal(err)
	}
	inWorld(t, []string{"ec256-a", "ec256-b"}, func(_ *issuerServer, ic *IssuerConfig) { ic.JWKSURI = "file://" + path }, func(w *world) {
		w.want("key of the file", w.ask("ec256-a"), "accepted")
		if err := os.WriteFile(path, published("ec256-b"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.want("key of the new file", w.ask("ec256-b"), "accepted")
		w.want("key of the old file", w.ask("ec256-a"), ReasonUnknownKey)
	})
}

// The stored set is stamped with the time of its fetch, and max_stale counts from there.
func TestLastGoodFileServesAColdStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.json")
	pair("ec256")
	synctest.Test(t, func(t *testing.T) {
		server := &issuerServer{}
		server.publish("ec256")
		config := IssuerConfig{
			Issuer: testIssuer, JWKSURI: keysURI, Audience: Audience{Mode: AudienceNone},
			Algorithms: []string{"ES256"}, JWKS: JWKSConfig{File: path, MaxStale: time.Hour},
		}
		raw := pair("ec256").token("ES256", claims(map[string]any{"exp": time.Now().Add(3 * time.Hour).Unix()}))
		start := func(want Reason) {
			t.Helper()
			v := must(New(Config{Issuers: []IssuerConfig{config}, Transport: server}, nil))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = v.Run(ctx) }()
			synctest.Wait()
			_, err := v.Verify(ctx, raw, nil)
			cancel()
			<-done
			if got := reasonOf(err); got != want {
				t.Fatalf("got %v, want %s", err, want)
			}
		}
		start("accepted")
		stat := must(os.Stat(path))
		if stat.Mode().Perm() != 0o600 {
			t.Errorf("mode %s", stat.Mode())
		}
		server.down()
		time.Sleep(time.Hour - time.Second)
		start("accepted")
		time.Sleep(time.Second)
		start(ReasonKeysUnavailable)
	})
}

func TestLastGoodFileIsNotTrustedBlindly(t *testing.T) {
	now := time.Now()
	good := lastGood{Issuer: testIssuer, JWKSURI: keysURI, Fetched: now.Add(-time.Minute), JWKS: published("ec256")}
	cases := []struct {
		name   string
		change func(*lastGood)
		mode   os.FileMode
		ok     bool
	}{
		{"ours", func(*lastGood) {}, 0o600, true},
		{"readable by others", func(*lastGood) {}, 0o644, false},
		{"writable by the group", func(*lastGood) {}, 0o620, false},
		{"of another issuer", func(l *lastGood) { l.Issuer = "https://other.example" }, 0o600, false},
		{"from another place", func(l *lastGood) { l.JWKSURI = "http://localhost:1/" }, 0o600, false},
		{"too old", func(l *lastGood) { l.Fetched = now.Add(-25 * time.Hour) }, 0o600, false},
		{"from the future", func(l *lastGood) { l.Fetched = now.Add(time.Hour) }, 0o600, false},
		{"without time", func(l *lastGood) { l.Fetched = time.Time{} }, 0o600, false},
		{"broken", func(l *lastGood) { l.JWKS = json.RawMessage(`{"keys":[]}`) }, 0o600, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "last.json")
			stored := good
			c.change(&stored)
			if err := os.WriteFile(path, mustJSON(stored), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			v := must(New(Config{Issuers: []IssuerConfig{{
				Issuer: testIssuer, JWKSURI: keysURI, Audience: Audience{Mode: AudienceAny}, JWKS: JWKSConfig{File: path},
			}}}, nil))
			src := v.issuers[testIssuer].source
			src.restore()
			if got := src.snapshot() != nil; got != c.ok {
				t.Errorf("used: %v, want %v", got, c.ok)
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "real"), mustJSON(good), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("real", filepath.Join(folder, "link")); err != nil {
			t.Skip(err)
		}
		if _, err := readOwn(filepath.Join(folder, "link"), 1<<20); err == nil {
			t.Error("a symbolic link was followed")
		}
	})
}
