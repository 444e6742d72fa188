package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// kind is what a value is, 0 for one that is absent.
func (d *jsonDocument) kind(at int) byte {
	if at == root {
		return 0
	}
	return d.values[at].kind
}

// source is a value as it is written. Nothing but the same value is written like it.
func (d *jsonDocument) source(at int) []byte {
	v := d.values[at]
	if v.kind == '"' {
		return d.text[v.start-1 : v.end+1]
	}
	return d.text[v.start:v.end]
}

// bytes are those of a string's content or a number's digits. They are the document's own,
// unless something was escaped.
func (d *jsonDocument) bytes(at int) []byte {
	v := &d.values[at]
	if v.escaped {
		return unescaped(d.text[v.start:v.end])
	}
	return d.text[v.start:v.end]
}

// unescaped is the content of a string that str has checked.
func unescaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		if text[0] != '\\' {
			out, text = append(out, text[0]), text[1:]
			continue
		}
		r, size, _ := unescape(text)
		out, text = utf8.AppendRune(out, r), text[size:]
	}
	return out
}

// string is bytes as a copy.
func (d *jsonDocument) string(at int) string { return string(d.bytes(at)) }

// get returns the member of an object, or root when there is none of that name.
func (d *jsonDocument) get(object int, name string) int {
	return d.find(object, len(d.values), []byte(name))
}

// find looks for a member among those whose names stand before a value.
func (d *jsonDocument) find(object, before int, name []byte) int {
	end := min(before, int(d.values[object].after))
	for at := object + 1; at < end; at = int(d.values[at+1].after) {
		v := &d.values[at]
		if (v.escaped || int(v.end-v.start) == len(name)) && bytes.Equal(d.bytes(at), name) {
			return at + 1
		}
	}
	return root
}

// stringMember returns a member of the whole document that must be a string where it exists.
func (d *jsonDocument) stringMember(name string) (value string, there bool, err error) {
	at := d.get(root, name)
	switch d.kind(at) {
	case 0:
		return "", false, nil
	case '"':
		return d.string(at), true, nil
	}
	return "", true, fmt.Errorf("%s is not a string", name)
}

// tree returns a value as encoding/json would: nil, bool, string, [json.Number] with the literal,
// []any or map[string]any.
func (d *jsonDocument) tree(at int) any {
	v := d.values[at]
	switch v.kind {
	case '{':
		object := map[string]any{}
		for name := at + 1; name < int(v.after); name = int(d.values[name+1].after) {
			object[d.string(name)] = d.tree(name + 1)
		}
		return object
	case '[':
		array := []any{}
		for element := at + 1; element < int(v.after); element = int(d.values[element].after) {
			array = append(array, d.tree(element))
		}
		return array
	case '"':
		return d.string(at)
	case '0':
		return json.Number(d.string(at))
	case 't':
		return true
	case 'f':
		return false
	}
	return nil
}
