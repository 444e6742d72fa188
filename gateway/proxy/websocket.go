package proxy

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
)

// protocolField is where net/http's HTTP/2 server shows :protocol.
const protocolField = ":protocol"

// asksForSocket reports a request that wants to become a WebSocket: a GET with
// Upgrade in HTTP/1.1 (RFC 6455), an extended CONNECT in HTTP/2 (RFC 8441).
// HTTP/1.0 has no Upgrade.
func asksForSocket(r *http.Request) bool {
	if r.ProtoMajor == 2 {
		p := r.Header[protocolField]
		return r.Method == http.MethodConnect && len(p) == 1 && strings.EqualFold(p[0], "websocket")
	}
	return r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) &&
		hasToken(r.Header["Connection"], "upgrade") &&
		hasToken(r.Header["Upgrade"], "websocket")
}

// checkHandshake is strict, since a service that is not would take the rest of
// the connection for something else.
func checkHandshake(r *http.Request) error {
	if version := r.Header["Sec-Websocket-Version"]; len(version) != 1 || version[0] != "13" {
		return errUpgrade
	}
	if r.ProtoMajor == 2 {
		return nil // no key there, and the stream itself is the body
	}
	key := r.Header["Sec-Websocket-Key"]
	if len(key) != 1 || r.ContentLength != 0 {
		return errUpgrade
	}
	if nonce, err := base64.StdEncoding.Strict().DecodeString(key[0]); err != nil || len(nonce) != 16 {
		return errUpgrade
	}
	return nil
}

// newKey makes the key of a handshake that the gateway begins for an HTTP/2
// client.
func newKey() string {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// acceptOf is the answer to a key (RFC 6455 section 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// accepts reports whether a 101 is the one that was asked for with key.
func accepts(res *http.Response, key string) bool {
	upgrade, accept := res.Header["Upgrade"], res.Header["Sec-Websocket-Accept"]
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") &&
		hasToken(res.Header["Connection"], "upgrade") &&
		len(accept) == 1 && accept[0] == acceptOf(key)
}
