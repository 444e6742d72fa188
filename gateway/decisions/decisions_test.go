package decisions

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

// good is a line as the gateway writes it.
const good = `{"time":"2026-02-03T04:05:06.007Z","msg":"request","request_id":"id-1","service":"shop","host":"shop.test","method":"GET","path":"/items/1","route":"/items/{id}","status":200,"decision":"allow","reason":"allowed","guard":"","accepted":[],"issuer":"https://i.example","subject":"ann","client":"cli","scopes":["a.b","c.d"],"missing":[],"claims":{"org_id":"acme","n":[1,true,null]},"auth_age":7,"acr":"","anonymous":false,"policy":"sha256:00","rule":"p.yaml:9","duration_ms":1.234,"upstream_ms":0.5,"bytes_in":0,"bytes_out":12,"sampled":3}`

func TestARecordHoldsWhatItsLineSays(t *testing.T) {
	var r Record
	if err := r.parse(new(scanner), good); err != nil {
		t.Fatal(err)
	}
	want := Record{Time: "2026-02-03T04:05:06.007Z", RequestID: "id-1", Service: "shop", Method: "GET", Path: "/items/1", Route: "/items/{id}", Allow: true,
		Reason: "allowed", Issuer: "https://i.example", Subject: "ann", Client: "cli", AuthAge: 7, Policy: "sha256:00", Rule: "p.yaml:9", Sampled: 3,
		scopes: `["a.b","c.d"]`, missing: "[]", accepted: "[]", claims: `{"org_id":"acme","n":[1,true,null]}`}
	if r != want {
		t.Errorf("%+v", r)
	}
	if got := r.Scopes(); !reflect.DeepEqual(got, []string{"a.b", "c.d"}) {
		t.Error(got)
	}
	if got := r.Claims(); !reflect.DeepEqual(got, map[string]any{"org_id": "acme", "n": []any{json.Number("1"), true, nil}}) {
		t.Error(got)
	}
}

// What is read, passed over and refused, as edits of a good line.
func TestLinesAreReadStrictly(t *testing.T) {
	edit := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(good) }
	for name, c := range map[string]struct{ line, want string }{
		"a good line":                        {good, ""},
		"white space between the tokens":     {edit(`":`, `" : `, `,"`, " ,\t\""), ""},
		"an unknown key":                     {edit(`"host":`, `"later":{"x":[{}]},"host":`), ""},
		"escapes":                            {edit("ann", `\u0061\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00\ud800`), ""},
		"another order of keys":              {edit(`{"time":"2026-02-03T04:05:06.007Z",`, `{`, `"sampled":3}`, `"sampled":3,"time":""}`), ""},
		"a line from before accepted":        {edit(`"accepted":[],`, ""), ""},
		"no login":                           {edit(`"auth_age":7`, `"auth_age":null`), ""},
		"another message":                    {`{"time":"x","level":"INFO","msg":"reloaded"}`, "another message"},
		"another message, cut":               {`{"time":"x","level":"INFO","msg":"reloaded","conf`, "another message"},
		"another program's object":           {`{"message":"GET / 200"}`, "another message"},
		"text":                               {"time=2026 level=INFO msg=request", "not a JSON object"},
		"an array":                           {"[]", "not a JSON object"},
		"a key twice":                        {edit(`"route":`, `"reason":"public","route":`), "stands twice"},
		"a type that is not the gateway's":   {edit(`"path":"/items/1"`, `"path":["/items/1"]`), `"path": no JSON string`},
		"a decision that is none":            {edit(`"allow"`, `"maybe"`), "neither allow nor deny"},
		"a scope that is no text":            {edit(`"a.b"`, `1`), `"scopes"`},
		"claims that are no object":          {edit(`{"org_id":"acme","n":[1,true,null]}`, `[]`), `"claims"`},
		"a number with a fraction":           {edit(`"sampled":3`, `"sampled":3.0`), `"sampled": no whole number`},
		"a line that stands for no requests": {edit(`"sampled":3`, `"sampled":0`), "less than 1"},
		"a negative age":                     {edit(`"auth_age":7`, `"auth_age":-7`), "less than 0"},
		"a missing key":                      {edit(`"path":"/items/1",`, ""), `"path" is missing`},
		"the keys that a decision needs":     {`{"msg":"request","service":"shop","method":"GET","path":"/","decision":"deny","reason":"no_route"}`, ""},
		"a line within its object":           {good[:len(good)-1], "does not end"},
		"two objects":                        {good + good, "something follows"},
		"a raw control character":            {edit("ann", "a\x01nn"), `"subject"`},
		"a half escape":                      {edit("ann", `\u00g0`), `"subject"`},
		"bytes that are no UTF-8":            {edit("ann", "\xff"), "not UTF-8"},
		"a comma too many":                   {edit(`"sampled":3`, `"sampled":3,`), "no JSON string"},
		"a comma too few":                    {edit(`,"host"`, `"host"`), "does not end"},
		"a number with a leading zero":       {edit(`"status":200`, `"status":0200`), "does not end"},
		"nesting without end":                {edit(`"host":"shop.test"`, `"host":`+strings.Repeat("[", 1000)), "nested too deeply"},
	} {
		var r Record
		err := r.parse(new(scanner), c.line)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// gatewayLine is a line for encoding/json, which is the oracle.
type gatewayLine struct {
	Time      string          `json:"time"`
	Msg       string          `json:"msg"`
	RequestID string          `json:"request_id"`
	Service   string          `json:"service"`
	Method    string          `json:"method"`
	Path      string          `json:"path"`
	Route     string          `json:"route"`
	Decision  string          `json:"decision"`
	Reason    string          `json:"reason"`
	Guard     string          `json:"guard"`
	Accepted  []*string       `json:"accepted"`
	Issuer    string          `json:"issuer"`
	Subject   string          `json:"subject"`
	Client    string          `json:"client"`
	Scopes    []*string       `json:"scopes"`
	Missing   []*string       `json:"missing"`
	Claims    json.RawMessage `json:"claims"`
	AuthAge   *int64          `json:"auth_age"`
	ACR       string          `json:"acr"`
	Policy    string          `json:"policy"`
	Rule      string          `json:"rule"`
	Sampled   int64           `json:"sampled"`
}

// What the scanner takes, encoding/json takes too, and reads alike.
func FuzzTheScannerReadsAsEncodingJSON(f *testing.F) {
	f.Add(good)
	f.Add(strings.Replace(good, "ann", `\u0061\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00\ud800\ud800\u0041`, 1))
	f.Add(strings.Replace(good, `"auth_age":7`, `"auth_age":null`, 1))
	f.Add(strings.Replace(good, `{"org_id":"acme","n":[1,true,null]}`, `{"a":{"b":[[],{}, -0.5e+10]},"\u0061":"\n"}`, 1))
	f.Fuzz(func(t *testing.T, line string) {
		var r Record
		if err := r.parse(new(scanner), line); err != nil {
			return
		}
		want := gatewayLine{Sampled: 1, Claims: json.RawMessage("null")}
		if err := json.Unmarshal(exactly(t, line), &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for name, pair := range map[string][2]string{
			"time": {want.Time, r.Time}, "request_id": {want.RequestID, r.RequestID}, "service": {want.Service, r.Service}, "method": {want.Method, r.Method},
			"path": {want.Path, r.Path}, "route": {want.Route, r.Route}, "reason": {want.Reason, r.Reason}, "guard": {want.Guard, r.Guard},
			"issuer": {want.Issuer, r.Issuer}, "subject": {want.Subject, r.Subject}, "client": {want.Client, r.Client}, "acr": {want.ACR, r.ACR},
			"policy": {want.Policy, r.Policy}, "rule": {want.Rule, r.Rule}, "msg": {want.Msg, "request"},
			"decision": {want.Decision, map[bool]string{true: "allow", false: "deny"}[r.Allow]},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %q, encoding/json says %q", name, pair[1], pair[0])
			}
		}
		same(t, "scopes", want.Scopes, r.Scopes())
		same(t, "missing", want.Missing, r.Missing())
		accepted, _ := r.Accepted()
		same(t, "accepted", want.Accepted, accepted)
		if want.Sampled != r.Sampled || (want.AuthAge == nil) != (r.AuthAge < 0) || want.AuthAge != nil && *want.AuthAge != r.AuthAge {
			t.Errorf("sampled %d, auth_age %d", r.Sampled, r.AuthAge)
		}
		var claims map[string]any
		decoder := json.NewDecoder(bytes.NewReader(want.Claims))
		decoder.UseNumber()
		if err := decoder.Decode(&claims); err != nil || !reflect.DeepEqual(claims, r.Claims()) {
			t.Errorf("claims are %v, encoding/json says %v, %v", r.Claims(), claims, err)
		}
	})
}

// exactly drops keys that only look like the gateway's: encoding/json compares without case.
func exactly(t *testing.T, line string) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	for name := range members {
		if keyed(name, 0) < 0 {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func same(t *testing.T, name string, want []*string, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s is %q", name, got)
	}
	for i := range want {
		if *want[i] != got[i] {
			t.Errorf("%s is %q, encoding/json says %q", name, got[i], *want[i])
		}
	}
}

// lines reads sources with some workers and returns the request ids by their place.
func lines(t *testing.T, jobs int, sources ...Source) (map[[2]int64]string, Counts) {
	t.Helper()
	found := make([]map[[2]int64]string, jobs)
	r := Reader{Jobs: jobs}
	counts, err := r.Read(t.Context(), sources, func(worker int, r *Record) {
		if found[worker] == nil {
			found[worker] = map[[2]int64]string{}
		}
		found[worker][[2]int64{int64(r.File), r.Line}] = strings.Clone(r.RequestID)
	})
	if err != nil {
		t.Fatal(err)
	}
	all := map[[2]int64]string{}
	for _, m := range found {
		for at, id := range m {
			all[at] = id
		}
	}
	return all, counts
}

func source(text string) Source { return Stream("log", strings.NewReader(text)) }

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whatever the number of workers and however a log is packed, each line is read once and keeps
// its number.
func TestEveryLineIsReadOnce(t *testing.T) {
	var log strings.Builder
	want := map[[2]int64]string{}
	for i := int64(1); log.Len() < 5*blockBytes; i++ {
		switch i % 10 {
		case 3:
			log.WriteString(`{"time":"x","level":"INFO","msg":"reloaded"}` + "\n")
		case 5:
			log.WriteString("\r\n")
		case 7:
			log.WriteString("goroutine 1 [running]:\n")
		default:
			id := fmt.Sprint("id-", i)
			want[[2]int64{0, i}], want[[2]int64{1, i}] = id, id
			log.WriteString(strings.Replace(good, "id-1", id, 1) + "\n")
		}
	}
	for jobs := 1; jobs <= 3; jobs++ {
		got, counts := lines(t, jobs, source(log.String()), source(packed(t, log.String())))
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%d workers: %d lines, want %d", jobs, len(got), len(want))
		}
		if counts.Decisions != int64(len(want)) || counts.Other == 0 || counts.Unreadable == 0 || counts.Truncated != 0 {
			t.Errorf("%d workers: %+v", jobs, counts)
		}
		if len(counts.Faults) != maxFaults || counts.Faults[4] != (Fault{0, 47, "not a JSON object"}) {
			t.Errorf("%d workers: %v", jobs, counts.Faults)
		}
	}
}

func TestLogsThatEndTooEarly(t *testing.T) {
	half := good + "\n" + good[:100]
	packedHalf := packed(t, strings.Repeat(good+"\n", 1000))
	for name, c := range map[string]struct {
		text string
		want Counts
	}{
		"nothing":                        {"", Counts{}},
		"a last line without a feed":     {good + "\n" + good, Counts{Lines: 2, Decisions: 2}},
		"a last line that is cut":        {half, Counts{Lines: 2, Decisions: 1, Truncated: 1}},
		"a cut line, packed":             {packed(t, half), Counts{Lines: 2, Decisions: 1, Truncated: 1}},
		"two packed logs after another":  {packed(t, good+"\n") + packed(t, good+"\n"), Counts{Lines: 2, Decisions: 2}},
		"packed data that is cut at all": {packedHalf[:20], Counts{Truncated: 1}},
	} {
		if _, got := lines(t, 1, source(c.text)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	broken := []byte(packed(t, strings.Repeat(good+"\n", 100)))
	broken[len(broken)-6] ^= 1 // the checksum
	for name, s := range map[string]Source{
		"a file that is not there":     File(t.TempDir() + "/none"),
		"a packed log with a fault":    source(string(broken)),
		"a head of gzip alone":         source("\x1f\x8b\x00"),
		"a line that is far too long":  source(strings.Repeat("x", 3*maxLine)),
		"one that is a line feed less": source(good + "\n" + strings.Repeat("x", 2*maxLine)),
	} {
		r := Reader{Jobs: 2}
		if _, err := r.Read(t.Context(), []Source{s}, func(int, *Record) {}); err == nil || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A log may be larger than the memory: blocks are read, given away and forgotten.
func TestALogOfAnySize(t *testing.T) {
	const times = 100_000
	var n, told int64
	r := Reader{Progress: func(bytes int64) { told = bytes }}
	_, err := r.Read(t.Context(), []Source{Stream("log", &repeated{text: good + "\n", times: times})}, func(int, *Record) { n++ })
	if err != nil || n != times || told != times*int64(len(good)+1) {
		t.Errorf("%d lines, %d bytes, %v", n, told, err)
	}
}

// A source that fails ends the reading, and so does a caller who has enough.
func TestReadingStops(t *testing.T) {
	stopped := errors.New("stopped")
	var r Reader
	if _, err := r.Read(t.Context(), []Source{Stream("log", failing{stopped})}, func(int, *Record) {}); !errors.Is(err, stopped) {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	endless := Stream("log", &repeated{text: good + "\n", times: math.MaxInt})
	if _, err := r.Read(ctx, []Source{endless}, func(int, *Record) { stop() }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// repeated is a text many times over.
type repeated struct {
	text  string
	times int
	at    int
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) && r.times > 0 {
		m := copy(p[n:], r.text[r.at:])
		n += m
		if r.at += m; r.at == len(r.text) {
			r.at, r.times = 0, r.times-1
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
