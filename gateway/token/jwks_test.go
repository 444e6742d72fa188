package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const keysURI = "http://localhost:8000/.well-known/jwks.json"

// issuerServer stands for the network: a RoundTripper whose answers the test sets.
type issuerServer struct {
	mu      sync.Mutex // guards answer
	answer  func(*http.Request) (*http.Response, error)
	fetches atomic.Int64
}

func (s *issuerServer) RoundTrip(request *http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	response, err := answer(request)
	if response != nil {
		response.Request = request
	}
	return response, err
}

func (s *issuerServer) set(answer func(*http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *issuerServer) serve(document []byte) {
	s.set(func(*http.Request) (*http.Response, error) { return reply(200, document), nil })
}

func (s *issuerServer) publish(names ...string) { s.serve(published(names...)) }

func (s *issuerServer) down() {
	s.set(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
}

func reply(status int, body []byte, fields ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		h.Set(fields[i], fields[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
}

// world is one issuer, its server, and a verifier that runs, in a bubble of fake time.
type world struct {
	*testing.T
	server   *issuerServer
	verifier *Verifier
	config   IssuerConfig
	log      *bytes.Buffer
}

// inWorld runs a test in a bubble. The verifier starts with what prepare makes the server say.
// The keys are made outside: that takes time, and the bubble's clock stands still.
func inWorld(t *testing.T, keys []string, prepare func(*issuerServer, *IssuerConfig), test func(*world)) {
	t.Helper()
	for _, name := range keys {
		pair(name)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, server: &issuerServer{}, log: &bytes.Buffer{}}
		w.config = IssuerConfig{
			Issuer: testIssuer, JWKSURI: keysURI, Audience: Audience{Mode: AudienceNone}, Skew: DefaultSkew,
			Algorithms: []string{"RS256", "ES256", "EdDSA"}, Types: []string{"at+jwt"},
		}
		w.server.down()
		prepare(w.server, &w.config)
		v, err := New(Config{Issuers: []IssuerConfig{w.config}, Transport: w.server, Logger: slog.New(slog.NewTextHandler(w.log, nil))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.verifier = v
		ctx, cancel := context.WithCancel(t.Context())
		var ran sync.WaitGroup
		ran.Go(func() { _ = v.Run(ctx) })
		synctest.Wait()
		test(w)
		cancel()
		ran.Wait()
	})
}

// ask verifies a fresh token of the named key.
func (w *world) ask(key string) Reason {
	alg := map[string]string{"rsa": "RS256", "ec256": "ES256", "ed25519": "EdDSA"}[strings.SplitN(key, "-", 2)[0]]
	return w.askRaw(pair(key).token(alg, claims(nil)))
}

func (w *world) askRaw(raw string) Reason {
	_, err := w.verifier.Verify(w.Context(), raw, nil)
	return reasonOf(err)
}

// invented is a token whose key id nobody knows.
func invented(id string) string {
	return pair("ec256").tokenOf("ES256", fmt.Sprintf(`{"alg":"ES256","typ":"at+jwt","kid":%q}`, id), string(mustJSON(claims(nil))))
}

func (w *world) want(what string, got, want Reason) {
	w.Helper()
	if got != want {
		w.Fatalf("%s: got %s, want %s\n%s", what, got, want, w.log)
	}
}

func (w *world) status() IssuerStatus { return w.verifier.Status()[0] }

func (w *world) pass(d time.Duration) {
	time.Sleep(d) // fake time: this returns when nothing else can happen for so long
	synctest.Wait()
}

func TestKeysAreFetchedAtStart(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		w.want("token of a published key", w.ask("ec256"), "accepted")
		status := w.status()
		if status.Keys != 1 || !status.HadKeys || !status.Usable || status.Stale || w.server.fetches.Load() != 1 {
			t.Errorf("status %+v after %d fetches", status, w.server.fetches.Load())
		}
		if status.Refreshes[Refresh{TriggerStart, ResultOK}] != 1 {
			t.Errorf("refreshes %v", status.Refreshes)
		}
	})
}

// A sidecar starts before its issuer. jwx's own cache answers errors for a quarter of an hour then.
func TestColdStartWhileTheIssuerIsDownRecoversByItself(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(*issuerServer, *IssuerConfig) {}, func(w *world) {
		w.want("no keys yet", w.ask("ec256"), ReasonKeysUnavailable)
		w.pass(time.Minute)
		n := w.server.fetches.Load()
		if n < 12 || n > 120 {
			t.Errorf("%d attempts in a minute: the back-off is not 100 ms doubling to 5 s", n)
		}
		if s := w.status(); s.HadKeys || s.Usable || s.LastError == "" {
			t.Errorf("status %+v", s)
		}
		began := time.Now()
		w.want("still none", w.ask("ec256"), ReasonKeysUnavailable)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("a request waited %s for an issuer that is known to be down", waited)
		}
		w.server.publish("ec256")
		w.pass(5 * time.Second)
		w.want("the issuer is back", w.ask("ec256"), "accepted")
	})
}

func TestRequestBeforeTheFirstAnswerWaitsForIt(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) {
		s.set(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(200, published("ec256")), nil
		})
	}, func(w *world) {
		w.want("asked during the first fetch", w.ask("ec256"), "accepted")
	})
}

func TestRotationIsSeenThroughOneFetch(t *testing.T) {
	inWorld(t, []string{"ec256-a", "ec256-b"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256-a") }, func(w *world) {
		w.want("old key", w.ask("ec256-a"), "accepted")
		w.server.publish("ec256-a", "ec256-b")
		w.want("new key", w.ask("ec256-b"), "accepted")
		w.want("old key still", w.ask("ec256-a"), "accepted")
		if n := w.server.fetches.Load(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		if got := w.status().UnknownKids[OutcomeFetched]; got != 1 {
			t.Errorf("unknown kids %v", w.status().UnknownKids)
		}
	})
}

// Six switches, each used the moment it is published, with requests all the time.
func TestSixKeySwitchesCauseNo401(t *testing.T) {
	names := []string{"ec256-0", "ec256-1", "ec256-2", "ec256-3", "ec256-4", "ec256-5", "ec256-6"}
	inWorld(t, names, func(s *issuerServer, _ *IssuerConfig) { s.publish(names[0]) }, func(w *world) {
		accepted := map[string]int{}
		for i := 1; i < len(names); i++ {
			w.server.publish(names[i-1], names[i])
			for range 40 {
				switch reason := w.ask(names[i]); reason {
				case "accepted":
					accepted[names[i]]++
				case ReasonKeysUnavailable:
				default:
					t.Fatalf("switch %d: %s", i, reason)
				}
				w.pass(100 * time.Millisecond)
			}
		}
		w.pass(10 * time.Second)
		w.want("the last key in the end", w.ask(names[6]), "accepted")
		if accepted[names[1]] != 40 || accepted[names[2]] != 40 {
			t.Errorf("the budget covers two switches at once: %v", accepted)
		}
		if n := w.server.fetches.Load(); n > 7 {
			t.Errorf("%d fetches in 34 s", n)
		}
	})
}

func TestThousandUnknownKidsCauseFewFetches(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		var all sync.WaitGroup
		var mu sync.Mutex
		got := map[Reason]int{}
		for i := range 1000 {
			raw := invented(fmt.Sprintf("guess-%d", i))
			all.Go(func() {
				reason := w.askRaw(raw)
				mu.Lock()
				got[reason]++
				mu.Unlock()
			})
		}
		all.Wait()
		w.pass(9 * time.Second)
		if n := w.server.fetches.Load(); n > 5 {
			t.Errorf("%d fetches", n)
		}
		if got[ReasonUnknownKey]+got[ReasonKeysUnavailable] != 1000 {
			t.Errorf("answers %v", got)
		}
		w.want("a good token meanwhile", w.ask("ec256"), "accepted")
	})
}

// One after the other, none held up by the others' budget.
func TestUnknownKidsInSequenceAreAnsweredAtOnce(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		began := time.Now()
		for i := range 1000 {
			reason := w.askRaw(invented(fmt.Sprintf("guess-%d", i)))
			if want := map[bool]Reason{true: ReasonUnknownKey, false: ReasonKeysUnavailable}[i < 2]; reason != want {
				t.Fatalf("guess %d: %s, want %s", i, reason, want)
			}
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("took %s", waited)
		}
		if n := w.server.fetches.Load(); n != 3 {
			t.Errorf("%d fetches, want 3: at the start and twice for unknown ids", n)
		}
		w.pass(11 * time.Second)
		if n := w.server.fetches.Load(); n != 4 {
			t.Errorf("%d fetches, want the planned one when the budget refills", n)
		}
		// The planned fetch has answered the ids that were asked for, and now there is a verdict.
		w.want("an id that the planned fetch did not bring", w.askRaw(invented("guess-7")), ReasonUnknownKey)
		w.pass(10 * time.Second)
		src := w.verifier.issuers[testIssuer].source
		src.mu.Lock()
		defer src.mu.Unlock()
		if len(src.unknown.asked) > maxRemembered || len(src.unknown.absent) > maxRemembered {
			t.Errorf("%d asked, %d remembered", len(src.unknown.asked), len(src.unknown.absent))
		}
	})
}

func TestBudgetForUnknownKidsIsOnePerInterval(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		began := time.Now()
		for i := 0; time.Since(began) < time.Minute; i++ {
			w.askRaw(invented(fmt.Sprintf("guess-%d", i)))
			w.pass(500 * time.Millisecond)
		}
		refreshes := w.status().Refreshes
		if n := refreshes[Refresh{TriggerUnknownKid, ResultOK}]; n < 6 || n > 8 {
			t.Errorf("%d fetches for unknown ids in a minute of it, want two at once and one per 10 s: %v", n, refreshes)
		}
	})
}

func TestAtMost64RequestsWait(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		w.server.set(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		var all sync.WaitGroup
		var atOnce, late atomic.Int64
		for i := range 200 {
			raw := invented(fmt.Sprint("guess-", i))
			all.Go(func() {
				if reason := w.askRaw(raw); reason != ReasonKeysUnavailable {
					t.Errorf("got %s", reason)
				}
				if time.Since(began) == 0 {
					atOnce.Add(1)
				} else {
					late.Add(1)
				}
			})
		}
		all.Wait()
		if waited := time.Since(began); waited != maxWait {
			t.Errorf("the last waited %s, want %s", waited, maxWait)
		}
		if late.Load() != maxWaiting || atOnce.Load() != 200-maxWaiting {
			t.Errorf("%d waited, %d were refused at once", late.Load(), atOnce.Load())
		}
		w.want("a known key meanwhile", w.ask("ec256"), "accepted")
	})
}

func TestWaitingEndsWithTheRequest(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		w.server.set(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := w.verifier.Verify(ctx, invented("x"), nil)
		wantReason(t, err, ReasonKeysUnavailable)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}

// Somebody who guesses the next key id must not lock it out.
func TestGuessOfTheNextKidDoesNotPoisonIt(t *testing.T) {
	inWorld(t, []string{"ec256", "ec256-next"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		w.want("the guess", w.askRaw(invented("ec256-next")), ReasonUnknownKey)
		w.want("the guess, again, from memory", w.askRaw(invented("ec256-next")), ReasonUnknownKey)
		if n := w.status().UnknownKids[OutcomeRemembered]; n != 1 {
			t.Errorf("unknown kids %v", w.status().UnknownKids)
		}
		w.server.publish("ec256", "ec256-next")
		// Any other fetch that brings a new set forgets the guess.
		w.askRaw(invented("another"))
		w.want("the key after it was published", w.ask("ec256-next"), "accepted")
	})
}

func TestRememberedKidLivesOneInterval(t *testing.T) {
	inWorld(t, []string{"ec256", "ec256-next"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		w.want("the guess", w.askRaw(invented("ec256-next")), ReasonUnknownKey)
		w.server.publish("ec256", "ec256-next")
		w.pass(DefaultUnknownKidInterval)
		w.want("one interval later", w.ask("ec256-next"), "accepted")
	})
}

// 401 needs a fetch that succeeded and lacks the id; an outage is not the caller's fault.
func TestUnknownKidDuringAnOutageIs503(t *testing.T) {
	inWorld(t, []string{"ec256", "ec256-b"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		w.server.down()
		w.want("unknown id", w.ask("ec256-b"), ReasonKeysUnavailable)
		w.want("known id", w.ask("ec256"), "accepted")
	})
}

func TestTokenWithoutKidNeverFetches(t *testing.T) {
	inWorld(t, []string{"ec256", "ec256-b"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256", "ec256-b") }, func(w *world) {
		raw := pair("ec256").tokenOf("ES256", `{"alg":"ES256","typ":"at+jwt"}`, string(mustJSON(claims(nil))))
		w.want("two keys fit", w.askRaw(raw), ReasonUnknownKey)
		w.pass(15 * time.Second)
		if n := w.server.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// go-oidc fetches again for every bad signature; a stranger needs no more than one letter for that.
func TestBadSignatureNeverFetches(t *testing.T) {
	inWorld(t, []string{"ec256", "ec256-b"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		for range 10 {
			raw := pair("ec256-b").tokenOf("ES256", `{"alg":"ES256","typ":"at+jwt","kid":"ec256"}`, string(mustJSON(claims(nil))))
			w.want("foreign signature", w.askRaw(raw), ReasonSignature)
		}
		if n := w.server.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// A token that cannot count for the service must not cost a fetch.
func TestUnknownKidOfAForeignIssuerNeverFetches(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		_, err := w.verifier.Verify(w.Context(), invented("x"), &Acceptance{Issuers: []string{"https://other.example"}})
		wantReason(t, err, ReasonIssuer)
		w.pass(15 * time.Second)
		if n := w.server.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}
