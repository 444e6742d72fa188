package fastlane

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// undo decodes framing that comes in pieces of the given size; took is how much
// of it was the body's.
func undo(framing []byte, piece int) (content []byte, took int, done bool, err error) {
	var c chunks
	for took < len(framing) && !c.done() {
		in := bytes.Clone(framing[took:min(took+piece, len(framing))])
		n, used, err := c.decode(in, in)
		content = append(content, in[:n]...)
		if took += used; err != nil {
			return content, took, false, err
		}
	}
	return content, took, c.done(), nil
}

func TestChunks(t *testing.T) {
	for _, c := range []struct{ framing, want string }{
		{"0\r\n\r\n", ""},
		{"3\r\nabc\r\n0\r\n\r\n", "abc"},
		{"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
		{"0003\r\nabc\r\n000\r\n\r\n", "abc"},
		{"3;name=value;q=\"a;b\"\r\nabc\r\n0;x\r\n\r\n", "abc"},
		{"3; a\tb\xff\r\nabc\r\n0\r\n\r\n", "abc"},
		{"3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n", "abc"},
	} {
		for piece := 1; piece <= len(c.framing); piece++ {
			got, took, done, err := undo([]byte(c.framing+"next"), piece)
			if err != nil || !done || string(got) != c.want || took != len(c.framing) {
				t.Errorf("%q in pieces of %d: %q, %d bytes, %t, %v", c.framing, piece, got, took, done, err)
			}
		}
	}
}

func TestChunksThatAreNone(t *testing.T) {
	for name, framing := range map[string]string{
		"no size":                         "\r\nabc\r\n0\r\n\r\n",
		"a size in no digits":             "x\r\nabc\r\n0\r\n\r\n",
		"0x":                              "0x3\r\nabc\r\n0\r\n\r\n",
		"a sign":                          "+3\r\nabc\r\n0\r\n\r\n",
		"a minus":                         "-3\r\nabc\r\n0\r\n\r\n",
		"an underscore":                   "1_0\r\nabc\r\n0\r\n\r\n",
		"white space before the size":     " 3\r\nabc\r\n0\r\n\r\n",
		"white space behind the size":     "3 \r\nabc\r\n0\r\n\r\n",
		"white space before an extension": "3 ;a\r\nabc\r\n0\r\n\r\n",
		"a size of more than 2^60":        "1000000000000000\r\nabc\r\n0\r\n\r\n",
		"a size that overflows":           "10000000000000003\r\nabc\r\n0\r\n\r\n",
		"a bare LF behind the size":       "3\nabc\r\n0\r\n\r\n",
		"a bare CR behind the size":       "3\rabc\r\n0\r\n\r\n",
		"a bare LF in an extension: CVE-2025-55315":   "3;\nxx\r\nabc\r\n0\r\n\r\n",
		"a bare CR in an extension":                   "3;a\rb\r\nabc\r\n0\r\n\r\n",
		"NUL in an extension":                         "3;a\x00\r\nabc\r\n0\r\n\r\n",
		"a bare LF behind the data":                   "3\r\nabc\n0\r\n\r\n",
		"data longer than its size":                   "3\r\nabcd\r\n0\r\n\r\n",
		"two bytes that are no CRLF behind the data":  "3\r\nabcxx0\r\n\r\n",
		"a bare LF behind the last chunk":             "3\r\nabc\r\n0\n\r\n",
		"a bare LF for the empty line":                "3\r\nabc\r\n0\r\n\n",
		"a bare LF in the trailer section":            "0\r\nX: y\n\r\n",
		"a trailer without a colon":                   "0\r\nGET / HTTP/1.1\r\n\r\n",
		"a trailer that goes on in the next line":     "0\r\nX: y\r\n z\r\n\r\n",
		"a trailer with white space before the colon": "0\r\nX : y\r\n\r\n",
		"extensions without end: CVE-2023-39326":      strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 17),
		"a trailer section without end":               "0\r\n" + strings.Repeat("X: y\r\n", 2000),
	} {
		for _, piece := range []int{1, 7, len(framing)} {
			if got, _, done, err := undo([]byte(framing), piece); err == nil {
				t.Errorf("%s, in pieces of %d: %q, %t", name, piece, got, done)
			}
		}
	}
}

// FuzzChunks: whatever the pieces, the result is one; and what is read here to
// its end net/http's reader reads alike.
func FuzzChunks(f *testing.F) {
	for _, framing := range []string{"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;a=b\r\nabc\r\n1\r\nx\r\n0\r\nX: y\r\n\r\n", "5\r\nab", "3\nabc\n0\n\n"} {
		f.Add([]byte(framing), uint8(3))
	}
	f.Fuzz(func(t *testing.T, framing []byte, piece uint8) {
		whole, took, done, err := undo(framing, len(framing)+1)
		pieces, tookAgain, doneAgain, errAgain := undo(framing, int(piece)+1)
		if (err == nil) != (errAgain == nil) || err == nil && (!bytes.Equal(whole, pieces) || took != tookAgain || done != doneAgain) {
			t.Fatalf("at once %q, %d, %t, %v; in pieces %q, %d, %t, %v", whole, took, done, err, pieces, tookAgain, doneAgain, errAgain)
		}
		if err != nil || !done {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(framing)))
		if err != nil || !bytes.Equal(theirs, whole) {
			t.Fatalf("%q here; %q, %v in net/http", whole, theirs, err)
		}
	})
}

func BenchmarkChunks(b *testing.B) {
	framing := []byte(strings.Repeat("400\r\n"+strings.Repeat("x", 1024)+"\r\n", 15) + "0\r\n\r\n")
	into := make([]byte, len(framing))
	b.SetBytes(int64(len(framing)))
	b.ReportAllocs()
	var c chunks
	for b.Loop() {
		c.reset()
		if _, _, err := c.decode(into, framing); err != nil || !c.done() {
			b.Fatal(err)
		}
	}
}
