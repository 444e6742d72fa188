package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/deploy/parts"
)

// large is what curl uploads: 2 MiB in which no two places look alike.
func large() []byte {
	block := sha256.Sum256(nil)
	var b bytes.Buffer
	for b.Len() < 2<<20 {
		block = sha256.Sum256(block[:])
		b.Write(block[:])
	}
	return b.Bytes()
}

// told is what testdata/service.py says of a request.
type told struct {
	Method, Query, Subject, Scheme, SHA256 string
	Size                                   int
	Hidden                                 []string
}

// curled is one run of curl: the body, and for each transfer what --write-out says.
type curled struct {
	body, verbose string
	transfers     []transfer
}

type transfer struct {
	Status   int    `json:"http_code"`
	Version  string `json:"http_version"`
	Connects int    `json:"num_connects"`
	Uploaded int    `json:"size_upload"`
	Got      int    `json:"size_download"`
	Fault    string `json:"errormsg"`
}

// curl runs curl with arguments on the gateway, as a user who may use the service.
func (g *gateway) curl(t *testing.T, stdin []byte, arguments ...string) *curled {
	t.Helper()
	args := []string{"--silent", "--show-error", "--verbose", "--max-time", "60", "--noproxy", "*"}
	if g.secure {
		args = append(args, "--cacert", g.ca)
	}
	cmd := exec.CommandContext(t.Context(), "curl", append(args, arguments...)...)
	var out, verbose bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &verbose
	if err := cmd.Run(); err != nil {
		t.Fatalf("curl %s: %v\n%s", strings.Join(arguments, " "), err, lastLines(verbose.String(), 20))
	}
	c := &curled{verbose: verbose.String()}
	for i, part := range strings.Split(out.String(), separator) {
		if i%2 == 0 {
			c.body += part
			continue
		}
		var tr transfer
		if err := json.Unmarshal([]byte(part), &tr); err != nil {
			t.Fatal(errors.Join(err, errors.New(part)))
		}
		c.transfers = append(c.transfers, tr)
	}
	return c
}

// separator stands before and after what --write-out says of a transfer.
const separator = "\n== of this transfer ==\n"

// writeOut has curl say what became of a transfer.
const writeOut = separator + "%{json}" + separator

func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		parts.Missing(t, "curl", err.Error())
	}
	upstream := startTold(t)
	upload := filepath.Join(t.TempDir(), "upload.bin")
	if err := os.WriteFile(upload, large(), 0o600); err != nil {
		t.Fatal(err)
	}
	lanes(t, func(t *testing.T, secure bool) {
		g := startGateway(t, secure, upstream, toldRoutes)
		bearer := "Authorization: Bearer " + token(t, "shop.use")
		for _, option := range []string{"--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"} {
			t.Run(strings.TrimLeft(option, "-"), func(t *testing.T) {
				v := variant{g, option, spoken(option, secure), bearer}
				v.ordinary(t)
				v.uploads(t, upload)
				v.refused(t, upload)
				v.reuse(t)
			})
		}
	})
}

// spoken is the version in which curl asks with an option, as it writes it.
func spoken(option string, secure bool) string {
	switch {
	case option == "--http1.0":
		return "1"
	case option == "--http1.1", option == "--http2" && !secure:
		return "1.1" // the upgrade from there to HTTP/2 (RFC 7540 section 3.2) is gone in RFC 9113
	default:
		return "2"
	}
}

// variant is curl with one protocol option, and the version in which it then asks.
type variant struct {
	*gateway
	option, version, bearer string
}

// answered is the version of the answer: a server names the highest that it speaks of the request's
// major one (RFC 9110 section 2.5).
func (v variant) answered() string {
	if v.version == "1" {
		return "1.1"
	}
	return v.version
}

// ask makes one transfer and holds it to a status and the variant's version.
func (v variant) ask(t *testing.T, status int, stdin []byte, arguments ...string) (*curled, transfer) {
	t.Helper()
	c := v.curl(t, stdin, append([]string{v.option, "--write-out", writeOut}, arguments...)...)
	if len(c.transfers) != 1 {
		t.Fatalf("%q: %d transfers", arguments, len(c.transfers))
	}
	tr := c.transfers[0]
	if tr.Status != status || tr.Version != v.answered() {
		t.Errorf("%q: %d over HTTP/%s, want %d over HTTP/%s\n%.1000s", arguments, tr.Status, tr.Version, status, v.answered(), c.body)
	}
	return c, tr
}

// told makes a transfer that reaches the service, and returns what it was told.
func (v variant) told(t *testing.T, stdin []byte, arguments ...string) (*curled, told) {
	t.Helper()
	c, _ := v.ask(t, 200, stdin, append(arguments, "--header", v.bearer)...)
	var got told
	if err := json.Unmarshal([]byte(c.body), &got); err != nil {
		t.Errorf("%q: %v: %s", arguments, err, c.body)
	}
	if got.Subject != "ann" || len(got.Hidden) != 0 {
		t.Errorf("%q: the service saw %+v", arguments, got)
	}
	return c, got
}

func (v variant) ordinary(t *testing.T) {
	_, got := v.told(t, nil, v.url("/told?a=b%20c&a=d"))
	scheme := map[bool]string{true: "https", false: "http"}[v.secure]
	if got.Method != "GET" || got.Query != "a=b%20c&a=d" || got.Scheme != scheme {
		t.Errorf("GET: %+v", got)
	}
	head, tr := v.ask(t, 200, nil, "--head", "--header", v.bearer, v.url("/told"))
	if tr.Got != 0 || !strings.Contains(strings.ToLower(head.body), "\r\ncontent-length: ") {
		t.Errorf("HEAD: %+v\n%s", tr, head.body)
	}
	if c, _ := v.ask(t, 200, nil, "--header", v.bearer, v.url("/large")); len(c.body) != 2<<20 {
		t.Errorf("a large answer has %d bytes", len(c.body))
	}
	// curl takes the dots out of a path itself, unless it is told not to.
	v.told(t, nil, v.url("/kept/../told"))
	v.ask(t, 400, nil, "--path-as-is", "--header", v.bearer, v.url("/kept/../told"))
}

// uploads sends 2 MiB with and without a length.
func (v variant) uploads(t *testing.T, upload string) {
	want := sha256.Sum256(large())
	expecting := []string{"--data-binary", "@" + upload, "--header", "Expect: 100-continue", "--expect100-timeout", "60"}
	if v.version == "1" {
		expecting = expecting[:2] // HTTP/1.0 knows no 100 Continue
	}
	for name, arguments := range map[string][]string{
		"with a length":  expecting,
		"as a form":      {"--form", "file=@" + upload},
		"out of a pipe":  {"--upload-file", "-"},
		"without Expect": {"--data-binary", "@" + upload, "--header", "Expect:"},
	} {
		if name == "out of a pipe" && v.version == "1" {
			continue // no chunked framing either
		}
		if v.version == "2" && name == "with a length" {
			arguments = arguments[:2] // curl would wait for a 100 that HTTP/2 seldom has
		}
		c, got := v.told(t, large(), append(slices.Clone(arguments), v.url("/told"))...)
		if name == "as a form" && got.Size > len(large()) {
			continue // its boundary is in the digest
		}
		if got.Size != len(large()) || got.SHA256 != hex.EncodeToString(want[:]) {
			t.Errorf("%s: the service got %d bytes, %s", name, got.Size, got.SHA256)
		}
		if name == "with a length" && v.version == "1.1" && !strings.Contains(c.verbose, "< HTTP/1.1 100 Continue") {
			t.Errorf("nothing told curl to go on:\n%s", lastLines(c.verbose, 20))
		}
		if name == "out of a pipe" && v.version == "1.1" && !strings.Contains(c.verbose, "> Transfer-Encoding: chunked") {
			t.Errorf("curl did not send in chunks:\n%s", lastLines(c.verbose, 20))
		}
	}
}

// refused: a body that waits for 100 Continue stays where it is.
func (v variant) refused(t *testing.T, upload string) {
	for _, c := range []struct {
		status    int
		detail    string
		arguments []string
	}{
		{401, "Not authenticated", []string{v.url("/told")}},
		{401, "Invalid token", []string{"--header", v.bearer + "x", v.url("/told")}},
		{403, "Not enough permissions", []string{"--header", v.bearer, v.url("/kept")}},
		{404, "Not Found", []string{"--header", v.bearer, v.url("/none")}},
		{405, "Method Not Allowed", []string{"--request", "DELETE", "--header", v.bearer, v.url("/told")}},
		{401, "Not authenticated", []string{"--data", "a form", v.url("/told")}},
	} {
		if got, _ := v.ask(t, c.status, nil, c.arguments...); got.body != `{"detail":"`+c.detail+`"}` {
			t.Errorf("%q: %s", c.arguments, got.body)
		}
	}
	if v.version != "1.1" {
		return
	}
	c, tr := v.ask(t, 401, nil, "--data-binary", "@"+upload, "--header", "Expect: 100-continue", "--expect100-timeout", "60", v.url("/told"))
	if tr.Uploaded != 0 || strings.Contains(c.verbose, "100 Continue") {
		t.Errorf("%d bytes were sent of a refused upload", tr.Uploaded)
	}
}

// reuse: the answers of all kinds leave the connection open for the next request.
func (v variant) reuse(t *testing.T) {
	if v.version == "1" || v.option == "--http2-prior-knowledge" && !v.secure {
		return // curl 7.88 ends with a framing error of its own when it reuses such a connection
	}
	one := []string{v.option, "--write-out", writeOut, "--header", v.bearer}
	args := append(slices.Clone(one), v.url("/told"))
	for _, next := range [][]string{{v.url("/none")}, {v.url("/kept")}, {"--data", "a form", v.url("/told")}, {"--data", "refused", v.url("/kept")}, {v.url("/large")}, {v.url("/told")}} {
		args = append(append(append(args, "--next", "--silent", "--show-error"), one...), next...)
		if v.secure {
			args = append(args, "--cacert", v.ca)
		}
	}
	var connects, statuses []int
	for _, tr := range v.curl(t, nil, args...).transfers {
		connects, statuses = append(connects, tr.Connects), append(statuses, tr.Status)
	}
	if !slices.Equal(statuses, []int{200, 404, 403, 200, 405, 200, 200}) || !slices.Equal(connects, []int{1, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("statuses %v over connections %v", statuses, connects)
	}
}
