package differential

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// service is the service behind a gateway. It reads strictly, keeps what it
// read, and answers each request with its number.
type service struct {
	path string

	mu       sync.Mutex // guards what follows
	ended    sync.Cond  // on mu: a connection has ended
	open     int
	barrier  bool
	requests []*message // since the last take; at the end one that was cut off
	faults   []error
	script   func(net.Conn) bool // answers the next request, and returns whether the connection goes on; nil: as all others
}

func newService(t testing.TB) *service {
	s := &service{path: filepath.Join(t.TempDir(), "service")}
	s.ended.L = &s.mu
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.count(+1)
			go func() {
				defer s.count(-1)
				defer c.Close()
				s.serve(c)
			}()
		}
	}()
	return s
}

func (s *service) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += n
	s.ended.Broadcast()
}

func (s *service) serve(c net.Conn) {
	r := bufio.NewReader(c)
	if first, err := r.Peek(1); err == nil && first[0] == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.barrier = true
		return
	}
	for {
		m, err := readRequest(r)
		if errors.Is(err, syscall.ECONNRESET) { // the lane has closed without reading all of an answer
			err = errCut
		}
		if err == io.EOF || err == errCut && len(m.start) == 0 {
			return
		}
		number, script := s.keep(m, err)
		if err != nil {
			return
		}
		if script != nil {
			if !script(c) {
				return
			}
			continue
		}
		body := strconv.Itoa(number)
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
		if m.start[0] == "HEAD" {
			body = ""
		}
		io.WriteString(c, head+body)
	}
}

// keep keeps a request, and returns its number.
func (s *service) keep(m *message, err error) (number int, script func(net.Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, errCut) {
		s.faults = append(s.faults, fmt.Errorf("%w in %+v", err, m))
		return 0, nil
	}
	s.requests = append(s.requests, m)
	script, s.script = s.script, nil
	return len(s.requests) - 1, script
}

// take returns what came since it was last called, and fails on what is no
// request.
func (s *service) take(t *testing.T) []*message {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fault := range s.faults {
		t.Errorf("the service received what is no request: %v", fault)
	}
	taken := s.requests
	s.requests, s.faults = nil, nil
	return taken
}

// settle waits until every connection that was ever made to the service has
// ended, so that everything that was sent to it has been read. Connections are
// accepted in their order: the one that settle makes is the last.
func (s *service) settle(t *testing.T) {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte{0})
	s.mu.Lock()
	defer s.mu.Unlock()
	late := false
	defer time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.ended.Broadcast()
	}).Stop()
	for !late && (!s.barrier || s.open > 0) {
		s.ended.Wait()
	}
	if late {
		t.Fatalf("the lane holds %d connections to the service", s.open)
	}
	s.barrier = false
}
