package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const grpcPath = "/bench.Service/Unary"

// grpcMessage is the message of every gRPC call and of its answer: not compressed, four
// bytes of length, and 100 bytes that mean nothing.
var grpcMessage = append([]byte{0, 0, 0, 0, 100}, make([]byte, 100)...)

// streams is the load generator's end of an HTTP/2 connection: one stream under way for
// each slot.
type streams struct {
	*frames
	job  *job
	dec  *hpack.Decoder
	last uint32    // stream that was opened
	ids  []uint32  // streams, by slot
	got  []outcome // what came on them so far
	at   int       // slot whose head is being decoded

	// The strings of the last request, which are most often those of the next.
	token, bearer string
	path          int
	target        string
}

// outcome is what the load generator looks at.
type outcome struct {
	status, length int
	grpc           string // grpc-status
}

func newStreams(j *job, conn net.Conn) (*streams, error) {
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return nil, err
	}
	s := &streams{
		frames: newFrames(conn, bufio.NewReaderSize(conn, 16<<10)), job: j,
		ids: make([]uint32, j.Streams), got: make([]outcome, j.Streams), path: -1,
	}
	s.dec = hpack.NewDecoder(4096, s.field)
	s.open(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	return s, nil
}

// send writes a request. A token that was sent before takes one byte, as it does for every
// client whose encoder keeps a table.
func (s *streams) send(slot int, token string, path int) error {
	if s.last++; s.last > 1 {
		s.last++ // a client's streams are odd
	}
	s.ids[slot], s.got[slot] = s.last, outcome{}
	s.remember(token, path)
	scheme := "http"
	if s.job.Authority != "" {
		scheme = "https"
	}
	if s.job.GRPC {
		s.fields(":method", "POST", ":scheme", scheme, ":authority", hostName, ":path", grpcPath,
			"content-type", "application/grpc", "te", "trailers", "user-agent", "bench/1")
	} else {
		s.fields(":method", "GET", ":scheme", scheme, ":authority", hostName, ":path", s.target,
			"user-agent", "bench/1", "accept", "application/json")
	}
	if token != "" {
		s.fields("authorization", s.bearer)
	}
	if err := s.head(s.last, !s.job.GRPC); err != nil || !s.job.GRPC {
		return err
	}
	return s.WriteData(s.last, true, grpcMessage)
}

func (s *streams) remember(token string, path int) {
	if s.token != token {
		s.token, s.bearer = token, "Bearer "+token
	}
	if s.path != path {
		s.path, s.target = path, string(appendTarget(nil, path))
	}
}

func (s *streams) receive() (slot int, last bool, err error) {
	for {
		frame, err := s.next()
		if err != nil {
			return 0, false, fmt.Errorf("read the answer: %w", err)
		}
		s.at = slices.Index(s.ids, frame.Header().StreamID)
		if s.at < 0 {
			return 0, false, fmt.Errorf("a frame of stream %d, on which nothing is under way", frame.Header().StreamID)
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			if _, err := s.dec.Write(frame.HeaderBlockFragment()); err != nil {
				return 0, false, err
			}
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			s.got[s.at].length += len(frame.Data())
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			return 0, false, fmt.Errorf("the stream is reset: %s", frame.ErrCode)
		}
		if ended {
			s.ids[s.at] = 0
			return s.at, false, s.judge(s.got[s.at])
		}
	}
}

// field takes the fields of a head or of trailers, one by one.
func (s *streams) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		s.got[s.at].status, _ = strconv.Atoi(f.Value)
	case "grpc-status":
		s.got[s.at].grpc = f.Value
	}
}

func (s *streams) judge(got outcome) error {
	if got.status != s.job.Status {
		return fmt.Errorf("status %d with %d bytes, want %d", got.status, got.length, s.job.Status)
	}
	if s.job.GRPC && (got.grpc != "0" || got.length != len(grpcMessage)) {
		return fmt.Errorf("gRPC status %q with %d bytes, want 0 with %d", got.grpc, got.length, len(grpcMessage))
	}
	return nil
}
