package fastlane

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/scopegate/scopegate/gateway/upstream"
)

// A forwarder in front of a service that is down accepts and closes at once. That
// is an answer to one request, not a reason to dial for as long as it lasts.
func TestAConnectionThatIsClosedAtOnceIsNotDialledAgainAndAgain(t *testing.T) {
	l := listenFor(t)
	r := newRig(t, upstream.Config{}, nil)
	r.up.dial = func(context.Context) (net.Conn, error) {
		r.dialled.Add(1)
		near, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		far, err := l.Accept()
		if err == nil {
			err = far.Close() // seen before anything is sent
		}
		return near, err
	}
	c := r.client()
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		r.dialled.Store(0)
		c.send(method + " /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		c.expect(method, 502, "")
		if n := r.dialled.Load(); n != 1 {
			t.Errorf("%s: dialled %d times", method, n)
		}
	}
}
