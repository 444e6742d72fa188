package sidecar

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/scopegate/scopegate/gateway/policy"
)

// appendJSON appends the line as JSON and a line feed. The bytes are those that slog's JSON
// handler makes of attributes; it would take ten allocations and four times as long.
func (l *line) appendJSON(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = l.at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","msg":"request","request_id":`...)
	b = appendString(b, clip(l.requestID, maxLogged))
	b = append(b, `,"service":`...)
	b = appendString(b, l.service)
	b = append(b, `,"host":`...)
	b = appendString(b, clip(l.host, maxLogged))
	b = append(b, `,"method":`...)
	b = appendString(b, l.method)
	b = append(b, `,"path":`...)
	b = appendString(b, clip(l.path, maxLogged))
	b = append(b, `,"route":`...)
	b = appendString(b, l.route)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(l.status), 10)
	b = append(b, `,"decision":`...)
	b = appendString(b, l.decision)
	b = append(b, `,"reason":`...)
	b = appendString(b, l.reason)
	b = append(b, `,"guard":`...)
	b = appendString(b, l.guard)
	b = append(b, `,"accepted":[`...)
	for rules := l.accepted; rules != 0; {
		rule := rules.First()
		rules &^= policy.RuleSet(rule)
		b = appendNested(separated(b), rule.String())
	}
	b = append(b, `],"issuer":`...)
	b = appendString(b, l.issuer)
	b = append(b, `,"subject":`...)
	b = appendString(b, clip(l.subject, maxLogged))
	b = append(b, `,"client":`...)
	b = appendString(b, clip(l.client, maxLogged))
	b = append(b, `,"scopes":[`...)
	for _, word := range l.scopes {
		b = appendNested(separated(b), word)
	}
	b = append(b, `],"missing":[`...)
	for _, word := range l.missing {
		b = appendNested(separated(b), word)
	}
	b = append(b, `],"claims":{`...)
	for i := range l.claims {
		b = appendNested(separated(b), l.claims[i].name)
		b = append(b, ':')
		b = appendClaim(b, l.claims[i].value)
	}
	b = append(b, `},"auth_age":`...)
	if l.authAge >= 0 {
		b = strconv.AppendInt(b, l.authAge, 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"acr":`...)
	b = appendString(b, clip(l.acr, maxLogged))
	b = append(b, `,"anonymous":`...)
	b = strconv.AppendBool(b, l.anonymous)
	b = append(b, `,"policy":`...)
	b = appendString(b, l.hash)
	b = append(b, `,"rule":`...)
	b = appendString(b, l.rule)
	b = append(b, `,"duration_ms":`...)
	b = appendMilliseconds(b, l.took)
	b = append(b, `,"upstream_ms":`...)
	b = appendMilliseconds(b, l.upstream)
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, l.bytesIn, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, l.bytesOut, 10)
	b = append(b, `,"sampled":`...)
	b = strconv.AppendInt(b, l.sampled, 10)
	if l.candidate != "" {
		b = l.appendCandidate(b)
	}
	return append(b, '}', '\n')
}

func (l *line) appendCandidate(b []byte) []byte {
	b = append(b, `,"candidate":`...)
	b = appendString(b, l.candidate)
	b = append(b, `,"candidate_reason":`...)
	b = appendString(b, l.candidateReason)
	b = append(b, `,"candidate_missing":[`...)
	for _, word := range l.candidateMissing {
		b = appendNested(separated(b), word)
	}
	b = append(b, `],"candidate_policy":`...)
	b = appendString(b, l.candidatePolicy)
	b = append(b, `,"candidate_rule":`...)
	return appendString(b, l.candidateRule)
}

// separated appends a comma, except at the beginning of an array or object.
func separated(b []byte) []byte {
	if last := b[len(b)-1]; last == '[' || last == '{' {
		return b
	}
	return append(b, ',')
}

// appendClaim appends what boundClaim leaves of a claim.
func appendClaim(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendNested(b, clip(v, maxLogged))
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		b = append(b, '[')
		for _, e := range v[:min(len(v), maxListed)] {
			b = appendClaim(separated(b), e)
		}
		return append(b, ']')
	}
	return append(b, "null"...) // there are no other values in a token (token.Token.Claims)
}

// appendMilliseconds appends a duration as the shortest decimal number of milliseconds with
// three places at most.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	micros := math.Round(float64(d) / float64(time.Microsecond))
	if d < 0 || micros >= 1e15 { // -0, and beyond the digits that a float64 keeps
		return strconv.AppendFloat(b, micros/1000, 'f', -1, 64)
	}
	n := uint64(micros)
	b = strconv.AppendUint(b, n/1000, 10)
	if n %= 1000; n == 0 {
		return b
	}
	b = append(b, '.', '0'+byte(n/100))
	if n %= 100; n == 0 {
		return b
	}
	b = append(b, '0'+byte(n/10))
	if n %= 10; n == 0 {
		return b
	}
	return append(b, '0'+byte(n))
}

// appendString appends a JSON string as slog writes it: the quotation mark, the reverse solidus
// and control characters escaped (RFC 8259 section 7); U+2028 and U+2029 too, which JavaScript
// takes for ends of line; what is not UTF-8 replaced.
func appendString(b []byte, s string) []byte { return appendEscaped(b, s, `\u0008`, `\u000c`) }

// appendNested appends a string inside an array or object, which slog leaves to encoding/json:
// that one knows two more short escapes.
func appendNested(b []byte, s string) []byte { return appendEscaped(b, s, `\b`, `\f`) }

func appendEscaped(b []byte, s, backspace, formFeed string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if literal[c] {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(s[i:]); !(r == utf8.RuneError && size == 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		b = append(b, s[done:i]...)
		switch r {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		case '\b':
			b = append(b, backspace...)
		case '\f':
			b = append(b, formFeed...)
		default:
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		i += size
		done = i
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

// literal are the bytes that stand for themselves.
var literal = func() (is [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()
