package token

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wycheproofFile is the shape of the JOSE vectors of C2SP's Wycheproof.
type wycheproofFile struct {
	TestGroups []struct {
		Comment string          `json:"comment"`
		Public  json.RawMessage `json:"public"`
		Private json.RawMessage `json:"private"`
		Tests   []struct {
			ID      int      `json:"tcId"`
			Comment string   `json:"comment"`
			JWS     any      `json:"jws"`
			Result  string   `json:"result"`
			Flags   []string `json:"flags"`
		} `json:"tests"`
	} `json:"testGroups"`
}

// stricter lists what stands in the keys of vectors that are valid and that we refuse all the
// same, with the reason.
var stricter = map[string]string{
	`"ES521"`: "the key names the algorithm ES521, which does not exist (RFC 7518 says ES512)",
	`"oct"`:   "symmetric keys are never used",
}

// stricterTests are single vectors of that kind.
var stricterTests = map[string]string{
	"Figure20": "the token says PS384 and the key PS256: alg of a key binds it",
}

// TestWycheproof replays the JSON Web Signature and Key vectors: everything that they call
// invalid is refused, everything valid is accepted unless the table above says why not. Their payloads
// are no claims, so the test stops at the signature.
func TestWycheproof(t *testing.T) {
	for _, name := range []string{"json_web_signature_test.json", "json_web_key_test.json"} {
		t.Run(name, func(t *testing.T) {
			var file wycheproofFile
			if err := json.Unmarshal(sharedFile(t, "vectors/wycheproof/"+name), &file); err != nil {
				t.Fatal(err)
			}
			accepted, refused := 0, 0
			for _, group := range file.TestGroups {
				for _, test := range group.Tests {
					ok := wycheproofVerdict(group.Public, group.Private, test.JWS)
					why := cmp.Or(stricterTests[test.Comment], excuseOf(group.Public, group.Private))
					switch {
					case ok && test.Result == "invalid":
						t.Errorf("%s, %d %s %v: accepted", group.Comment, test.ID, test.Comment, test.Flags)
					case !ok && test.Result == "valid" && why == "":
						t.Errorf("%s, %d %s %v: refused", group.Comment, test.ID, test.Comment, test.Flags)
					}
					if ok {
						accepted++
					} else {
						refused++
					}
				}
			}
			t.Logf("%d accepted, %d refused", accepted, refused)
			if strings.Contains(name, "signature") && accepted < 30 {
				t.Errorf("only %d accepted: the replay does not reach the verification", accepted)
			}
		})
	}
}

// sharedFile reads a file that lies outside the repository: in the folder that SCOPEGATE_SHARED
// names, or beside the repository's root in shared.
func sharedFile(t *testing.T, name string) []byte {
	t.Helper()
	folder := os.Getenv("SCOPEGATE_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	raw, err := os.ReadFile(filepath.Join(folder, name))
	if os.IsNotExist(err) {
		if slices.Contains(strings.Split(os.Getenv("SCOPEGATE_REQUIRE"), ","), "shared") {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %s is not there; set SCOPEGATE_SHARED", filepath.Join(folder, name))
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wycheproofVerdict takes the public keys, or what is given of private ones, as a key set.
func wycheproofVerdict(public, private json.RawMessage, token any) bool {
	document := public
	if len(document) == 0 {
		document = private
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(document, &members) == nil && members["keys"] == nil {
		document = must(json.Marshal(map[string]any{"keys": []json.RawMessage{document}}))
	}
	set, err := parseKeySet(document)
	if err != nil {
		return false
	}
	raw, ok := token.(string)
	if !ok {
		raw = string(must(json.Marshal(token)))
	}
	var c compact
	if c.parse(raw) != nil || len(c.signature) == 0 {
		return false
	}
	// Any supported algorithm is allowed: what binds it to the key is under test.
	k := set.byID[c.header.keyID]
	if !c.header.hasKeyID {
		k = set.only(c.header.algorithm)
	}
	return k != nil && k.fits(c.header.algorithm) && c.verifiedBy(k)
}

func excuseOf(public, private json.RawMessage) string {
	document := string(public) + string(private)
	for word, why := range stricter {
		if strings.Contains(document, word) {
			return why
		}
	}
	return ""
}
