package policy

import "strings"

// scanned is what stands on one line, as far as quotes and brackets go.
type scanned struct {
	comment int // where a comment begins; -1 without one
	depth   int // brackets and braces that are opened and not closed
}

// escaped reports that rest, which stands within these quotes, begins with two
// bytes that do not end them.
func escaped(quote byte, rest string) bool {
	return len(rest) > 1 && (quote == '"' && rest[0] == '\\' || quote == '\'' && rest[:2] == "''")
}

// scan reads a line that does not begin within a quoted text.
func scan(line string) scanned {
	s := scanned{comment: -1}
	quote, begin := byte(0), true // in quotes; at the beginning of a word
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case escaped(quote, line[i:]):
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case begin && (c == '"' || c == '\''):
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' '):
			s.comment = i
			return s
		case (c == '[' || c == '{') && (begin || s.depth > 0):
			s.depth++
		case (c == ']' || c == '}') && (begin || s.depth > 0):
			s.depth--
		}
		begin = quote == 0 && (c == ' ' || s.depth > 0 && strings.IndexByte("[{,:", c) >= 0 || begin && c == '[' || begin && c == '{')
	}
	return s
}

// entryLine lays out the line with which an entry begins, but for its indentation and
// its comment: `- `, `key:` and the value. open is the number of brackets that
// the value leaves open.
func entryLine(line string) (laid string, open int) {
	s := scan(line)
	if s.comment >= 0 {
		line = line[:s.comment]
	}
	text := strings.Trim(line, " ")
	for text == "-" || strings.HasPrefix(text, "- ") {
		laid += "- "
		text = strings.TrimLeft(text[1:], " ")
	}
	key, value := cutKey(text)
	if value != "" && key != "" {
		key += " "
	}
	if s.depth == 0 && value != "" && (value[0] == '[' || value[0] == '{') {
		value = flow(value)
	}
	return strings.TrimRight(laid+key+value, " "), s.depth
}

// cutKey takes `key:` off an entry of a mapping; key is empty for other texts.
func cutKey(text string) (key, value string) {
	at := 0
	if text != "" && (text[0] == '"' || text[0] == '\'') {
		quote := text[0]
		for at = 1; at < len(text); at++ {
			if escaped(quote, text[at:]) {
				at++
			} else if text[at] == quote {
				break
			}
		}
	} else if text != "" && (text[0] == '[' || text[0] == '{') {
		return "", text
	}
	for ; at < len(text); at++ {
		if text[at] == ':' && (at+1 == len(text) || text[at+1] == ' ') {
			return strings.TrimRight(text[:at], " ") + ":", strings.Trim(text[at+1:], " ")
		}
	}
	return "", text
}

// flow sets the spaces of a list or mapping in brackets that ends on its line.
func flow(text string) string {
	var out []byte
	quote, begin := byte(0), true
	trim := func() {
		for len(out) > 0 && out[len(out)-1] == ' ' {
			out = out[:len(out)-1]
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			out = append(out, c)
			if escaped(quote, text[i:]) {
				i++
				out = append(out, text[i])
			} else if c == quote {
				quote = 0
			}
			begin = false
			continue
		case begin && (c == '"' || c == '\''):
			quote = c
			out = append(out, c)
			continue
		case c == ' ' && begin: // one is there already, or none is wanted
			continue
		case c == '[':
			out = append(out, c)
		case c == '{':
			out = append(out, '{', ' ')
		case c == ',':
			trim()
			out = append(out, ',', ' ')
		case c == ']':
			trim()
			out = append(out, c)
		case c == '}':
			trim()
			if len(out) > 0 && out[len(out)-1] != '{' {
				out = append(out, ' ')
			}
			out = append(out, c)
		case c == ':' && i+1 < len(text) && text[i+1] == ' ':
			out = append(out, ':', ' ')
			i++
		default:
			out = append(out, c)
		}
		begin = strings.IndexByte(" [{,", c) >= 0 || c == ':' && out[len(out)-1] == ' '
	}
	return string(out)
}
