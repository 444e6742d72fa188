package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/authserver/account"
)

// fault is one entry of a 422 answer, in the shape of pydantic 2 but for its
// "input": pydantic repeats what was sent there, and so the password of a
// malformed signup.
type fault struct {
	Type string         `json:"type"`
	Loc  []any          `json:"loc"`
	Msg  string         `json:"msg"`
	Ctx  map[string]any `json:"ctx,omitempty"`
}

// faults is all that is wrong with a request, in the order of its fields.
type faults []fault

func (f faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = fmt.Sprintf("%v: %s", one.Loc, one.Type)
	}
	return strings.Join(lines, "; ")
}

func missing(loc ...any) fault {
	return fault{Type: "missing", Loc: loc, Msg: "Field required"}
}

func invalidJSON(offset int64, why string) fault {
	return fault{
		Type: "json_invalid", Loc: []any{"body", offset}, Msg: "JSON decode error",
		Ctx: map[string]any{"error": why},
	}
}

func wrongValue(why string, loc ...any) fault {
	return fault{Type: "value_error", Loc: loc, Msg: "Value error, " + why, Ctx: map[string]any{"error": map[string]any{}}}
}

// at are the faults of one place.
func (f faults) at(loc []any) faults {
	var here faults
	for _, one := range f {
		if slices.Equal(one.Loc, loc) {
			here = append(here, one)
		}
	}
	return here
}

// ruleFaults turns what package account found wrong into the same shape.
func ruleFaults(found []account.Fault) faults {
	out := make(faults, len(found))
	for i, f := range found {
		loc := []any{"body"}
		for _, name := range f.Path {
			loc = append(loc, name)
		}
		out[i] = ruleFault(f, loc)
	}
	return out
}

func ruleFault(f account.Fault, loc []any) fault {
	switch f.Kind {
	case account.TooShort:
		return fault{
			Type: "string_too_short", Loc: loc, Msg: fmt.Sprintf("String should have at least %s", characters(f.Limit)),
			Ctx: map[string]any{"min_length": f.Limit},
		}
	case account.TooLong:
		return fault{
			Type: "string_too_long", Loc: loc, Msg: fmt.Sprintf("String should have at most %s", characters(f.Limit)),
			Ctx: map[string]any{"max_length": f.Limit},
		}
	case account.NotOneOf:
		return notOneOf(f.Allowed, loc)
	case account.Unavailable:
		return fault{Type: "value_error", Loc: loc, Msg: f.Message}
	}
	return wrongValue(f.Message, loc...)
}

func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}

// notOneOf words the choice as pydantic does: 'a', 'b' or 'c'.
func notOneOf(allowed []string, loc []any) fault {
	quoted := make([]string, len(allowed))
	for i, word := range allowed {
		quoted[i] = "'" + word + "'"
	}
	last := len(quoted) - 1
	choice := quoted[last]
	if last > 0 {
		choice = strings.Join(quoted[:last], ", ") + " or " + choice
	}
	return fault{Type: "enum", Loc: loc, Msg: "Input should be " + choice, Ctx: map[string]any{"expected": choice}}
}
