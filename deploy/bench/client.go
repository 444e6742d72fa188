package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"time"
)

// patience is how long a client goes on with one connection before it calls it broken.
const patience = 90 * time.Second

// client is one keep-alive connection of the load generator.
type client struct {
	job  *job
	conn net.Conn
	in   *bufio.Reader
	out  []byte

	took           []time.Duration
	wrong, redials int
	fault          error // the first wrong answer
}

// dial opens n connections.
func (j *job) dial(n int) ([]*client, error) {
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = &client{job: j, in: bufio.NewReaderSize(nil, 4<<10)}
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
	conn, err := net.DialTimeout("tcp", c.job.Address, 5*time.Second)
	if err != nil {
		return err
	}
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn = conn
	c.in.Reset(conn)
	return conn.SetDeadline(time.Now().Add(patience))
}

// reset forgets what was counted.
func (c *client) reset() {
	c.took, c.wrong, c.redials, c.fault = c.took[:0], 0, 0, nil
	c.conn.SetDeadline(time.Now().Add(patience))
}

// closedLoop sends the next request when the last one was answered.
func (c *client) closedLoop(from *source, until time.Time) {
	for {
		start := time.Now()
		if start.After(until) {
			return
		}
		token, path, more := from.take()
		if !more || !c.record(start, token, path) {
			return
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
		if !more || !c.record(start, token, path) {
			return
		}
	}
}

// record makes one exchange and counts it, and tells whether the connection can go on.
func (c *client) record(start time.Time, token string, path int) bool {
	last, err := c.exchange(token, path)
	if err != nil {
		c.wrong++
		if c.fault == nil {
			c.fault = err
		}
		return false
	}
	c.took = append(c.took, time.Since(start))
	if !last {
		return true
	}
	c.redials++
	if err := c.connect(); err != nil {
		c.wrong++
		c.fault = err
		return false
	}
	return true
}

var payload = make([]byte, 1<<20)

// exchange sends one request and reads its answer. last says that the proxy closes the
// connection.
func (c *client) exchange(token string, path int) (last bool, err error) {
	c.write(token, path)
	if body := c.job.Body; body > 0 {
		_, err = (&net.Buffers{c.out, payload[:body]}).WriteTo(c.conn)
	} else {
		_, err = c.conn.Write(c.out)
	}
	if err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	h, err := readHead(c.in)
	if err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if _, err := c.in.Discard(h.length); err != nil {
		return false, fmt.Errorf("read the answer's body: %w", err)
	}
	if h.status != c.job.Status || c.job.Body > 0 && h.length != c.job.Body {
		return false, fmt.Errorf("status %d with %d bytes, want %d", h.status, h.length, c.job.Status)
	}
	return h.last, nil
}

// write makes the head of a request.
func (c *client) write(token string, path int) {
	b := c.out[:0]
	if c.job.Body > 0 {
		b = append(b, "POST /r/"...)
	} else {
		b = append(b, "GET /r/"...)
	}
	b = strconv.AppendInt(b, int64(path), 10)
	b = append(b, "/items/7 HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n"...)
	if token != "" {
		b = append(append(append(b, "Authorization: Bearer "...), token...), "\r\n"...)
	}
	if c.job.Body > 0 {
		b = append(b, "Content-Type: application/octet-stream\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(c.job.Body), 10)
		b = append(b, "\r\n"...)
	}
	c.out = append(b, "\r\n"...)
}
