package conformance_test

import (
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"testing"
)

// message frames a gRPC message: not compressed, four bytes of length.
func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

func readMessage(r io.Reader) (string, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// grpcService is a stream in both directions: it answers each message while it
// waits for the next, and ends with a status in the trailers. A client that
// does not announce trailers is refused, as grpc-go does it.
func grpcService() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || r.Method != "POST" {
			http.Error(w, "not gRPC: "+r.Proto+" te="+r.Header.Get("Te"), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		if r.Header.Get("X-Fail") != "" {
			w.Header().Set("Grpc-Status", "5") // trailers only
			return
		}
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		http.NewResponseController(w).Flush()
		n := 0
		for {
			text, err := readMessage(r.Body)
			if err != nil {
				break
			}
			n++
			flushed{w}.Write(message("re: " + text))
		}
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set("Grpc-Message", strconv.Itoa(n))
	})
}

func TestGRPC(t *testing.T) {
	for _, scheme := range []string{"h2c", "https"} {
		t.Run(scheme, func(t *testing.T) {
			r := newRig(t, fast, rigConfig{upstream: service(t, scheme, grpcService())})
			for _, c := range r.http2() {
				t.Run(c.name+" talks in both directions", func(t *testing.T) {
					in, out := io.Pipe()
					res, err := c.Do(c.request(t, "POST", "/shop.Items/Watch", in,
						"Authorization: Bearer reader", "Content-Type: application/grpc", "Te: trailers"))
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					for _, text := range []string{"one", "two", "three"} {
						out.Write(message(text))
						if got, err := readMessage(res.Body); err != nil || got != "re: "+text {
							t.Fatalf("%q %v %s", got, err, res.Status)
						}
					}
					out.Close()
					rest, err := io.ReadAll(res.Body)
					if err != nil || len(rest) != 0 || res.Trailer.Get("Grpc-Status") != "0" || res.Trailer.Get("Grpc-Message") != "3" {
						t.Errorf("%q %v %v", rest, err, res.Trailer)
					}
				})
				t.Run(c.name+" gets a trailers-only answer", func(t *testing.T) {
					res, text := c.ask(t, "POST", "/shop.Items/Watch", nil,
						"Authorization: Bearer reader", "Content-Type: application/grpc", "Te: trailers", "X-Fail: 1")
					if res.StatusCode != 200 || text != "" || res.Header.Get("Grpc-Status") != "5" {
						t.Errorf("%s %q %v", res.Status, text, res.Header)
					}
				})
				t.Run(c.name+" gets refusals as trailers only", func(t *testing.T) {
					for path, want := range map[string]string{"/shop.Items/Watch": "16 token_missing", "/shop.Items/None": "12 no_route"} {
						in, out := io.Pipe()
						defer out.Close()
						res, text := c.ask(t, "POST", path, in, "Content-Type: application/grpc+proto", "Te: trailers")
						got := res.Header.Get("Grpc-Status") + " " + res.Header.Get("Grpc-Message")
						if res.StatusCode != 200 || text != "" || got != want {
							t.Errorf("%s: %s %q %v", path, res.Status, text, res.Header)
						}
					}
				})
			}
		})
	}
}
