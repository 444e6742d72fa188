package sidecar

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// patience bounds the comparison of all policies of one reload.
const patience = 5 * time.Second

// held is a policy that is on disk and not served, because it widens access
// (reload: {widening: hold}).
type held struct {
	widening
	since time.Time
}

// until is a stop for comparisons that begin now.
func (s *Sidecar) until(ctx context.Context) func() bool {
	end := time.Now().Add(s.patience)
	return func() bool { return ctx.Err() != nil || !time.Now().Before(end) }
}

// holdBack returns the configuration with the policies that are served in the place of those
// that let somebody do more, and says which these are. Everything else is taken up: another
// service's policy, and whatever gateway.yaml says, must not wait for a person.
func (s *Sidecar) holdBack(ctx context.Context, cfg *Config, before *state) (*Config, []held) {
	var back []held
	stop, out := s.until(ctx), *cfg
	out.Services = slices.Clone(cfg.Services)
	for i := range out.Services {
		c := &out.Services[i]
		j := predecessor(c, before.config.Services)
		if j < 0 {
			continue
		}
		served := &before.config.Services[j]
		w := widen(c, served.Policy, stop)
		if w == nil {
			continue
		}
		w.service = served.Policy.Service()
		c.Policy, c.PolicyText = served.Policy, served.PolicyText
		if !slices.ContainsFunc(back, func(h held) bool { return h.same(w) }) { // two services may have one policy
			back = append(back, held{*w, before.heldSince(w)})
		}
	}
	return &out, back
}

// heldSince is when the same policy was held back first.
func (n *state) heldSince(w *widening) time.Time {
	for _, h := range n.held {
		if h.same(w) {
			return h.since
		}
	}
	return time.Now()
}

// holds returns what is held back of a service that is served.
func (n *state) holds(service string) *held {
	for i := range n.held {
		if n.held[i].service == service {
			return &n.held[i]
		}
	}
	return nil
}

// logAccess says what a reload means to who may do what. What was compared to be held back, or not,
// is not compared again.
func (s *Sidecar) logAccess(ctx context.Context, before, n *state, asked bool) {
	s.logAdded(before, n)
	s.logHeld(n)
	if asked || !n.config.HoldWidening {
		s.logWidenings(ctx, before, n)
	}
}

// logWidenings says what a configuration that is served from now on lets somebody do that the
// one before did not.
func (s *Sidecar) logWidenings(ctx context.Context, before, n *state) {
	var said []*widening
	stop := s.until(ctx)
	for i := range n.config.Services {
		c := &n.config.Services[i]
		j := predecessor(c, before.config.Services)
		if j < 0 {
			continue
		}
		w := widen(c, before.config.Services[j].Policy, stop)
		if w != nil && !slices.ContainsFunc(said, w.same) {
			said = append(said, w)
			s.log.Warn(w.what(), w.attributes()...)
		}
	}
}

func (w *widening) verb() string {
	if w.proven {
		return "widens"
	}
	return "may widen"
}

// what happens when the policy is served.
func (w *widening) what() string {
	if w.proven {
		return "access widened"
	}
	return "access may have widened"
}

// logAdded names services that take no other's place, so that there is nothing to compare.
func (s *Sidecar) logAdded(before, n *state) {
	for i := range n.config.Services {
		if c := &n.config.Services[i]; predecessor(c, before.config.Services) < 0 {
			s.log.Warn("service added", "service", c.Policy.Service(), "policy", c.Policy.Hash(), "routes", len(c.Policy.Routes()))
		}
	}
}

// same reports whether two widenings are of the same policies of one service.
func (w *widening) same(o *widening) bool {
	return w.service == o.service && w.old == o.old && w.hash == o.hash
}

func (w *widening) attributes() []any {
	return []any{"service", w.service, "file", w.file, "policy", w.hash, "before", w.old, "proven", w.proven, "changes", w.changes, "more", w.more}
}

func (s *Sidecar) logHeld(n *state) {
	for i := range n.held {
		h := &n.held[i]
		s.log.Warn("policy held back, SIGHUP publishes it", append(h.attributes(), "see", s.seeHeld(h))...)
	}
}

// seeHeld is a command that shows all that a policy which is held back would change.
func (s *Sidecar) seeHeld(h *held) string {
	path := "/policy?source=" + url.QueryEscape(h.service)
	curl := "curl -s 'http://" + s.began.Admin + path + "'"
	if socket, ok := strings.CutPrefix(s.began.Admin, "unix:"); ok {
		curl = "curl -s --unix-socket '" + socket + "' 'http://localhost" + path + "'"
	} else if host, port, err := net.SplitHostPort(s.began.Admin); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		curl = "curl -s 'http://127.0.0.1:" + port + path + "'"
	}
	return curl + " | gateway diff /dev/stdin '" + h.file + "'"
}

// heldLines are those of /readyz?verbose. A gateway that holds a policy back is as ready as before.
func (s *Sidecar) heldLines(n *state, line func(bool, string, ...any)) {
	for i := range n.held {
		h := &n.held[i]
		line(false, "policy %s: %s is held back since %s, because it %s access; SIGHUP publishes it", h.service, h.hash, h.since.UTC().Format(time.RFC3339), h.verb())
		for _, change := range h.changes {
			line(false, "policy %s: %s", h.service, change)
		}
		if h.more > 0 {
			line(false, "policy %s: and %d changes more", h.service, h.more)
		}
		line(false, "policy %s: see it by: %s", h.service, s.seeHeld(h))
	}
}

// heldPage is a policy that is held back, on the page /policy.
type heldPage struct {
	Hash    string    `json:"hash"`
	Since   time.Time `json:"since"`
	Proven  bool      `json:"proven"`
	Changes []string  `json:"changes"`
	More    int       `json:"more"`
	See     string    `json:"see"`
}

// describeHeld is nil where nothing is held back.
func (s *Sidecar) describeHeld(h *held) *heldPage {
	if h == nil {
		return nil
	}
	return &heldPage{Hash: h.hash, Since: h.since.UTC(), Proven: h.proven, Changes: h.changes, More: h.more, See: s.seeHeld(h)}
}

// showSource answers /policy?source=SERVICE: the policy that is served, as it was read. While
// another one is held back, it is on no disk.
func (s *Sidecar) showSource(w http.ResponseWriter, service string) {
	n := s.current.Load()
	for i := range n.config.Services {
		if c := &n.config.Services[i]; c.Policy.Service() == service {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(c.PolicyText) // a peer that went away needs no answer
			return
		}
	}
	http.Error(w, fmt.Sprintf("no service %q", service), http.StatusNotFound)
}
