package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"
)

// patience is how long a client goes on with one connection before it calls it broken.
const patience = 90 * time.Second

// client is one keep-alive connection of the load generator.
type client struct {
	job     *job
	conn    net.Conn
	wire    wire
	started []time.Time // by slot: when its request was sent, or was due

	took           []time.Duration
	wrong, redials int
	fault          error // the first wrong answer
}

// wire is how a connection is spoken on: HTTP/1.1 has one request under way, in slot 0, and
// HTTP/2 one in each slot.
type wire interface {
	// send begins a slot's request. It may stay in a buffer until receive.
	send(slot int, token string, path int) error
	// receive waits for an answer that is as it should be, and tells whose it is. last says
	// that the proxy closes the connection, which only HTTP/1.1 does.
	receive() (slot int, last bool, err error)
}

// dial opens n connections.
func (j *job) dial(n int) ([]*client, error) {
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = &client{job: j, started: make([]time.Time, max(j.Streams, 1))}
		if err := clients[i].connect(); err != nil {
			hangUp(clients[:i])
			return nil, err
		}
	}
	return clients, nil
}

func hangUp(clients []*client) {
	for _, c := range clients {
		c.conn.Close()
	}
}

func (c *client) connect() error {
	conn, err := c.job.connection()
	if err != nil {
		return err
	}
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn = conn
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if c.job.Streams == 0 {
		c.wire = newHTTP1(c.job, conn)
		return nil
	}
	c.wire, err = newStreams(c.job, conn)
	return err
}

// connection opens a connection, over TLS if there is a certificate to expect.
func (j *job) connection() (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if j.Authority == "" {
		return dialer.Dial("tcp", j.Address)
	}
	text, err := os.ReadFile(j.Authority)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: hostName, NextProtos: []string{"h2"}}
	config.RootCAs.AppendCertsFromPEM(text)
	conn, err := tls.DialWithDialer(dialer, "tcp", j.Address, config)
	if err != nil {
		return nil, err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		conn.Close()
		return nil, fmt.Errorf("ALPN gives %q, want h2", got)
	}
	return conn, nil
}

// reset forgets what was counted.
func (c *client) reset() {
	c.took, c.wrong, c.redials, c.fault = c.took[:0], 0, 0, nil
	c.conn.SetDeadline(time.Now().Add(patience))
}

// closedLoop sends a slot's next request when its last one was answered.
func (c *client) closedLoop(from *source, until time.Time) {
	begin := func(slot int) bool {
		now := time.Now()
		if now.After(until) {
			return false
		}
		token, path, more := from.take()
		return more && c.send(slot, now, token, path)
	}
	underWay := 0
	for slot := range c.started {
		if begin(slot) {
			underWay++
		}
	}
	for ; underWay > 0; underWay-- {
		slot, going := c.receive()
		if !going {
			return
		}
		if begin(slot) {
			underWay++
		}
	}
}

// openLoop sends at fixed times, first, first+step and so on, whether or not the proxy is
// quick. A request that has to wait for the answer before it counts from when it was due,
// so that a slow answer is not hidden by the requests that it held up. One that the load
// generator itself is late with (its timers are coarse) counts from when it is sent.
func (c *client) openLoop(from *source, due time.Time, step time.Duration, until time.Time) {
	for ; due.Before(until); due = due.Add(step) {
		start := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			start = time.Now()
		}
		token, path, more := from.take()
		if !more || !c.exchange(start, token, path) {
			return
		}
	}
}

// exchange makes one exchange, with nothing else under way, counts it, and tells whether the
// connection can go on.
func (c *client) exchange(start time.Time, token string, path int) bool {
	if !c.send(0, start, token, path) {
		return false
	}
	_, going := c.receive()
	return going
}

// send begins a request that counts from start.
func (c *client) send(slot int, start time.Time, token string, path int) bool {
	c.started[slot] = start
	if err := c.wire.send(slot, token, path); err != nil {
		c.fail(fmt.Errorf("send: %w", err))
		return false
	}
	return true
}

// receive counts an answer, and tells whose it is and whether the connection can go on.
func (c *client) receive() (slot int, going bool) {
	slot, last, err := c.wire.receive()
	if err != nil {
		c.fail(err)
		return 0, false
	}
	c.took = append(c.took, time.Since(c.started[slot]))
	if !last {
		return slot, true
	}
	c.redials++
	if err := c.connect(); err != nil {
		c.fail(err)
		return 0, false
	}
	return slot, true
}

func (c *client) fail(err error) {
	c.wrong++
	if c.fault == nil {
		c.fault = err
	}
}
