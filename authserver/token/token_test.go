package token

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const issuer = "http://localhost:8000"

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func part(t *testing.T, signed string, i int) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(signed, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestLoginTokenProfile holds the claim set to the letter: services in the
// field depend on what is in it and on what is not.
func TestLoginTokenProfile(t *testing.T) {
	r := testRing(t, &rows{}, start)
	signed, claims, err := r.Login(testLogin(), start)
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := r.Keys(start)
	var head map[string]any
	if err := json.Unmarshal([]byte(part(t, signed, 0)), &head); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": keys[0].KID}, head); diff != "" {
		t.Error(diff)
	}
	want := fmt.Sprintf(`{"iss":"http://localhost:8000","sub":"0198c0de-0000-7000-8000-000000000001",`+
		`"iat":%d,"exp":%d,"jti":%q,"client_id":"first-party","org_id":"0198c0de-0000-7000-8000-000000000002","sid":%q,`+
		`"scopes":["auth.user.read","example_service.billing.read"],"scope":"auth.user.read example_service.billing.read",`+
		`"roles":["owner"],"amr":["pwd"],"auth_time":%d}`, start.Unix(), start.Unix()+600, claims.ID, claims.SessionID, start.Unix())
	if diff := cmp.Diff(want, part(t, signed, 1)); diff != "" {
		t.Error(diff)
	}
	back, err := r.Verify(signed, issuer, start)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(claims, back); diff != "" {
		t.Error(diff)
	}
}

func TestNoScopesAreAnEmptyArray(t *testing.T) {
	r := testRing(t, &rows{}, start)
	l := testLogin()
	l.Scopes, l.Roles = nil, nil
	signed, _, err := r.Login(l, start)
	if err != nil {
		t.Fatal(err)
	}
	if body := part(t, signed, 1); !strings.Contains(body, `"scopes":[],"scope":"","roles":[]`) {
		t.Error(body)
	}
}

func TestTokenThatNoHeaderCarriesIsNotIssued(t *testing.T) {
	r := testRing(t, &rows{}, start)
	l := testLogin()
	for i := range 300 {
		l.Scopes = append(l.Scopes, fmt.Sprintf("some_service.some_resource_%03d.read", i))
	}
	if _, _, err := r.Login(l, start); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	for _, ttl := range []time.Duration{0, -time.Second, MaxTTL + time.Second} {
		l := testLogin()
		l.TTL = ttl
		if _, _, err := r.Login(l, start); err == nil {
			t.Errorf("life of %s accepted", ttl)
		}
	}
}

// forge signs any header and payload with the ring's own key, by hand.
func forge(t *testing.T, private *rsa.PrivateKey, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// TestHostileTokens: the cases are those of RFC 8725 section 3 and of the
// usual attack tools, told from this server's point of view.
func TestHostileTokens(t *testing.T) {
	store := &rows{}
	r := testRing(t, store, start)
	own, foreign := pool()[0], pool()[4]
	good, _, err := r.Login(testLogin(), start)
	if err != nil {
		t.Fatal(err)
	}
	head, body := part(t, good, 0), part(t, good, 1)
	kid := store.list[0].KID
	der, _ := x509.MarshalPKIXPublicKey(&own.PublicKey)
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	hs := func(secret string) string {
		input := b64(`{"alg":"HS256","kid":"`+kid+`","typ":"at+jwt"}`) + "." + b64(body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	edit := func(old, new string) string { return strings.Replace(body, old, new, 1) }
	header := func(more string) string { return `{"alg":"RS256","kid":"` + kid + `","typ":"at+jwt"` + more + `}` }
	cases := map[string]struct {
		raw  string
		want error
	}{
		"control: by hand, unchanged": {forge(t, own, head, body), nil},
		"empty":                       {"", ErrMalformed},
		"not a token":                 {"a.b.c", ErrMalformed},
		"five parts":                  {good + ".a.b", ErrMalformed},
		"trailing dot":                {good + ".", ErrMalformed},
		"trailing space":              {good + " ", ErrMalformed},
		"padding":                     {good + "==", ErrMalformed},
		"newline inside":              {good[:len(good)-9] + "\n" + good[len(good)-9:], ErrMalformed},
		"alg none":                    {b64(`{"alg":"none","kid":"`+kid+`","typ":"at+jwt"}`) + "." + b64(body) + ".", ErrMalformed},
		"alg nOnE":                    {b64(`{"alg":"nOnE","kid":"`+kid+`","typ":"at+jwt"}`) + "." + b64(body) + ".", ErrMalformed},
		"empty signature":             {strings.Join(strings.Split(good, ".")[:2], ".") + ".", ErrSignature},
		"HS256 with public key PEM":   {hs(pemKey), ErrMalformed},
		"HS256 with public key DER":   {hs(string(der)), ErrMalformed},
		"RS512 in the header":         {forge(t, own, strings.Replace(head, "RS256", "RS512", 1), body), ErrMalformed},
		"foreign key, our kid":        {forge(t, foreign, head, body), ErrSignature},
		"kid unknown":                 {forge(t, own, strings.Replace(head, kid, "x", 1), body), ErrSignature},
		"kid as path":                 {forge(t, own, strings.Replace(head, kid, "../../etc/passwd", 1), body), ErrSignature},
		"kid as SQL":                  {forge(t, own, strings.Replace(head, kid, "' OR 1=1--", 1), body), ErrSignature},
		"kid missing":                 {forge(t, own, `{"alg":"RS256","typ":"at+jwt"}`, body), ErrMalformed},
		"kid a number":                {forge(t, own, `{"alg":"RS256","kid":1,"typ":"at+jwt"}`, body), ErrMalformed},
		"kid twice":                   {forge(t, own, header(`,"kid":"x"`), body), ErrMalformed},
		"kid in two cases":            {forge(t, own, header(`,"KID":"x"`), body), ErrMalformed},
		"jwk in the header":           {forge(t, foreign, header(`,"jwk":{}`), body), ErrMalformed},
		"jku in the header":           {forge(t, foreign, header(`,"jku":"http://evil"`), body), ErrMalformed},
		"x5u in the header":           {forge(t, own, header(`,"x5u":"http://evil"`), body), ErrMalformed},
		"crit in the header":          {forge(t, own, header(`,"crit":["b64"],"b64":false`), body), ErrMalformed},
		"typ JWT":                     {forge(t, own, strings.Replace(head, "at+jwt", "JWT", 1), body), ErrMalformed},
		"typ of an ID token absent":   {forge(t, own, `{"alg":"RS256","kid":"`+kid+`"}`, body), ErrMalformed},
		"too long":                    {good + strings.Repeat("A", MaxBytes), ErrMalformed},
		"foreign issuer":              {forge(t, own, head, edit(issuer, "http://evil:8000")), ErrClaims},
		"issuer with slash":           {forge(t, own, head, edit(issuer, issuer+"/")), ErrClaims},
		"audience of a service":       {forge(t, own, head, edit(`{`, `{"aud":"example_service",`)), ErrClaims},
		"audience list with us":       {forge(t, own, head, edit(`{`, `{"aud":["`+issuer+`","x"],`)), ErrClaims},
		"audience empty list":         {forge(t, own, head, edit(`{`, `{"aud":[],`)), ErrClaims},
		"audience: the issuer":        {forge(t, own, head, edit(`{`, `{"aud":"`+issuer+`",`)), nil},
		"subject missing":             {forge(t, own, head, edit(`"sub"`, `"bus"`)), ErrClaims},
		"claim twice":                 {forge(t, own, head, edit(`{`, `{"sub":"x",`)), ErrMalformed},
		"claim in two cases":          {forge(t, own, head, edit(`{`, `{"Sub":"x",`)), ErrMalformed},
		"exp missing":                 {forge(t, own, head, edit(`"exp"`, `"pxe"`)), ErrExpired},
		"exp as text":                 {forge(t, own, head, edit(`"exp":`, `"exp":"9","x":`)), ErrMalformed},
		"exp huge":                    {forge(t, own, head, edit(`"exp":`, `"exp":1e400,"x":`)), ErrMalformed},
		"payload an array":            {forge(t, own, head, "["+body+"]"), ErrMalformed},
		"two payloads":                {forge(t, own, head, body+body), ErrMalformed},
		"payload changed":             {strings.Replace(good, b64(body), b64(edit("user.read", "user.all")), 1), ErrSignature},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := r.Verify(c.raw, issuer, start); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if _, err := r.Verify(good, issuer, start.Add(10*time.Minute)); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

func FuzzVerifyAcceptsOnlyWhatWasSigned(f *testing.F) {
	store := &rows{}
	m, err := NewMaster(make([]byte, MasterKeySize))
	if err != nil {
		f.Fatal(err)
	}
	r, err := open(f.Context(), store, m, DefaultTimetable(), start, fromPool())
	if err != nil {
		f.Fatal(err)
	}
	good, _, err := r.Login(testLogin(), start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "=")
	f.Add(strings.ToLower(good))
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := r.Verify(raw, issuer, start); err == nil && raw != good {
			t.Errorf("accepted %q", raw)
		}
	})
}
