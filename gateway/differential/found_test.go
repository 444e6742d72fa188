package differential

import "testing"

// What fuzzing has found stays here under the name of what was wrong. A case
// passes when the lanes agree.

func TestFoundRequests(t *testing.T) {
	fast, standard := newFast(t), newStandard(t)
	for name, text := range map[string]string{
		"net/http closes after two Host fields, the fast lane went on":    "GET /public/x HTTP/1.1\r\nHost: $H\r\nHost: $H\r\n\r\n" + behind,
		"a 417 whose target net/http cannot read":                         "OST \xed1 HTTP/1.1\r\nHost: $H\r\nExpect: 100-continue\r\n\r\n" + behind,
		"two Host fields beside a path that is refused before them":       "GET /public/%2e%2e/admin HTTP/1.1\r\nHost: $H\r\nHost: x\r\n\r\n" + behind,
		"net/http closes after a lone percent sign":                       "GET /api/% HTTP/1.1\r\nHost: $H\r\n\r\n" + behind,
		"net/http closes after a target without a slash":                  "GET public/x HTTP/1.1\r\nHost: $H\r\n\r\n" + behind,
		"ReverseProxy fails over an Upgrade that it cannot print":         "GET /ws HTTP/1.1\r\nHost: $H\r\nConnection: Upgrade\r\nUpgrade: web\x80ocket\r\n\r\n",
		"a Trailer that names the body's length":                          "POST /public/x HTTP/1.1\r\nHost: $H\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 48\r\n\r\n" + behind,
		"net/http makes no body of an empty one":                          "GET /ws HTTP/1.1\r\nHost: $H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
		"100 Continue, and then the client is gone":                       "POST /public/x HTTP/1.1\r\nHost: $H\r\nExpect: 100-continue\r\nContent-Length: 33\r\n\r\nG",
		"an empty line of trailers that ends in LF only":                  "POST /public/x HTTP/1.1\r\nHost: $H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody!\r\n0\r\n\n" + behind,
		"a trailer that names the framing of the next request":            "POST /public/x HTTP/1.1\r\nHost: $H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\n\r\n" + behind,
		"net/http puts an authority in the place of Host":                 "GET http://$H/public/x HTTP/1.1\r\nHost: other.test\r\n\r\n" + behind,
		"net/http sends one User-Agent of two":                            "GET /public/x HTTP/1.1\r\nHost: $H\r\nUser-Agent: x\r\nUser-Agent: y\r\n\r\n",
		"net/http adds Cache-Control to Pragma":                           "GET /public/x HTTP/1.1\r\nHost: $H\r\nPragma: no-cache\r\n\r\n",
		"an underscore for the hyphen of a length, and a request in it":   "POST /public/x HTTP/1.1\r\nHost: $H\r\nContent_Length: 500\r\n\r\n" + behind,
		"a body that the client breaks off reaches the service as broken": "POST /public/x HTTP/1.1\r\nHost: $H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody!\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			for _, most := range []int64{0, 1, 7} {
				b := filled([]byte(text))
				compare(t, fast.serve(t, b, most), standard, b)
			}
		})
	}
}

func TestFoundAnswers(t *testing.T) {
	fast, standard := newFast(t), newStandard(t)
	for name, answer := range map[string]string{
		"a chunk size that overflows, right behind the head": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
		"a length with a zero before it":                     "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\nbody!",
		"a Trailer that names the body's length":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n",
		"an interim answer in an unknown coding":             "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunkel\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"framing in the trailers":                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
		"the largest length of all":                          "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, q := range asked {
				for _, piece := range []int{0, 1} {
					want := readDirectly([]byte(answer), q.method)
					s := script{answer: []byte(answer), piece: piece, end: want.needsEnd}
					fast.asks(t, q, s, &want)
					standard.asks(t, q, s, &want)
				}
			}
		})
	}
}
