package fastlane

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/scopegate/scopegate/gateway/upstream"
)

// What the gate finds malformed another reader may have read in another
// way, and then the next request may begin elsewhere for it. Found by FuzzLanes
// in gateway/differential: net/http answered 400 and closed, this lane went on.
func TestARequestInDoubtEndsItsConnection(t *testing.T) {
	for name, head := range map[string]string{
		"two hosts":             "GET /open/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
		"a host that is none":   "GET /open/a HTTP/1.1\r\nHost: a b\r\n",
		"no host":               "GET /open/a HTTP/1.1\r\n",
		"a target that is none": "GET open/a HTTP/1.1\r\nHost: a\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, upstream.Config{}, func(net.Conn) { t.Error("the service is asked") })
				c := r.client()
				go io.WriteString(c.Conn, head+"\r\nGET /open/next HTTP/1.1\r\nHost: a\r\n\r\n")
				res, _ := c.answer("GET")
				if res.StatusCode != 400 || !res.Close {
					t.Errorf("%s, close=%t", res.Status, res.Close)
				}
				if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
					t.Errorf("%q, %v behind the refusal", rest, err)
				}
			})
		})
	}
}

// Framing that is broken before a byte of the body has come is known before the
// client was told anything. Found by FuzzAnswers in gateway/differential: the
// connection ended without an answer.
func TestABodyThatIsBrokenFromTheStartIsA502(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{}, serving(func(w io.Writer, _ *http.Request) {
			io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
		}))
		c := r.client()
		for range 2 {
			c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
			res, body := c.answer("GET")
			if res.StatusCode != 502 || !strings.Contains(body, "Bad Gateway") {
				t.Errorf("%s %q", res.Status, body)
			}
			if got := r.record(); got.Status != 502 {
				t.Errorf("%+v", got)
			}
		}
	})
}
