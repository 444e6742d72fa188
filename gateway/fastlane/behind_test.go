package fastlane

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/scopegate/scopegate/gateway/upstream"
)

// A large head makes the buffer large. What came behind a chunked body in it is
// more than the body is carried by at once, and none of it may be lost: the next
// request would begin in the middle of one.
func TestNothingIsLostBehindAChunkedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{}, serving(naming))
		c := r.client()
		pad := strings.Repeat("p", 1000)
		var all strings.Builder
		fmt.Fprintf(&all, "POST /open/first HTTP/1.1\r\nHost: a\r\nX-Pad: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", strings.Repeat(pad, 35))
		for i := range 40 {
			fmt.Fprintf(&all, "GET /open/%d HTTP/1.1\r\nHost: a\r\nX-Pad: %s\r\n\r\n", i, pad)
		}
		go c.Write([]byte(all.String()))
		c.expect("POST", 200, "/open/first")
		for i := range 40 {
			c.expect("GET", 200, fmt.Sprintf("/open/%d", i))
		}
	})
}
