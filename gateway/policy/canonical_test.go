package policy

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// A dialect is the way in which some server, framework or file system behind the gateway gets
// from a path to segments. Each is lenient in its own way.
type dialect struct {
	name string
	read func(path string) string // the path as it is routed on, decoded, from its slash on
}

var dialects = []dialect{
	{"net/url and ServeMux: decode, clean", func(p string) string { return cleanPath(decodeOnce(p)) }},
	{"ServeMux on the escaped path: clean, decode", func(p string) string { return decodeOnce(cleanPath(p)) }},
	{"Tomcat: drop parameters, decode, clean", func(p string) string { return cleanPath(decodeOnce(dropParameters(p))) }},
	{"Jetty: decode, drop parameters, clean", func(p string) string { return cleanPath(dropParameters(decodeOnce(p))) }},
	{"Spring: drop from the first semicolon on", func(p string) string { p, _, _ = strings.Cut(decodeOnce(p), ";"); return cleanPath(p) }},
	{"nginx: decode, merge slashes, resolve dots", func(p string) string { return cleanPath(mergeSlashes(decodeOnce(p))) }},
	{"IIS: decode %u and %XX, turn backslashes, clean", func(p string) string { return cleanPath(turnBackslashes(decodeOnce(decodeU(p)))) }},
	{"IIS of 2001: clean, decode twice, turn backslashes", func(p string) string { return cleanPath(turnBackslashes(decodeOnce(decodeOnce(cleanPath(p))))) }},
	{"PHP behind a decoding proxy: decode twice, merge", func(p string) string { return cleanPath(mergeSlashes(decodeOnce(decodeOnce(p)))) }},
	{"Tomcat behind a decoding proxy", func(p string) string { return cleanPath(dropParameters(decodeOnce(dropParameters(decodeOnce(p))))) }},
	{"C: decode, cut at NUL", func(p string) string { p, _, _ = strings.Cut(decodeOnce(p), "\x00"); return cleanPath(p) }},
	{"log injection filter: decode, drop controls, clean", func(p string) string { return cleanPath(dropControls(decodeOnce(p))) }},
	{"browser: cut the fragment, drop tabs and line breaks, turn backslashes", func(p string) string {
		p, _, _ = strings.Cut(p, "#")
		p = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(p)
		return decodeOnce(cleanPath(turnBackslashes(p)))
	}},
	{"old UTF-8 decoder: decode, overlong forms included, clean", func(p string) string { return cleanPath(overlong(decodeOnce(p))) }},
	{"normalising framework: decode, NFKC, turn backslashes, clean", func(p string) string {
		return cleanPath(turnBackslashes(norm.NFKC.String(decodeOnce(p))))
	}},
	{"RFC 3986 section 5.2.4 on the raw path", func(p string) string { return decodeOnce(cleanPath(p)) }},
}

func decodeOnce(s string) string { return string(appendDecoded(nil, s)) }

// cleanPath resolves dots and merges slashes, and keeps a trailing slash.
func cleanPath(p string) string {
	c := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

func mergeSlashes(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

func turnBackslashes(p string) string { return strings.ReplaceAll(p, `\`, "/") }

func dropParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func dropControls(p string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7F && r <= 0x9F {
			return -1
		}
		return r
	}, p)
}

// decodeU decodes the %uXXXX of IIS and of JavaScript's escape.
func decodeU(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], "%u") && i+6 <= len(s) {
			hi, ok1 := triplet("%" + s[i+2:i+4])
			lo, ok2 := triplet("%" + s[i+4:i+6])
			if ok1 && ok2 {
				b.WriteRune(rune(hi)<<8 | rune(lo))
				i += 5
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// overlong reads two-byte forms of ASCII, as decoders did before RFC 3629.
func overlong(s string) string {
	b := []byte(nil)
	for i := 0; i < len(s); i++ {
		if (s[i] == 0xC0 || s[i] == 0xC1) && i+1 < len(s) {
			b = append(b, s[i]&1<<6|s[i+1]&0x3F)
			i++
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// judgedSegments is how the policy reads a canonical path.
func judgedSegments(canonical string) []string {
	segments := strings.Split(canonical[1:], "/")
	for i, s := range segments {
		segments[i] = decodeSegment(s)
	}
	return segments
}

// checkOneReading holds the promises of the canonical form against one target.
func checkOneReading(t interface {
	Helper()
	Errorf(string, ...any)
}, target string) {
	t.Helper()
	req, err := NewRequest(requestFor(target))
	if err != nil {
		return
	}
	again, err := NewRequest(requestFor(req.Path))
	if err != nil || again.Path != req.Path || again.Broken != req.Broken {
		t.Errorf("%q: the canonical form %q is no fixed point: %q, breaks %s, %v", target, req.Path, again.Path, again.Broken, err)
	}
	sent, _, _ := strings.Cut(originOf(target), "?")
	if decodeOnce(req.Path) != decodeOnce(sent) {
		t.Errorf("%q: the canonical form %q decodes otherwise", target, req.Path)
	}
	if req.Broken == 0 {
		checkReaders(t.Errorf, req.Path)
		return
	}
	if req.Broken&^Waivable == 0 {
		checkNobodyClimbs(t.Errorf, req.Path)
	}
}

// originOf drops an absolute-form target's scheme and authority.
func originOf(target string) string {
	rest, ok := cutScheme(target)
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		return "/"
	}
	if rest[i] == '?' {
		return "/" + rest[i:]
	}
	return rest[i:]
}

// checkReaders wants every reader to find the segments that were judged.
func checkReaders(errorf func(string, ...any), canonical string) {
	segments := judgedSegments(canonical)
	want := "/" + strings.Join(segments, "/")
	for _, s := range segments {
		if strings.ContainsAny(s, `/\;`) {
			errorf("%q: the segment %q holds a separator", canonical, s)
		}
	}
	for _, r := range dialects {
		got := r.read(canonical)
		if got != want && norm.NFKC.String(got) != norm.NFKC.String(want) {
			errorf("%q: %s reads %q, judged was %q", canonical, r.name, got, want)
		}
	}
}

// checkNobodyClimbs wants that no reader meets a dot segment or a host at the start, whatever
// exceptions a route may have.
func checkNobodyClimbs(errorf func(string, ...any), canonical string) {
	once := decodeOnce(canonical)
	for _, p := range []string{
		canonical, once, decodeOnce(once),
		dropParameters(canonical), dropParameters(once), dropParameters(turnBackslashes(once)),
		dropParameters(turnBackslashes(decodeOnce(once))), decodeOnce(dropParameters(canonical)), decodeOnce(decodeOnce(dropParameters(canonical))),
	} {
		if strings.HasPrefix(turnBackslashes(p), "//") {
			errorf("%q: read as %q it begins with a host", canonical, p)
		}
		for _, s := range strings.Split(turnBackslashes(p), "/") {
			if s == "." || s == ".." {
				errorf("%q: read as %q it climbs", canonical, p)
			}
		}
	}
}

func FuzzOneReading(f *testing.F) {
	for _, seed := range []string{
		"/billing/", "/a/%2e%2e/b", "/a;x/../b", "/a%252f..%252f", "//x", "/%5c%2f;", "/caf%c3%a9?x=%", "/a%EF%BC%8F", "http://gateway.example?a",
		"/a\\..\\b", "/;x/y", "/%3b", "/a%25%32%65", "/%00", "/a#b", "/a//b/./c", `/"<>`, "/%u002e",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) { checkOneReading(t, target) })
}

// Random bytes seldom form a path that means something; these pieces do.
var troublesome = []string{
	"a", "b", "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", `\`, ";", "%3b", "%25", "%252e", "%252F", "%2525", "%255c", "%253B",
	"2", "e", "f", "5", "c", "%32", "%65", "%", "%00", "%0a", "%7F", "%c2%85", "%e2%80%a8", "%ef%bc%8f", "%ef%bc%8e", "%c3%a9", "%c0%af", "%e9",
	"#", "?", " ", "~", "%7e", "!", `"`, "%20", "//", "/./", "/../", "..;", "..%2f", "é", "\x01",
}

func TestOneReadingOfPathsMadeOfTroublesomePieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkOneReading(t, "/"+strings.Join(rapid.SliceOfN(rapid.SampledFrom(troublesome), 0, 12).Draw(t, "pieces"), ""))
	})
}

func TestTargetsThatDecodeAlikeAreSpelledAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(/[a-z0-9 "%?#é€.~!*]{1,6}x){1,4}/?`).Draw(t, "text")
		spell := func(name string) string {
			var b []byte
			for _, c := range []byte(text) {
				switch {
				case c == '/', pathOctet[c] == octetPlain && !rapid.Bool().Draw(t, name):
					b = append(b, c)
				case rapid.Bool().Draw(t, name):
					b = append(b, strings.ToLower(string(appendTriplet(nil, c)))...)
				default:
					b = appendTriplet(b, c)
				}
			}
			return string(b)
		}
		one, err1 := NewRequest(requestFor(spell("one")))
		two, err2 := NewRequest(requestFor(spell("two")))
		if (err1 == nil) != (err2 == nil) || one.Path != two.Path || one.Broken != two.Broken {
			t.Errorf("%q: %q %v, %q %v", text, one.Path, err1, two.Path, err2)
		}
	})
}

func TestASegmentIsSpelledInOneWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9 "?#é€~!*:@]{0,8}x`).Draw(t, "text")
		encoded := encodeSegment(text)
		if got := decodeSegment(encoded); got != text {
			t.Errorf("%q is encoded as %q, which is %q", text, encoded, got)
		}
		req, err := NewRequest(requestFor("/" + encoded))
		if err != nil || req.Path != "/"+encoded || req.Broken != 0 {
			t.Errorf("%q is encoded as %q, and the guard says %q, %s, %v", text, encoded, req.Path, req.Broken, err)
		}
	})
}

func TestASegmentKnowsItsExceptions(t *testing.T) {
	for segment, want := range map[string]bool{
		"": false, "a": false, "caf%C3%A9": false, "100%25": false, "100%25a": false, "a%20b": false, "%25%20": false,
		"a%2Fb": true, "a%2fb": true, "a;b": true, "a%3Bb": true, `a\b`: true, "a%5cb": true, "a%252Fb": true, "%2541": true,
	} {
		if got := exceptionIn(segment); got != want {
			t.Errorf("%q: %v, want %v", segment, got, want)
		}
	}
}

// Every character of Unicode, against the whole normalisation and not our shortcut.
func TestCompatibilityCharactersAreExactlyThoseThatNormaliseToSyntax(t *testing.T) {
	for r := rune(0x80); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		want := strings.ContainsAny(norm.NFKC.String(string(r)), `/\.;%?#`)
		if got := compatible([]byte(string(r))); got != want {
			t.Errorf("%U: %v, want %v", r, got, want)
		}
	}
}

func TestACanonicalRequestCostsNoAllocation(t *testing.T) {
	for _, target := range []string{
		"/billing/", "/billing/acme/invoices/7?page=2&access=x", "/.well-known/jwks.json", "/caf%C3%A9/a%20b", "/a//b;c%2Fd", "/a/../b", "/a#b",
	} {
		in := requestFor(target)
		if n := testing.AllocsPerRun(100, func() { _, _ = NewRequest(in) }); n != 0 {
			t.Errorf("%s: %v allocations", target, n)
		}
	}
}

func BenchmarkNewRequest(b *testing.B) {
	for _, target := range []string{"/billing/", "/billing/acme/invoices/7?page=2&size=50", "/caf%C3%A9/", "/a/../b"} {
		b.Run(target, func(b *testing.B) {
			in := requestFor(target)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = NewRequest(in)
			}
		})
	}
}
