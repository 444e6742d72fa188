package gate

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// HasToken reports whether a comma-separated list, in any number of field
// lines, has the token, without regard to case (RFC 9110 section 5.6.1).
func HasToken(lines []string, token string) bool {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(member, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// AsksForSocket reports an HTTP/1.1 GET that wants to become a WebSocket (RFC
// 6455 section 4.1). HTTP/1.0 has no Upgrade.
func AsksForSocket(in *Request) bool {
	return in.Method == "GET" && in.ProtoMajor == 1 && in.ProtoMinor >= 1 &&
		HasToken(in.Header.Values("Upgrade"), "websocket") &&
		HasToken(in.Header.Values("Connection"), "upgrade")
}

// CheckHandshake is strict, since a service that is not would take the rest of
// the connection for something else: version 13, and over HTTP/1.1 one key of
// 16 bytes and no body.
func CheckHandshake(in *Request, hasBody bool) error {
	if v := in.Header.Values("Sec-Websocket-Version"); len(v) != 1 || v[0] != "13" {
		return ErrHandshake
	}
	if in.ProtoMajor == 2 {
		return nil // no key there, and the stream itself is the body
	}
	key := in.Header.Values("Sec-Websocket-Key")
	if len(key) != 1 || hasBody {
		return ErrHandshake
	}
	if nonce, err := base64.StdEncoding.Strict().DecodeString(key[0]); err != nil || len(nonce) != 16 {
		return ErrHandshake
	}
	return nil
}

// Accepted reports whether the fields of a 101 agree to the handshake with this
// key (RFC 6455 section 4.2.2).
func Accepted(answer Header, key string) bool {
	upgrade, accept := answer.Values("Upgrade"), answer.Values("Sec-Websocket-Accept")
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") &&
		HasToken(answer.Values("Connection"), "upgrade") &&
		len(accept) == 1 && accept[0] == acceptOf(key)
}

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// CheckExpect allows one expectation, 100-continue, of an HTTP/1.1 request or
// later that has a body (RFC 9110 section 10.1.1).
func CheckExpect(in *Request, hasBody bool) error {
	expect := in.Header.Values("Expect")
	if len(expect) == 0 {
		return nil
	}
	later := in.ProtoMajor > 1 || in.ProtoMinor >= 1
	if len(expect) != 1 || !strings.EqualFold(expect[0], "100-continue") || !later || !hasBody {
		return ErrExpect
	}
	return nil
}
