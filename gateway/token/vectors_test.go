package token

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// vector is one file of testdata/vectors; the README there describes the members.
type vector struct {
	Claim    string          `json:"claim"`
	Source   string          `json:"source"`
	Expect   Reason          `json:"expect"`
	Detail   string          `json:"detail"`
	Keys     []string        `json:"keys"`
	Issuer   json.RawMessage `json:"issuer"`
	Header   json.RawMessage `json:"header"`
	Claims   json.RawMessage `json:"claims"`
	Key      string          `json:"key"`
	Alg      string          `json:"alg"`
	Shape    string          `json:"shape"`
	Scopes   []string        `json:"scopes"`
	Deviates bool            `json:"jwx_refuses"`
}

// vectorIssuer holds what a vector may set of the issuer.
type vectorIssuer struct {
	Algorithms  []string `json:"algorithms"`
	Types       []string `json:"types"`
	Audience    any      `json:"audience"`
	Scopes      []string `json:"scopes"`
	ScopeClaim  string   `json:"scope_claim"`
	AllowClaims []string `json:"allow_claims"`
}

// text returns the bytes that go into the token: of an object as it is written without
// blanks, of a string its content.
func text(raw json.RawMessage, def string) string {
	if len(raw) == 0 {
		return def
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

const (
	vectorHeader = `{"alg":"RS256","typ":"at+jwt","kid":"rsa"}`
	vectorClaims = `{"iss":"http://localhost:8000","sub":"u1","iat":946684800,"exp":946685400,"scope":"a.b.read"}`
)

func (v *vector) token() string {
	header, claims := text(v.Header, vectorHeader), text(v.Claims, vectorClaims)
	key, alg := v.Key, v.Alg
	if key == "" {
		key = "rsa"
	}
	if alg == "" {
		alg = "RS256"
	}
	h, p := enc([]byte(header)), enc([]byte(claims))
	signature := ""
	if alg != "none" {
		signature = enc(pair(key).sign(alg, h+"."+p))
	}
	if v.Shape == "" {
		return h + "." + p + "." + signature
	}
	return strings.NewReplacer("{header}", h, "{payload}", p, "{signature}", signature).Replace(v.Shape)
}

func (v *vector) apply(t *testing.T, ic *IssuerConfig) {
	var set vectorIssuer
	if len(v.Issuer) > 0 {
		if err := json.Unmarshal(v.Issuer, &set); err != nil {
			t.Fatal(err)
		}
	}
	ic.Algorithms, ic.Types = []string{"RS256"}, []string{"at+jwt"}
	if set.Algorithms != nil {
		ic.Algorithms = set.Algorithms
	}
	if set.Types != nil {
		ic.Types = set.Types
	}
	ic.Scopes, ic.ScopeClaim, ic.AllowClaims = set.Scopes, set.ScopeClaim, set.AllowClaims
	switch audience := set.Audience.(type) {
	case nil:
	case string:
		ic.Audience = Audience{Mode: map[string]AudienceMode{"none": AudienceNone, "any": AudienceAny}[audience]}
	case []any:
		ic.Audience = Audience{Mode: AudienceNames}
		for _, name := range audience {
			ic.Audience.Names = append(ic.Audience.Names, name.(string))
		}
	}
}

func readVectors(t testing.TB) map[string]*vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	all := map[string]*vector{}
	for _, file := range files {
		v := &vector{}
		decoder := json.NewDecoder(strings.NewReader(string(must(os.ReadFile(file)))))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = v
	}
	return all
}

// TestVectors judges every file of testdata/vectors at midnight of 1 January 2000 UTC.
func TestVectors(t *testing.T) {
	for name, v := range readVectors(t) {
		t.Run(name, func(t *testing.T) {
			token := v.token()
			keys := v.Keys
			if keys == nil {
				keys = []string{"rsa"}
			}
			document := published(keys...)
			synctest.Test(t, func(t *testing.T) { v.judge(t, token, document) })
		})
	}
}

func (v *vector) judge(t *testing.T, token string, document []byte) {
	if v.Claim == "" || v.Source == "" || (v.Expect != "accepted" && !slices.Contains(Reasons(), v.Expect)) {
		t.Fatal("a vector says what it claims, where that comes from, and accepted or one of our reasons")
	}
	if time.Now().Unix() != 946684800 {
		t.Fatal("the clock of the vectors is not midnight of 2000-01-01")
	}
	verifier := inlineVerifier(t, func(ic *IssuerConfig) {
		v.apply(t, ic)
		ic.Inline = document
	})
	got, err := verifier.Verify(t.Context(), token, nil)
	if reasonOf(err) != v.Expect {
		t.Fatalf("%s: got %s (%v), want %s", v.Claim, reasonOf(err), err, v.Expect)
	}
	if err != nil {
		e := err.(*Error)
		if !strings.Contains(e.Detail, v.Detail) {
			t.Errorf("detail %q does not hold %q", e.Detail, v.Detail)
		}
		if parts := strings.Split(token, "."); len(parts[0]) > 40 && strings.Contains(e.Detail, parts[0]) {
			t.Errorf("the detail quotes the token: %q", e.Detail)
		}
		return
	}
	if v.Scopes != nil && !slices.Equal(got.Scopes, v.Scopes) {
		t.Errorf("scopes %q, want %q", got.Scopes, v.Scopes)
	}
}
