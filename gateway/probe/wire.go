package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// mostBody bounds what is read of an answer's body, in bytes.
const mostBody = 1 << 20

// Service is where the service listens, past the gateway.
type Service struct {
	network, address string
	host             string
	tls              *tls.Config
	fields           []string // further field lines of every request
	timeout          time.Duration
}

// NewService reads where a service listens: `http://host:port`, `https://…` or
// `unix:/path`, as `upstream:` in gateway.yaml names it. fields are lines such as
// `X-Auth-Subject: ann` that every request bears; trust may be nil for the
// system's authorities.
func NewService(where string, fields []string, trust *tls.Config, timeout time.Duration) (*Service, error) {
	s := &Service{fields: fields, timeout: timeout}
	for _, f := range fields {
		name, _, ok := strings.Cut(f, ":")
		if !ok || strings.TrimSpace(name) != name || name == "" || strings.ContainsAny(f, "\r\n\x00") {
			return nil, fmt.Errorf("the header %q is no `Name: value`", f)
		}
	}
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		s.network, s.address, s.host = "unix", path, "localhost"
		return s, nil
	}
	u, err := url.Parse(where)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("%s is neither http://host:port, https://host:port nor unix:/path", where)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("the URL names more than a scheme, a host and a port: the paths are the policy's")
	}
	port := u.Port()
	if u.Scheme == "https" {
		if s.tls = trust.Clone(); s.tls == nil {
			s.tls = &tls.Config{}
		}
		s.tls.ServerName = u.Hostname()
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	s.network, s.address, s.host = "tcp", net.JoinHostPort(u.Hostname(), port), u.Host
	return s, nil
}

// question is one request.
type question struct {
	method, target string
	fields         []string
	body           string
}

// answer is what came back. status is 0 when the service closed without one.
type answer struct {
	status         int
	kind, location string
	body           string
}

// ask sends one request over a connection of its own, byte for byte: a client
// library would tidy up what this is about.
func (s *Service) ask(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, s.network, s.address)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if s.tls != nil {
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return answer{}, err
		}
		conn = secure
	}
	if _, err := io.WriteString(conn, s.text(q)); err != nil {
		return answer{}, nil // it would not even read this one
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: q.method})
	if err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return answer{}, fmt.Errorf("no answer to %s %q: %w", q.method, q.target, err)
		}
		return answer{}, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, mostBody)) // a body that is cut off is still one
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return answer{res.StatusCode, strings.ToLower(strings.TrimSpace(kind)), res.Header.Get("Location"), string(body)}, nil
}

func (s *Service) text(q question) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: scopegate-probe\r\nAccept: */*\r\n", q.method, q.target, s.host)
	for _, f := range append(s.fields, q.fields...) {
		b.WriteString(f + "\r\n")
	}
	if q.method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(q.body))
	}
	b.WriteString("Connection: close\r\n\r\n" + q.body)
	return b.String()
}
