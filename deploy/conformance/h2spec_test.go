package conformance

import (
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// h2specCases is how many cases h2spec 2.2.1 has with --strict: generic, http2 and hpack.
const h2specCases = 146

// deviation is a case of h2spec that does not pass, and why that may be.
type deviation struct {
	section, title string
	cleartext      bool // only where HTTP/1.1 is spoken on the same port
	actual         string
	why            string
}

// deviations is exact: a case that begins to pass has to leave it. All of them lie in what
// net/http does before a handler is asked, and let nothing through.
var deviations = []deviation{
	{"http2/3.5", "Sends invalid connection preface", true, "looked like an HTTP/1.1 header",
		"the port speaks HTTP/1.1 too, and what is no preface is read as that: 400, and the connection is closed"},
	{"http2/6.5.3", "Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE", false, "Connection closed",
		"net/http hangs up on a SETTINGS frame that names a parameter twice, as a defence against floods; no client sends one"},
	{"http2/8.1.2.2", "Sends a HEADERS frame that contains the connection-specific header field", false, "DATA Frame",
		"net/http answers the malformed request with 400 (RFC 9113 section 8.1.1 lets a server answer) and does not reset the stream after it; no service sees it"},
	{"http2/8.1.2.2", `Sends a HEADERS frame that contains the TE header field with any value other than "trailers"`, false, "DATA Frame",
		"the same: 400 in place of a reset"},
}

// h2report is what h2spec writes with --junit-report.
type h2report struct {
	Suites []struct {
		Cases []struct {
			Section string `xml:"package,attr"`
			Title   string `xml:"classname,attr"`
			Failure string `xml:"failure"`
			Error   string `xml:"error"`
			Skipped *struct {
			} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// TestH2spec runs every case of h2spec, the strict ones included, against both ways in.
func TestH2spec(t *testing.T) {
	h2spec := tool(t, "github.com/summerwind/h2spec/cmd/h2spec")
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "long enough for what is tried with small windows")
	}))
	t.Cleanup(service.Close)
	lanes(t, func(t *testing.T, secure bool) {
		g := startGateway(t, secure, service.URL, "  /:\n    GET: public\n    POST: public\n")
		report := filepath.Join(t.TempDir(), "report.xml")
		args := []string{"--strict", "--host", "127.0.0.1", "--port", g.port, "--junit-report", report}
		if secure {
			args = append(args, "--tls", "--insecure")
		}
		out, err := exec.CommandContext(t.Context(), h2spec, args...).CombinedOutput()
		text, missing := os.ReadFile(report)
		if missing != nil {
			t.Fatalf("h2spec wrote no report: %v\n%s", err, out)
		}
		var read h2report
		if err := xml.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		judge(t, secure, &read)
	})
}

// judge compares a report with the table, in both directions.
func judge(t *testing.T, secure bool, report *h2report) {
	t.Helper()
	allowed := map[string]deviation{}
	for _, d := range deviations {
		if !d.cleartext || !secure {
			allowed[d.section+" "+d.title] = d
		}
	}
	cases, passed := 0, 0
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			cases++
			name, fault := c.Section+" "+c.Title, c.Failure+c.Error
			d, listed := allowed[name]
			delete(allowed, name)
			switch {
			case c.Skipped != nil:
				t.Errorf("%s: skipped", name)
			case fault == "" && listed:
				t.Errorf("%s: passes now; take it off the table", name)
			case fault == "":
				passed++
			case !listed:
				t.Errorf("%s: %s", name, fault)
			case !strings.Contains(fault, d.actual):
				t.Errorf("%s: fails in another way than by %q:\n%s", name, d.actual, fault)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		t.Errorf("%s: is not a case of this h2spec", name)
	}
	if cases != h2specCases {
		t.Errorf("%d cases, want %d", cases, h2specCases)
	}
	t.Logf("h2spec: %d cases, %d passed", cases, passed)
}
