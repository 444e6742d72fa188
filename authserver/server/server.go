package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/store"
	"github.com/scopegate/scopegate/authserver/token"
)

const (
	databaseFile = "authserver.db"
	masterFile   = "master.key"
	openTimeout  = time.Minute
)

// Server is the auth server. Make it with New; it holds the store open until
// Serve returns or Close is called.
type Server struct {
	cfg      Config
	log      *slog.Logger
	store    *store.SQLite
	ring     *token.Ring
	accounts *account.Service
	metrics  *metrics
	handler  http.Handler

	templates    map[string]string // registered path to route template
	allow        map[string]string // registered path to the methods that it takes
	metadataBody []byte
	metadataTag  string

	warnOnce    sync.Once
	draining    atomic.Bool
	connections atomic.Int64 // open on the public port
	closing     sync.Once
	closeErr    error
}

// New opens the store, the keys and the rules, and wires the handlers. It
// listens on nothing. Its errors are all of the kind that a person has to
// look at: a *ConfigError, a store or a master key that does not open.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	db, err := store.OpenSQLite(ctx, DatabasePath(cfg))
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, store: db, metrics: newMetrics()}
	if err := s.wire(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// DatabasePath is where the database of a configuration lies.
func DatabasePath(cfg Config) string { return filepath.Join(cfg.Data, databaseFile) }

func (s *Server) wire(ctx context.Context) (err error) {
	if s.ring, err = openRing(ctx, s.cfg, s.store); err != nil {
		return err
	}
	s.accounts, err = account.New(timedStore{s.store, s.metrics.store}, account.Config{
		Signup:   s.cfg.Signup,
		Claim:    s.cfg.Claim,
		Reserved: s.cfg.Reserved,
		Password: s.cfg.Password,
		HashWait: func(queue string, wait time.Duration) {
			s.metrics.hashWait.WithLabelValues(queue).Observe(wait.Seconds())
		},
		Log: s.log,
	})
	if err != nil {
		return &ConfigError{[]string{err.Error()}}
	}
	s.metrics.watch(s.accounts, s.ring)
	s.metadataBody, s.metadataTag = metadataDocument(s.cfg.Issuer)
	s.handler = s.routes()
	return nil
}

// OpenRing opens the key ring of a configuration over an open store, as New
// does. It is for command line tools.
func OpenRing(ctx context.Context, cfg Config, db *store.SQLite) (*token.Ring, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return openRing(ctx, cfg, db)
}

func openRing(ctx context.Context, cfg Config, db *store.SQLite) (*token.Ring, error) {
	master, err := openMaster(ctx, cfg, db)
	if err != nil {
		return nil, err
	}
	tt := token.DefaultTimetable()
	if cfg.Timetable != nil {
		tt = *cfg.Timetable
	}
	return token.Open(ctx, keyStore{db}, master, tt, time.Now())
}

// openMaster finds the master key: the one that was given, the one in the data
// folder, or a new one. A new one is made only for a store in which nothing
// was ever kept: beside an old store it would open nothing, and would hide
// that the right one is lost.
func openMaster(ctx context.Context, cfg Config, db *store.SQLite) (*token.Master, error) {
	if cfg.Master != nil {
		return cfg.Master, nil
	}
	path := filepath.Join(cfg.Data, masterFile)
	master, err := token.ReadMasterFile(path, true)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	empty, err := db.Empty(ctx)
	if err != nil {
		return nil, err
	}
	if !empty {
		return nil, fmt.Errorf("%s is missing and no master key was given, but the store in %s is in use; "+
			"restore the key, or set %s_FILE", path, cfg.Data, Variable("master_key"))
	}
	master, err = token.CreateMasterFile(path)
	if errors.Is(err, fs.ErrExist) { // another process was first
		return token.ReadMasterFile(path, true)
	}
	if err != nil {
		return nil, err
	}
	cfg.Log.Warn("made a master key beside the database: it protects copies of the database that leave this folder, "+
		"and nothing against whoever can read the folder; keep it elsewhere with "+Variable("master_key")+"_FILE",
		"file", path)
	return master, nil
}

// DataHandler is the public port as a handler, for tests without a listener.
func (s *Server) DataHandler() http.Handler { return s.handler }

// Issuer is the issuer that tokens name.
func (s *Server) Issuer() string { return s.cfg.Issuer }

// Close lets go of the store. Serve calls it; calling it again does nothing.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closeErr = s.store.Close() })
	return s.closeErr
}

// routes is the whole public surface. A path is written as the demo writes it
// and served with and without its last slash: a redirect would have to be
// built from Host, and some clients follow none.
func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.handleError
	e.IPExtractor = s.extractor()
	e.Use(s.record)
	s.templates, s.allow = map[string]string{}, map[string]string{}

	s.add(e, http.MethodPost, "/user/signup", s.signup)
	s.add(e, http.MethodPost, "/user/login", s.login)
	s.add(e, http.MethodGet, "/user/me", s.me)
	s.add(e, http.MethodGet, "/role/", s.listRoles)
	s.add(e, http.MethodPost, "/role/attach-permission", s.attachPermission)
	s.add(e, http.MethodPost, "/permission/", s.createPermission)
	s.add(e, http.MethodGet, "/.well-known/jwks.json", s.jwks)
	s.add(e, http.MethodGet, "/.well-known/oauth-authorization-server", s.metadata)
	if path := issuerPath(s.cfg.Issuer); path != "" { // RFC 8414 section 3.1
		s.add(e, http.MethodGet, "/.well-known/oauth-authorization-server"+path, s.metadata)
	}
	return e
}

func (s *Server) add(e *echo.Echo, method, template string, h echo.HandlerFunc) {
	bare := strings.TrimSuffix(template, "/")
	for _, path := range []string{bare, bare + "/"} {
		s.templates[path], s.allow[path] = template, method
		e.Add(method, path, h)
		if method == http.MethodGet {
			s.allow[path] = "GET, HEAD"
			e.Add(http.MethodHead, path, h)
		}
		e.Add(http.MethodOptions, path, noOptions)
	}
}

// noOptions answers OPTIONS as FastAPI does where no cross-origin rules are set.
// Without it echo answers 204.
func noOptions(echo.Context) error { return echo.ErrMethodNotAllowed }

// template is the route's label in metrics and log.
func (s *Server) template(c echo.Context) string {
	if t, ok := s.templates[c.Path()]; ok {
		return t
	}
	return "unmatched"
}

func issuerPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

// extractor decides whose word counts for a client's address. Echo's default
// believes X-Forwarded-For from anybody, which would let an attacker choose
// the budget that their guesses are charged to.
func (s *Server) extractor() echo.IPExtractor {
	if len(s.cfg.TrustedProxies) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range s.cfg.TrustedProxies {
		_, network, err := net.ParseCIDR(prefix.String())
		if err != nil {
			continue // a netip.Prefix always is a CIDR
		}
		options = append(options, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}
