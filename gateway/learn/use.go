package learn

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/policy"
)

// maxCallers bounds the callers of one method of a path that are told apart.
const maxCallers = 64

// use is what was called with one method at one place.
type use struct {
	lines, requests int64
	public          int64                  // lines for which no token was asked
	sets            map[int]int64          // lines by the number of their token's list of scopes
	accepted        map[string]bool        // exceptions to the guard that calls needed
	recorded        map[string]bool        // routes of the policy of that day
	callers         map[uint64]bool        // hashes of issuer and subject, at most maxCallers
	bindings        map[binding]*boundText // claims that equalled a segment in every call
	started         bool
}

// binding is a claim that may be compared with a segment of the path.
type binding struct {
	segment int
	claim   string
}

// boundText is what both were.
type boundText struct {
	text   string
	varied bool // there were several
}

// seed makes hashes of callers; they are counted and never shown.
var seed = maphash.MakeSeed()

// add counts an allowed call.
func (u *use) add(r *decisions.Record, set int) {
	u.lines++
	u.requests += r.Sampled
	u.note(&u.recorded, r.Route)
	rules, _ := r.Accepted()
	for _, name := range rules {
		if rule, known := policy.GuardRuleNamed(name); known && rule.Waivable() {
			u.note(&u.accepted, name)
		}
	}
	if r.Issuer == "" {
		u.public++
		return
	}
	if u.sets == nil {
		u.sets = map[int]int64{}
	}
	u.sets[set]++
	if u.callers == nil {
		u.callers = map[uint64]bool{}
	}
	if len(u.callers) < maxCallers {
		u.callers[maphash.String(seed, r.Issuer+"\n"+r.Subject)] = true
	}
	u.bind(r)
}

// maxNoted bounds the sets of names kept with a use.
const maxNoted = 16

func (u *use) note(set *map[string]bool, name string) {
	if *set == nil {
		*set = map[string]bool{}
	}
	if !(*set)[name] && len(*set) < maxNoted {
		(*set)[strings.Clone(name)] = true
	}
}

// longestClaim bounds the name of a claim, in bytes.
const longestClaim = 128

// bind keeps the claims that have been equal to a segment in every call so far.
func (u *use) bind(r *decisions.Record) {
	if u.started && len(u.bindings) == 0 {
		return
	}
	found := map[binding]string{}
	segments := strings.Split(r.Path[1:], "/")
	for name, value := range r.Claims() {
		if name == "" || len(name) > longestClaim {
			continue
		}
		for i, segment := range segments {
			if text, ok := literal(segment); ok && text != "" && equals(value, text) {
				found[binding{i, strings.Clone(name)}] = strings.Clone(text)
			}
		}
	}
	if !u.started {
		u.bindings = map[binding]*boundText{}
		for b, text := range found {
			u.bindings[b] = &boundText{text: text}
		}
	}
	u.started = true
	for b, was := range u.bindings {
		text, still := found[b]
		if !still {
			delete(u.bindings, b)
			continue
		}
		was.varied = was.varied || text != was.text
	}
}

// equals compares as claims: does; a list is compared by its elements.
func equals(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return v == text && !decisions.MaybeCut(v)
	case json.Number:
		return string(v) == text && strings.Trim(text, "0123456789") == "" && (text[0] != '0' || text == "0")
	case []any:
		return slices.ContainsFunc(v, func(e any) bool {
			_, nested := e.([]any)
			return !nested && equals(e, text)
		})
	}
	return false
}

// merge adds the calls of another place.
func (u *use) merge(o *use) {
	u.lines += o.lines
	u.requests += o.requests
	u.public += o.public
	for set, n := range o.sets {
		if u.sets == nil {
			u.sets = map[int]int64{}
		}
		u.sets[set] += n
	}
	for name := range o.accepted {
		u.note(&u.accepted, name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.recorded)) {
		u.note(&u.recorded, name)
	}
	for caller := range o.callers {
		if u.callers == nil {
			u.callers = map[uint64]bool{}
		}
		if len(u.callers) < maxCallers {
			u.callers[caller] = true
		}
	}
	u.mergeBindings(o)
}

func (u *use) mergeBindings(o *use) {
	switch {
	case !o.started:
	case !u.started:
		u.started, u.bindings = true, map[binding]*boundText{}
		for b, t := range o.bindings {
			one := *t
			u.bindings[b] = &one
		}
	default:
		for b, t := range u.bindings {
			other := o.bindings[b]
			if other == nil {
				delete(u.bindings, b)
				continue
			}
			t.varied = t.varied || other.varied || other.text != t.text
		}
	}
}
