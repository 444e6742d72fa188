package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a body may nest. The deepest one that means anything
// has two levels.
const maxDepth = 32

// jsonFault says at which byte a text stops being acceptable JSON.
type jsonFault struct {
	offset int64
	why    string
}

func (f *jsonFault) Error() string { return f.why }

// errNotText means that a body is not UTF-8.
var errNotText = errors.New("body is not UTF-8 text")

// parseJSON reads one JSON value into nil, bool, json.Number, string, []any
// and map[string]any. It is stricter than encoding/json, because that takes
// the last of two members with one name, and matches names without regard to
// case: a proxy that reads the first would have judged another request.
func parseJSON(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, errNotText
	}
	if err := wellFormed(raw); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return parseValue(dec, 0)
}

// wellFormed finds the byte at which a text stops being one JSON value. The
// decoder's own message repeats what it found there, so it is not used.
func wellFormed(raw []byte) error {
	var whole json.RawMessage
	err := json.Unmarshal(raw, &whole)
	if err == nil {
		return nil
	}
	syntax := (*json.SyntaxError)(nil)
	if !errors.As(err, &syntax) {
		return &jsonFault{0, "Invalid JSON"}
	}
	if syntax.Offset >= int64(len(raw)) && strings.HasPrefix(err.Error(), "unexpected end") {
		return &jsonFault{syntax.Offset, "Unexpected end"}
	}
	return &jsonFault{syntax.Offset - 1, "Invalid JSON"}
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, &jsonFault{dec.InputOffset(), "Nested too deeply"}
	}
	switch tok {
	case json.Delim('{'):
		return parseObject(dec, depth)
	case json.Delim('['):
		return parseArray(dec, depth)
	}
	return tok, nil
}

func parseObject(dec *json.Decoder, depth int) (any, error) {
	members := map[string]any{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		if _, twice := members[name.(string)]; twice {
			return nil, &jsonFault{dec.InputOffset(), "Duplicate member"}
		}
		if members[name.(string)], err = parseValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return members, err
}

func parseArray(dec *json.Decoder, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		value, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := dec.Token()
	return list, err
}
