package server

import (
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/scopegate/scopegate/authserver/account"
)

// maxBody is the largest request body that is read, in bytes.
const maxBody = 64 << 10

var (
	errBodyTooLarge = errors.New("request body is larger than 64 KiB")
	errBodyBroken   = errors.New("request body could not be read")
)

// body is a JSON request body whose fields are asked for one by one. What is
// wrong with their shape collects in faults.
type body struct {
	value  any
	absent bool    // there was no body at all
	asked  [][]any // where was looked, in order
	faults faults
}

// object is one JSON object inside a body.
type object struct {
	body    *body
	loc     []any
	members map[string]any
	broken  bool // already reported as a whole
}

func readAll(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, errBodyTooLarge
	}
	if err != nil {
		return nil, errBodyBroken
	}
	return raw, nil
}

// readBody reads a JSON body, whatever Content-Type the client wrote: curl
// says "form" when it is not told otherwise.
func readBody(r *http.Request) (*body, error) {
	raw, err := readAll(r)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return &body{absent: true}, nil
	}
	value, err := parseJSON(raw)
	if broken := (*jsonFault)(nil); errors.As(err, &broken) {
		return nil, faults{invalidJSON(broken.offset, broken.why)}
	}
	if err != nil {
		return nil, errBodyBroken
	}
	return &body{value: value, absent: value == nil}, nil
}

// err is nil or all that is wrong with the body, in the order of asking: the
// shape of each field, or if that is right what a rule says of its value. What
// the rules say of a field without a value is left out: they judged a stand-in.
func (b *body) err(rules ...account.Fault) error {
	said := ruleFaults(rules)
	var all faults
	for _, loc := range b.asked {
		here := b.faults.at(loc)
		if len(here) == 0 {
			here = said.at(loc)
		}
		all = append(all, here...)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// whole is the body as one object: an endpoint with one model.
func (b *body) whole() *object {
	o := b.object("body")
	if b.absent {
		return o.report(missing("body"))
	}
	return o.take(b.value)
}

// embedded is one of several models, each under its own name. If the body is
// no object, each of them is missing.
func (b *body) embedded(name string) *object {
	o := b.object("body", name)
	outer, _ := b.value.(map[string]any)
	if outer[name] == nil {
		return o.report(missing(o.loc...))
	}
	return o.take(outer[name])
}

func (b *body) object(loc ...any) *object {
	b.asked = append(b.asked, loc)
	return &object{body: b, loc: loc}
}

func (o *object) report(f fault) *object {
	o.broken = true
	o.body.faults = append(o.body.faults, f)
	return o
}

func (o *object) take(value any) *object {
	members, ok := value.(map[string]any)
	if !ok {
		return o.report(fault{
			Type: "model_attributes_type", Loc: o.loc,
			Msg: "Input should be a valid dictionary or object to extract fields from",
		})
	}
	o.members = members
	return o
}

// field finds a member by its exact name. ok is false if there is nothing to
// look at; a required field that is absent has then been reported.
func (o *object) field(name string, required bool) (value any, ok bool) {
	if o.broken {
		return nil, false
	}
	o.body.asked = append(o.body.asked, o.at(name))
	value, ok = o.members[name]
	if !ok && required {
		o.fail(name, "missing", "Field required", nil)
	}
	return value, ok
}

// at is the place of a member.
func (o *object) at(name string) []any { return append(slices.Clone(o.loc), name) }

func (o *object) fail(name, kind, msg string, ctx map[string]any) {
	o.body.faults = append(o.body.faults, fault{Type: kind, Loc: o.at(name), Msg: msg, Ctx: ctx})
}

// text is a required string.
func (o *object) text(name string) string {
	value, ok := o.field(name, true)
	if !ok {
		return ""
	}
	return o.asText(name, value)
}

// textOr is a string that may be left out.
func (o *object) textOr(name, otherwise string) string {
	value, ok := o.field(name, false)
	if !ok {
		return otherwise
	}
	return o.asText(name, value)
}

// optionalText is a string that may be left out or null.
func (o *object) optionalText(name string) string {
	value, ok := o.field(name, false)
	if !ok || value == nil {
		return ""
	}
	return o.asText(name, value)
}

// asText refuses the replacement character: the decoder writes it for half of
// a surrogate pair, so two different passwords would read as one.
func (o *object) asText(name string, value any) string {
	s, ok := value.(string)
	if !ok {
		o.fail(name, "string_type", "Input should be a valid string", nil)
		return ""
	}
	if strings.ContainsRune(s, '\uFFFD') {
		o.fail(name, "string_unicode", "Input should be a valid string, unable to parse raw data as a unicode string", nil)
		return ""
	}
	return s
}

// choiceOr is one of a few words, and may be left out.
func (o *object) choiceOr(name, otherwise string, allowed ...string) string {
	value, ok := o.field(name, false)
	if !ok {
		return otherwise
	}
	word, ok := value.(string)
	if !ok || !slices.Contains(allowed, word) {
		o.body.faults = append(o.body.faults, notOneOf(allowed, o.at(name)))
		return otherwise
	}
	return word
}

// boolOr is a boolean that may be left out. Words and the numbers 0 and 1 are
// taken as pydantic takes them.
func (o *object) boolOr(name string, otherwise bool) bool {
	value, ok := o.field(name, false)
	if !ok {
		return otherwise
	}
	switch v := value.(type) {
	case bool:
		return v
	case json.Number:
		if v == "0" || v == "1" {
			return v == "1"
		}
	case string:
		switch strings.ToLower(v) {
		case "1", "true", "t", "yes", "y", "on":
			return true
		case "0", "false", "f", "no", "n", "off":
			return false
		}
	default:
		o.fail(name, "bool_type", "Input should be a valid boolean", nil)
		return otherwise
	}
	o.fail(name, "bool_parsing", "Input should be a valid boolean, unable to interpret input", nil)
	return otherwise
}

// integer is a required whole number, written as a number or as its digits in
// a string. Unlike pydantic it does not take true for 1.
func (o *object) integer(name string) int64 {
	value, ok := o.field(name, true)
	if !ok {
		return 0
	}
	switch v := value.(type) {
	case json.Number:
		return o.number(name, v.String())
	case string:
		return o.digits(name, strings.TrimSpace(v))
	}
	o.fail(name, "int_type", "Input should be a valid integer", nil)
	return 0
}

func (o *object) digits(name, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		o.fail(name, "int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size", nil)
	case err != nil:
		o.fail(name, "int_parsing", "Input should be a valid integer, unable to parse string as an integer", nil)
	}
	return n
}

// number takes 7, 7.0 and 7e0 for seven. The length is bounded first, because
// 1e999999999 is a short text for a very long number.
func (o *object) number(name, text string) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err != nil || f < -1e18 || f > 1e18 {
		o.fail(name, "int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size", nil)
		return 0
	}
	exact, ok := new(big.Float).SetPrec(256).SetString(text)
	if !ok || !exact.IsInt() {
		o.fail(name, "int_from_float", "Input should be a valid integer, got a number with a fractional part", nil)
		return 0
	}
	n, _ := exact.Int64()
	return n
}
