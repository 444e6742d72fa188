package attacks

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// received is one request as the service got it, byte for byte.
type received struct {
	head   string // without the empty line
	body   []byte
	method string
	target string
	lines  []string // the field lines
}

// values returns the values of a field, by the name that it has when it is read without regard to
// case.
func (r *received) values(name string) (all []string) {
	for _, line := range r.lines {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			all = append(all, strings.TrimSpace(v))
		}
	}
	return all
}

func (r *received) host() string {
	if h := r.values("Host"); len(h) == 1 {
		return h[0]
	}
	return ""
}

// service is the service behind the gateway: plain TCP that writes down what comes. It splits the
// stream with the simplest of readers; what that cannot split is kept in strays.
type service struct {
	address string
	// answer, where set, gives the bytes of an answer and whether the connection is to end. They are
	// written in so many pieces.
	answer func(*received) (raw string, end bool)
	pieces int
	// late is written behind the next answer, a moment after it; later is over once all is written.
	late  string
	later sync.WaitGroup

	mu      sync.Mutex
	all     []*received
	strays  []string
	last    chan struct{}   // of the connection of the last request, closed when that ends
	keep    bool            // every byte of every connection from now on
	streams []*bytes.Buffer // of each connection
}

func newService(t *testing.T) *service {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{address: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.talk(c)
		}
	}()
	return s
}

func (s *service) talk(c net.Conn) {
	defer c.Close()
	ended := make(chan struct{})
	defer close(ended)
	from := s.tee(c)
	in := bufio.NewReaderSize(from, 64<<10)
	for {
		r, rest, err := readRequest(in)
		if err != nil {
			if rest != "" {
				s.mu.Lock()
				s.strays = append(s.strays, rest)
				s.mu.Unlock()
			}
			c.SetReadDeadline(time.Now().Add(quiet))
			_, _ = io.Copy(io.Discard, from) // for the sake of what is kept
			return
		}
		s.mu.Lock()
		s.all = append(s.all, r)
		s.last = ended
		answer, late, pieces := s.answer, s.late, s.pieces
		s.late = ""
		s.mu.Unlock()
		raw, end := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false
		if answer != nil {
			raw, end = answer(r)
		}
		s.later.Add(1)
		if err := write(c, cutUp(raw, pieces, uint64(len(raw)))); err != nil || end {
			s.later.Done()
			return
		}
		go func() {
			defer s.later.Done()
			if late != "" {
				<-time.After(20 * time.Millisecond)
				_, _ = io.WriteString(c, late)
			}
		}()
		if strings.HasPrefix(raw, "HTTP/1.1 101") { // what follows is no HTTP
			return
		}
	}
}

// tee is the connection, every byte of which is kept if that was asked for.
func (s *service) tee(c net.Conn) io.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.keep {
		return c
	}
	kept := &bytes.Buffer{}
	s.streams = append(s.streams, kept)
	return readerFunc(func(p []byte) (int, error) {
		n, err := c.Read(p)
		s.mu.Lock()
		defer s.mu.Unlock()
		kept.Write(p[:n])
		return n, err
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// keepStreams is called before the first connection; sent returns what has come since, connection
// by connection.
func (s *service) keepStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = true
}

func (s *service) sent() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.streams {
		all = append(all, b.String())
	}
	return all
}

// readRequest reads one request; rest is what was read of one that is none.
func readRequest(in *bufio.Reader) (r *received, rest string, err error) {
	var head bytes.Buffer
	for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
		b, err := in.ReadByte()
		if err != nil {
			return nil, head.String(), err
		}
		head.WriteByte(b)
	}
	r = &received{head: strings.TrimSuffix(head.String(), "\r\n\r\n")}
	lines := strings.Split(r.head, "\r\n")
	first := strings.Split(lines[0], " ")
	if len(first) != 3 {
		return nil, head.String(), io.ErrUnexpectedEOF
	}
	r.method, r.target, r.lines = first[0], first[1], lines[1:]
	if len(r.values("Transfer-Encoding")) > 0 {
		return r, "", r.readChunks(in)
	}
	if length := r.values("Content-Length"); len(length) > 0 {
		n, err := strconv.Atoi(length[0])
		if err != nil {
			return nil, head.String(), err
		}
		if len(r.values("X-Discard")) > 0 { // a body for the sake of its size
			_, err = io.CopyN(io.Discard, in, int64(n))
			return r, "", err
		}
		r.body = make([]byte, n)
		_, err = io.ReadFull(in, r.body)
		return r, "", err
	}
	return r, "", nil
}

func (r *received) readChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		if err != nil {
			return err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		r.body = append(r.body, chunk[:n]...)
	}
}

// take returns what came since the last call.
func (s *service) take() []*received {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// lastEnds returns what is closed when the connection of the last request ends.
func (s *service) lastEnds() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// stray returns what came and was no request.
func (s *service) stray() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strays
}

func (s *service) answers(f func(*received) (string, bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}
