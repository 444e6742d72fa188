package token

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// document is a JWKS body with the ids of the keys in it.
type document struct {
	kids string
	body []byte
	etag string
}

// member is one key of the document. The struct is the whole list of members
// that can ever appear: a private member has no place to stand.
type member struct {
	N   string `json:"n"`
	E   string `json:"e"`
	KTY string `json:"kty"`
	KID string `json:"kid"`
	Alg string `json:"alg"`
	Use string `json:"use"`
}

// JWKS returns the RFC 7517 document that verifiers see at now, and a strong
// entity tag for it. It is a function of the rows last loaded and the clock,
// never of what was shown before, so a key cannot linger. The slice must not
// be changed.
func (r *Ring) JWKS(now time.Time) (body []byte, etag string) {
	keys := r.snapshot.Load().published(now)
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.kid
	}
	kids := strings.Join(ids, " ")
	if doc := r.document.Load(); doc != nil && doc.kids == kids {
		return doc.body, doc.etag
	}
	doc := newDocument(kids, keys)
	r.document.Store(doc)
	return doc.body, doc.etag
}

// published returns the keys that belong into the JWKS at now, oldest first,
// the same order on every replica.
func (s *snapshot) published(now time.Time) []*key {
	var keys []*key
	for _, k := range s.keys {
		if k.Published(now) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b *key) int {
		if later(a, b) {
			return 1
		}
		return -1
	})
	return keys
}

func newDocument(kids string, keys []*key) *document {
	set := struct {
		Keys []member `json:"keys"`
	}{Keys: make([]member, len(keys))}
	for i, k := range keys {
		set.Keys[i] = newMember(k.kid, k.public)
	}
	body, err := json.Marshal(set)
	if err != nil {
		panic(err) // a struct of strings always encodes
	}
	sum := sha256.Sum256(body)
	return &document{kids: kids, body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}
