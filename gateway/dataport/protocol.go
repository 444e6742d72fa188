package dataport

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"time"
)

// preface is what an HTTP/2 connection begins with (RFC 9113 section 3.4). In
// HTTP/1 it is a request that no service answers: the method PRI is reserved.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Protocols are the names under which ALPN finds what is spoken here (RFC 7301 section 6), the
// best first. A client that offers others only is refused in the handshake; HTTP/1.0 has a name
// of its own, which curl offers alone with --http1.0.
func Protocols() []string { return []string{"h2", "http/1.1", "http/1.0"} }

// serve finds the lane for c and gives it over.
func (p *Port) serve(c *Conn, t *tls.Config) {
	p.serving.Add(1)
	defer p.serving.Add(-1)
	defer p.survive(c)
	c.SetDeadline(time.Now().Add(p.cfg.HeadTimeout))
	family, err := p.recognize(c, t)
	if err != nil {
		c.Close() // it said nothing that could be answered
		return
	}
	c.SetWriteDeadline(time.Time{})
	c.family.Store(family)
	p.laneOf(family).ServeConn(c)
}

func (p *Port) laneOf(family int32) Lane {
	if family == http2 {
		return p.http2
	}
	return p.http1
}

// recognize finds out what the client speaks: by ALPN over TLS, where HTTP/2
// without it is not spoken (RFC 9113 section 3.2), and else by its first bytes.
func (p *Port) recognize(c *Conn, t *tls.Config) (family int32, err error) {
	if t == nil {
		return c.sniff()
	}
	secure := tls.Server(below{c.socket, c}, t)
	if err := secure.Handshake(); err != nil {
		p.notTLS(c, err)
		return undecided, err
	}
	c.Conn = secure
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		return http2, nil
	}
	return http1, nil
}

// sniff reads until the client has sent the preface, or something else. What
// breaks off in between is HTTP/1's to complain of, what is empty nobody's.
func (c *Conn) sniff() (family int32, err error) {
	for int(c.held) < len(preface) {
		rest := c.early[c.held:]
		n, peeked, err := peek(c.socket, rest)
		if peeked && string(rest[:n]) != preface[c.held:int(c.held)+n] {
			return http1, nil
		}
		if err == nil {
			n, err = c.socket.Read(rest[:cmp.Or(n, len(rest))])
			c.held += uint8(n)
		}
		switch {
		case string(c.early[:c.held]) != preface[:c.held]:
			return http1, nil
		case err != nil && c.held == 0:
			return undecided, err
		case err != nil:
			return http1, nil
		}
	}
	return http2, nil
}

// plainHTTP is what a client is told that does not speak TLS to a port that does.
const plainHTTP = "HTTP/1.1 400 Bad Request\r\n" +
	"Cache-Control: no-store\r\nConnection: close\r\nContent-Type: application/json\r\n" +
	"Content-Length: 24\r\n\r\n" + `{"detail":"Bad Request"}`

// notTLS notes a handshake that failed, and answers a client that tried HTTP.
func (p *Port) notTLS(c *Conn, err error) {
	reason := err.Error()
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && startsRequest(record.RecordHeader[:]) {
		reason = "the client speaks HTTP without TLS"
		io.WriteString(c.socket, plainHTTP) // what can still be said
	}
	p.log.Printf("TLS handshake with %s: %s", c.socket.RemoteAddr(), reason)
}

// startsRequest tells the beginning of a request line from a broken record.
func startsRequest(head []byte) bool {
	switch string(head) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "PRI *":
		return true
	}
	return false
}
