package token

import (
	"fmt"
	"reflect"
	"testing"
)

// inBuffer verifies a token that stands in a buffer which is overwritten right after.
func inBuffer(t *testing.T, v *Verifier, raw string) (*Token, error) {
	t.Helper()
	buffer := []byte(raw)
	got, err := v.Verify(t.Context(), unsafeString(buffer), nil)
	said := fmt.Sprint(err)
	for i := range buffer {
		buffer[i] = '#'
	}
	if again := fmt.Sprint(err); again != said {
		t.Errorf("%q became %q with the buffer", said, again)
	}
	return got, err
}

// A lane hands over views of a buffer that the connection's next request overwrites.
func TestNothingOfTheBufferIsKept(t *testing.T) {
	for _, c := range signed {
		v := inlineVerifier(t, nil, c.key)
		members := claims(map[string]any{"acr": "gold", "org_id": "acme", "client_id": "caf\u00e9"})
		raw := pair(c.key).token(c.alg, members)
		got, err := inBuffer(t, v, raw)
		if err != nil {
			t.Fatal(err)
		}
		want := must(inlineVerifier(t, nil, c.key).Verify(t.Context(), raw, nil))
		if got.Subject != want.Subject || got.Client != want.Client || got.ACR != want.ACR || !got.is(raw) ||
			!reflect.DeepEqual(got.Scopes, want.Scopes) || !reflect.DeepEqual(got.Claims(), want.Claims()) {
			t.Errorf("%s: got %+v, want %+v", c.alg, got.Terms, want.Terms)
		}
		if again, err := inBuffer(t, v, raw); again != got || err != nil {
			t.Errorf("%s: not found again: %v", c.alg, err)
		}
		if v.verified.Load() != 1 {
			t.Errorf("%s: %d verifications", c.alg, v.verified.Load())
		}
	}
}

// What a refusal says, or remembers, outlives the buffer as well.
func TestNothingOfARefusedBufferIsKept(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.Expect != "accepted" && len(v.token()) > 0 {
			_, _ = inBuffer(t, inlineVerifier(t, nil, "rsa"), v.token())
		}
	}
	inWorld(t, []string{"ec256", "rsa"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("rsa") }, func(w *world) {
		for _, want := range []Outcome{OutcomeAbsent, OutcomeRemembered, OutcomeRemembered} {
			before := w.status().UnknownKids[want]
			_, err := inBuffer(w.T, w.verifier, invented("nobody-knows-me"))
			w.want("an id that is unknown", reasonOf(err), ReasonUnknownKey)
			if w.status().UnknownKids[want] != before+1 {
				w.Errorf("the id was not %s: %v", want, w.status().UnknownKids)
			}
		}
	})
}
