package probe

import (
	"cmp"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Reading is how the service took a twin.
type Reading string

const (
	// Apart: as another path, or not at all.
	Apart Reading = "apart"
	// Same: it gave the answer of the path itself.
	Same Reading = "same"
	// Redirect: it sent the client to the path itself, so that the client asks
	// the gateway again.
	Redirect Reading = "redirect"
)

// yardstick is what a route's path and paths that do not exist are answered, so
// that other answers can be told.
type yardstick struct {
	path     string
	known    said   // of the path itself
	unknown  []said // of paths beside it
	bodies   bool   // the known answer is the same each time, body included
	tellable bool   // known and unknown answers differ
}

// said is an answer as it came, and without the spelling of the path that was
// asked for: many services repeat that.
type said struct{ raw, told answer }

func saidOf(a answer, target string) said { return said{a, told(a, target)} }

// newYardstick compares two answers to the path with those to unknown ones.
func newYardstick(path string, known [2]answer, unknown map[string]answer) *yardstick {
	y := &yardstick{path: path, known: saidOf(known[0], path)}
	y.bodies = y.known.told == told(known[1], path)
	y.tellable = known[0].status != 0
	for target, a := range unknown {
		s := saidOf(a, target)
		y.unknown = append(y.unknown, s)
		y.tellable = y.tellable && !y.alike(s, y.known)
	}
	return y
}

// reading judges the answer to a twin.
func (y *yardstick) reading(target string, a answer) Reading {
	if a.status >= 300 && a.status < 400 && y.leadsBack(a.location) {
		return Redirect
	}
	s := saidOf(a, target)
	if y.alike(s, y.known) && !slices.ContainsFunc(y.unknown, func(u said) bool { return y.alike(s, u) }) {
		return Same
	}
	return Apart
}

// alike compares two answers, as far as they are the same each time.
func (y *yardstick) alike(a, b said) bool {
	if !y.bodies {
		a.raw.body, b.raw.body, a.told.body, b.told.body = "", "", "", ""
	}
	return a.raw == b.raw || a.told == b.told
}

// leadsBack reports a Location that is the path in the policy's reading.
func (y *yardstick) leadsBack(location string) bool {
	u, err := url.Parse(location)
	if err != nil || location == "" {
		return false
	}
	path, ok := canonical(u.EscapedPath())
	return ok && path == y.path
}

// canonical gives the one reading of a target.
func canonical(target string) (path string, ok bool) {
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	return req.Path, err == nil && req.Broken == 0
}

// told is an answer without the spelling of the path that was asked for.
func told(a answer, target string) answer {
	spellings := []string{target}
	for _, s := range []string{target, strings.TrimPrefix(target, "/")} {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			decoded = s
		}
		quoted, _ := json.Marshal(decoded) // of a string: it cannot fail
		spellings = append(spellings, s, decoded, strings.Trim(string(quoted), `"`), html.EscapeString(decoded), url.QueryEscape(decoded))
	}
	slices.SortStableFunc(spellings, func(x, y string) int { return cmp.Compare(len(y), len(x)) })
	for _, s := range spellings {
		if len(s) > 2 { // a shorter one stands in every text
			a.body = strings.ReplaceAll(a.body, s, "{path}")
			a.location = strings.ReplaceAll(a.location, s, "{path}")
		}
	}
	return a
}
