package token

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// hops follows one fetch from redirect to redirect, to judge the addresses that are dialled.
// It travels in the request's context, because only the dialler knows what a name resolved to: a
// check before would be outrun by a name that resolves differently the second time.
type hops struct {
	insecure bool // plain http may leave loopback on the first hop

	mu     sync.Mutex // guards the rest; the dialler tries several addresses at once
	scheme string     // of the hop that is under way
	count  int        // redirects followed
	public bool       // an address of the public internet was dialled on an earlier hop or this one
}

type hopsKey struct{}

func withHops(ctx context.Context, h *hops) context.Context {
	return context.WithValue(ctx, hopsKey{}, h)
}

// newTransport returns the transport of key fetches: no proxy from the environment, no
// connection kept (a fetch comes every few minutes, and every one shall be judged), and
// every address judged when it is dialled.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, ControlContext: judgeDial}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout:    5 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// judgeDial runs after the name was resolved and before the connection is made.
func judgeDial(ctx context.Context, _, address string, _ syscall.RawConn) error {
	h, ok := ctx.Value(hopsKey{}).(*hops)
	if !ok {
		return errors.New("dialled outside a fetch of keys")
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return h.judge(addr.Addr())
}

func (h *hops) judge(addr netip.Addr) error {
	addr = addr.Unmap()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.scheme == "http" && !addr.IsLoopback() && (!h.insecure || h.count > 0) {
		return fmt.Errorf("plain http to %s, which is not loopback (allow_insecure lifts this for jwks_uri itself)", addr)
	}
	public := isPublic(addr)
	if h.count > 0 && h.public && !public {
		return fmt.Errorf("redirected from a public address to %s", addr)
	}
	h.public = h.public || public
	return nil
}

// carrierNAT is the shared address space of RFC 6598, as private as those of RFC 1918.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !carrierNAT.Contains(addr)
}

// checkRedirect follows at most three, never to a weaker scheme, and never from a public
// address to one that is written as a private one; names are judged by the dialler.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	from, to := via[len(via)-1].URL, request.URL
	if to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https") {
		return fmt.Errorf("redirected from %s to %s", from.Scheme, to.Scheme)
	}
	if to.User != nil {
		return errors.New("redirected to a URL with a user")
	}
	h, ok := request.Context().Value(hopsKey{}).(*hops)
	if !ok {
		return errors.New("redirected outside a fetch of keys")
	}
	// Seen before the next hop counts: what was dialled so far belongs to the hop before.
	h.mu.Lock()
	h.count++
	h.scheme = to.Scheme
	if addr, err := netip.ParseAddr(from.Hostname()); err == nil && isPublic(addr.Unmap()) {
		h.public = true
	}
	h.mu.Unlock()
	if addr, err := netip.ParseAddr(to.Hostname()); err == nil {
		return h.judge(addr)
	}
	if to.Scheme == "http" && to.Hostname() == "" {
		return errors.New("redirected to no host")
	}
	return nil
}
