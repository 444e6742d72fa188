package proxy

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/scopegate/scopegate/gateway/gate"
)

// protocolField is where net/http's HTTP/2 server shows :protocol.
const protocolField = ":protocol"

// asksForSocket reports a request that wants to become a WebSocket: a GET with
// Upgrade in HTTP/1.1 (RFC 6455), an extended CONNECT in HTTP/2 (RFC 8441).
func (e *exchange) asksForSocket() bool {
	if e.r.ProtoMajor == 2 {
		p := e.r.Header[protocolField]
		return e.r.Method == http.MethodConnect && len(p) == 1 && strings.EqualFold(p[0], "websocket")
	}
	return gate.AsksForSocket(&e.in)
}

// newKey makes the key of a handshake that the gateway begins for an HTTP/2
// client.
func newKey() string {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(nonce[:])
}
