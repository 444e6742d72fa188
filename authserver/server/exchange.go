package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
)

// exchange is what one request leaves behind: one log line and one set of
// metric observations. It never holds a token, a password or a body.
type exchange struct {
	server  *Server
	id      string
	begin   time.Time
	route   string // template, never the path
	reason  string
	subject string
	client  string
	cause   error // for the log only
	in      *counted
}

const exchangeKey = "exchange"

func exchangeOf(c echo.Context) *exchange {
	return c.Get(exchangeKey).(*exchange)
}

// counted counts the bytes that a handler read of a body.
type counted struct {
	io.ReadCloser
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

// record wraps every request, matched or not: it writes the head that all
// answers share, turns a panic into a 500, and records once.
func (s *Server) record(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		x := &exchange{server: s, id: account.NewID(), begin: time.Now(), route: s.template(c), reason: "ok"}
		x.in = &counted{ReadCloser: r.Body}
		r.Body = x.in
		c.Set(exchangeKey, x)
		s.dress(c, x)
		s.warnUntrusted(c)
		defer x.finish(c)
		if err := safely(next, c); err != nil {
			s.handleError(err, c)
		}
		return nil
	}
}

// dress sets what every answer says. FastAPI says none of it, and no client of
// the demo minds.
func (s *Server) dress(c echo.Context, x *exchange) {
	header := c.Response().Header()
	header.Set("X-Request-Id", x.id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if s.draining.Load() {
		header.Set("Connection", "close")
	}
}

// safely runs a handler and turns a panic into an error, except the one that
// net/http uses to break a connection off.
func safely(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return next(c)
}

// refused notes why a request got no success. What a client did wrong is no
// cause worth telling; what we did wrong is.
func (x *exchange) refused(a answer, err error) {
	x.reason = a.reason
	if a.unknown || x.cause == nil && a.status == http.StatusServiceUnavailable {
		x.cause = err
	}
}

func (x *exchange) writeFailed(err error) {
	if x.cause == nil {
		x.cause = fmt.Errorf("write answer: %w", err)
	}
}

// finish records the request in the metrics and in the log.
func (x *exchange) finish(c echo.Context) {
	r, status := c.Request(), c.Response().Status
	method := methodLabel(r.Method)
	x.server.metrics.requests.WithLabelValues(x.route, method, fmt.Sprint(status)).Inc()
	attrs := []slog.Attr{
		slog.String("request_id", x.id),
		slog.String("peer", c.RealIP()),
		slog.String("host", clip(r.Host)),
		slog.String("method", method),
		slog.String("path", clip(r.URL.Path)),
		slog.String("route", x.route),
		slog.Int("status", status),
		slog.String("reason", x.reason),
		slog.Float64("duration_ms", float64(time.Since(x.begin).Microseconds())/1000),
		slog.Int64("bytes_in", x.in.n),
		slog.Int64("bytes_out", c.Response().Size),
	}
	if x.subject != "" {
		attrs = append(attrs, slog.String("subject", x.subject))
	}
	if x.client != "" {
		attrs = append(attrs, slog.String("client", x.client))
	}
	level := slog.LevelInfo
	if x.cause != nil {
		attrs = append(attrs, slog.String("cause", clip(x.cause.Error())))
	}
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	x.server.log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}

// warnUntrusted tells an operator once that all clients share one budget,
// because a proxy stands before us that the configuration does not name.
func (s *Server) warnUntrusted(c echo.Context) {
	r := c.Request()
	if len(s.cfg.TrustedProxies) > 0 || r.Header.Get("X-Forwarded-For") == "" {
		return
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsPrivate() && !from.Addr().IsLoopback() {
		return
	}
	s.warnOnce.Do(func() {
		s.log.Warn("a proxy forwards requests, but trusted_proxies is empty: all its clients share one login budget",
			"proxy", from.Addr().String())
	})
}

// methodLabel keeps strangers from making metric labels.
func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "other"
}

// clip keeps what a client sent from filling the log.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// writeJSON writes a value as FastAPI does: no HTML escapes, no newline.
func writeJSON(c echo.Context, status int, value any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return c.Blob(status, "application/json", bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

// noStore is RFC 6749 section 5.1 for answers that hold a token; HTTP/1.0
// caches know Pragma only.
func noStore(c echo.Context) {
	c.Response().Header().Set("Cache-Control", "no-store")
	c.Response().Header().Set("Pragma", "no-cache")
}

// writePlain writes an answer of the admin port, which is outside of echo.
func writePlain(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		body = []byte(`{"detail":"Internal Server Error"}`)
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a probe that went away needs no answer
}
