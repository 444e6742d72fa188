package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"

	"github.com/scopegate/scopegate/gateway/gate"
)

// http1 stands between net/http and an HTTP/1 connection, and sees what
// net/http refuses there before a handler runs.
type http1 struct{ *client }

// http1TLS is the same over TLS, which net/http knows by this method.
type http1TLS struct{ http1 }

func (c http1TLS) ConnectionState() tls.ConnectionState { return c.TLS().ConnectionState() }

// Read notes a time limit that ran out, since net/http says nothing when it
// gives up on a slow head, and that something came.
func (c http1) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.idle.Lock()
		c.arrived = true
		c.idle.Unlock()
	}
	c.timedOut.Store(err != nil && errors.Is(err, os.ErrDeadlineExceeded))
	return n, err
}

// Write notes the status of an answer that no handler gave, and corrects the
// one to a head that came too slowly, for which net/http finds a 400.
func (c http1) Write(p []byte) (int, error) {
	if c.begun.Load() <= c.handled.Load() {
		return c.Conn.Write(p)
	}
	status := statusOf(p)
	if status == http.StatusBadRequest && c.timedOut.Load() {
		c.status.Store(http.StatusRequestTimeout)
		_, err := c.Conn.Write([]byte(tooSlow))
		return len(p), err
	}
	c.status.Store(int32(status))
	return c.Conn.Write(p)
}

// tooSlow is the refusal table's request_timeout, without a request id since
// there was no request.
const tooSlow = "HTTP/1.1 408 Request Timeout\r\n" +
	"Cache-Control: no-store\r\nConnection: close\r\nContent-Type: application/json\r\n" +
	"Content-Length: 28\r\n\r\n" + `{"detail":"Request Timeout"}`

// statusOf reads the status out of "HTTP/1.x nnn"; 0 if p is something else.
func statusOf(p []byte) int {
	const before = "HTTP/1.1 "
	if len(p) < len(before)+3 || string(p[:7]) != before[:7] {
		return 0
	}
	status := 0
	for _, d := range p[len(before) : len(before)+3] {
		if d < '0' || d > '9' {
			return 0
		}
		status = status*10 + int(d-'0')
	}
	return status
}

// recordUnread records a request that never became one: what net/http refused
// before the handler ran can only be counted.
func (p *Proxy) recordUnread(c *client) {
	refusal := &gate.Refusal{Reason: gate.ReasonMalformed, Status: int(c.status.Load()), Err: errors.New("refused while it was read")}
	switch {
	case refusal.Status == http.StatusRequestHeaderFieldsTooLarge:
		refusal.Reason = gate.ReasonHeadTooLarge
	case refusal.Status == http.StatusRequestTimeout, refusal.Status == 0 && c.timedOut.Load():
		refusal.Reason = gate.ReasonRequestTimeout
	case refusal.Status == 0:
		refusal.Reason = gate.ReasonClientClosed
	}
	var x gate.Exchange
	p.gate.Begin(&x, &gate.Request{Header: header(nil), Peer: c.Peer()})
	answer := x.Refuse(context.Background(), refusal)
	x.End(gate.Outcome{Status: answer.Status})
}
