package sidecar

import (
	"io"
	"log"
	"log/slog"
	"os"
	"time"
)

// isText says whether log lines are text: where the configuration or a terminal asks for it.
func isText(w io.Writer, format string) bool {
	return format == "text" || format == "auto" && terminal(w)
}

// newHandler writes lines other than those of the decision log.
func newHandler(w io.Writer, text bool, o *slog.HandlerOptions) slog.Handler {
	if text {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// httpServer is the limiter's key for what serverLog writes.
const httpServer = "http_server"

// serverLog is for http.Server's own complaints (broken handshakes, malformed heads): they
// are the clients' to cause, so they are limited like refusals.
func serverLog(l *slog.Logger, limit *limiter) *log.Logger {
	return log.New(serverLines{l, limit}, "", 0)
}

type serverLines struct {
	log   *slog.Logger
	limit *limiter
}

func (s serverLines) Write(line []byte) (int, error) {
	if n := s.limit.allow(httpServer, time.Now()); n > 0 {
		text := clip(string(line), maxLogged)
		for len(text) > 0 && text[len(text)-1] == '\n' {
			text = text[:len(text)-1]
		}
		s.log.Warn("http server", "error", text, "sampled", n)
	}
	return len(line), nil
}
