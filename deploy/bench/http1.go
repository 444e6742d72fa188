package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
)

// hostName is the host that every request asks for.
const hostName = "bench.example"

// http1 is the load generator's end of an HTTP/1.1 connection.
type http1 struct {
	job  *job
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func newHTTP1(j *job, conn net.Conn) *http1 {
	return &http1{job: j, conn: conn, in: bufio.NewReaderSize(conn, max(4<<10, min(j.Body, 64<<10)))}
}

var payload = make([]byte, 1<<20)

func (h *http1) send(_ int, token string, path int) error {
	h.write(token, path)
	if body := h.job.Body; body > 0 {
		_, err := (&net.Buffers{h.out, payload[:body]}).WriteTo(h.conn)
		return err
	}
	_, err := h.conn.Write(h.out)
	return err
}

// write makes the head of a request.
func (h *http1) write(token string, path int) {
	b := h.out[:0]
	if h.job.Body > 0 {
		b = append(b, "POST "...)
	} else {
		b = append(b, "GET "...)
	}
	b = appendTarget(b, path)
	b = append(b, " HTTP/1.1\r\nHost: "+hostName+"\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n"...)
	if token != "" {
		b = append(append(append(b, "Authorization: Bearer "...), token...), "\r\n"...)
	}
	if h.job.Body > 0 {
		b = append(b, "Content-Type: application/octet-stream\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(h.job.Body), 10)
		b = append(b, "\r\n"...)
	}
	h.out = append(b, "\r\n"...)
}

// appendTarget appends the path of the policy's route of that number.
func appendTarget(b []byte, path int) []byte {
	return append(strconv.AppendInt(append(b, "/r/"...), int64(path), 10), "/items/7"...)
}

func (h *http1) receive() (slot int, last bool, err error) {
	got, err := readHead(h.in)
	if err != nil {
		return 0, false, fmt.Errorf("read the answer: %w", err)
	}
	if _, err := h.in.Discard(got.length); err != nil {
		return 0, false, fmt.Errorf("read the answer's body: %w", err)
	}
	if got.status != h.job.Status || h.job.Body > 0 && got.length != h.job.Body {
		return 0, false, fmt.Errorf("status %d with %d bytes, want %d", got.status, got.length, h.job.Status)
	}
	return 0, got.last, nil
}
