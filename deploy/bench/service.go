package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"golang.org/x/net/http2"
)

// answerAll is the service behind the proxies. It prints its address and answers until its
// parent closes stdin or dies. HTTP/1.1 with a body of n bytes is answered with n bytes, and
// without one with a short JSON text; every HTTP/2 stream is a gRPC call.
func answerAll(stdin io.Reader, stdout io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, listener.Addr())
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, stdin)
		close(ended)
		listener.Close()
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			select {
			case <-ended:
				return nil
			default:
				return err
			}
		}
		go answer(conn) // ends with its connection, at the latest with the process
	}
}

var (
	shortAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"message\":\"ok\"}")
	plenty      = make([]byte, 1<<20)
)

func answer(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	if start, _ := in.Peek(3); string(start) == http2.ClientPreface[:3] {
		answerCalls(conn, in)
		return
	}
	for {
		h, err := readHead(in)
		if err != nil {
			return
		}
		if h.length == 0 {
			if _, err := conn.Write(shortAnswer); err != nil {
				return
			}
			continue
		}
		if h.length > len(plenty) {
			return
		}
		if _, err := in.Discard(h.length); err != nil {
			return
		}
		head := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", h.length)
		if _, err := (&net.Buffers{head, plenty[:h.length]}).WriteTo(conn); err != nil {
			return
		}
	}
}

// answerCalls answers gRPC calls. It reads no head: they are all the same call, which also
// leaves the decoder's table out of it.
func answerCalls(conn net.Conn, in *bufio.Reader) {
	if _, err := in.Discard(len(http2.ClientPreface)); err != nil {
		return
	}
	f := newFrames(conn, in)
	f.open(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 250})
	for {
		frame, err := f.next()
		if err != nil {
			return
		}
		if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
			f.fields(":status", "200", "content-type", "application/grpc")
			f.head(data.StreamID, false)
			f.WriteData(data.StreamID, false, grpcMessage)
			f.fields("grpc-status", "0", "grpc-message", "")
			f.head(data.StreamID, true)
		}
	}
}

// head is what both ends of the benchmark need to know of a message: it is their own
// traffic, and they are no model of how to read HTTP from strangers.
type head struct {
	status int // of a response
	length int // Content-Length; 0 if there is none
	last   bool
}

var errChunked = errors.New("a chunked body, which nobody here sends")

// readHead reads up to the empty line.
func readHead(in *bufio.Reader) (head, error) {
	var h head
	line, err := in.ReadSlice('\n')
	if err != nil {
		return h, err
	}
	if bytes.HasPrefix(line, []byte("HTTP/1.1 ")) && len(line) >= 12 {
		h.status, _ = strconv.Atoi(string(line[9:12]))
	}
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return h, err
		}
		if len(line) <= 2 {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case fold(name, "content-length"):
			if h.length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return h, err
			}
		case fold(name, "transfer-encoding"):
			return h, errChunked
		case fold(name, "connection"):
			h.last = fold(bytes.TrimSpace(value), "close")
		}
	}
}

// fold compares without regard to case; lower is in lower case. Nearly every name differs in
// length, which makes it cheap.
func fold(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}
