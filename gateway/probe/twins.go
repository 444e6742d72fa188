package probe

import (
	"slices"
	"strings"
)

// Family is a kind of twin. Where the ambiguity guard has a rule for it the two
// share their name.
type Family string

// The families, with what a service does that folds them.
const (
	Case             Family = "case"
	TrailingSlash    Family = "trailing_slash"
	EmptySegment     Family = "empty_segment"
	DotSegment       Family = "dot_segment"
	EncodedSlash     Family = "encoded_slash"
	EncodedBackslash Family = "encoded_backslash"
	Semicolon        Family = "semicolon"
	DoubleEncoding   Family = "double_encoding"
	EncodedControl   Family = "encoded_control"
	Fragment         Family = "fragment"
	EncodedSeparator Family = "encoded_separator"
	BadPercent       Family = "bad_percent"
	BadUTF8          Family = "bad_utf8"
	CompatChar       Family = "compat_char"
	UnicodeFold      Family = "unicode_fold"
	Trailing         Family = "trailing_character"
	Suffix           Family = "suffix"
	ExtraPath        Family = "extra_path"
	RewriteHeader    Family = "rewrite_header"
	OverrideHeader   Family = "method_override"
	FormMethod       Family = "form_method"
)

var abouts = []struct {
	family Family
	about  string
}{
	{Case, "letters of the other case"},
	{TrailingSlash, "a slash more or less at the end"},
	{EmptySegment, "slashes merged"},
	{DotSegment, ". and .. resolved, in some spelling"},
	{EncodedSlash, "%2F taken for a slash"},
	{EncodedBackslash, "a backslash taken for a slash"},
	{Semicolon, "what follows a semicolon dropped"},
	{DoubleEncoding, "percent-encoding decoded twice"},
	{EncodedControl, "the path cut at a control, or the control dropped"},
	{Fragment, "the path cut at #"},
	{EncodedSeparator, "the path cut at %3F or %23"},
	{BadPercent, "broken percent-encoding repaired or dropped"},
	{BadUTF8, "overlong UTF-8 decoded"},
	{CompatChar, "characters like ／ taken for separators"},
	{UnicodeFold, "other characters taken for ASCII letters"},
	{Trailing, "a dot or a space at the end dropped"},
	{Suffix, "a file name's ending dropped"},
	{ExtraPath, "what follows the path ignored"},
	{RewriteHeader, "the path taken from a header"},
	{OverrideHeader, "the method taken from a header"},
	{FormMethod, "the method taken from a form's _method"},
}

// About says in a few words what a service does that folds the family.
func (f Family) About() string {
	for _, a := range abouts {
		if a.family == f {
			return a.about
		}
	}
	return ""
}

// Twin is another spelling of a path, as a request-target.
type Twin struct {
	Family Family
	Target string
}

// Twins lists the spellings that some server is known to take for a canonical
// path, without repetition, in a fixed order. The path itself is not among them.
func Twins(path string) []Twin {
	w := &writer{path: path, seen: map[string]bool{path: true}}
	w.letters()
	w.slashes()
	w.dots()
	w.inside()
	w.atTheEnd()
	return w.twins
}

type writer struct {
	path  string
	seen  map[string]bool
	twins []Twin
}

func (w *writer) add(f Family, targets ...string) {
	for _, target := range targets {
		if !w.seen[target] {
			w.seen[target] = true
			w.twins = append(w.twins, Twin{f, target})
		}
	}
}

// letters are twins of the path's first letter or of all of them.
func (w *writer) letters() {
	if !strings.Contains(w.path, "%") { // whose digits are no letters of the path
		w.add(Case, strings.ToUpper(w.path), strings.ToLower(w.path))
	}
	at := strings.IndexFunc(w.path, func(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' })
	if at < 0 || at > 0 && w.path[at-1] != '/' {
		return
	}
	c, before, after := w.path[at], w.path[:at], w.path[at+1:]
	with := func(s string) string { return before + s + after }
	w.add(Case, with(string(c^0x20)))
	w.add(DoubleEncoding, with("%25"+hex(c)))
	w.add(BadPercent, with("%u00"+hex(c)), with("%"+string(c)))
	if c >= 'a' && c <= 'z' {
		w.add(UnicodeFold, with("%EF%BD%"+hex(c-'a'+0x81))) // the full-width letter
	}
	for _, f := range [][2]string{{"k", "%E2%84%AA"}, {"s", "%C5%BF"}} { // KELVIN SIGN, LONG S
		if twin := strings.Replace(w.path, f[0], f[1], 1); twin != w.path {
			w.add(UnicodeFold, twin)
		}
	}
}

const hexDigits = "0123456789ABCDEF"

func hex(c byte) string { return string([]byte{hexDigits[c>>4], hexDigits[c&15]}) }

// slashes are twins of each slash but the first, and of the one at the end.
func (w *writer) slashes() {
	if cut, ok := strings.CutSuffix(w.path, "/"); ok && cut != "" {
		w.add(TrailingSlash, cut)
	} else if !ok {
		w.add(TrailingSlash, w.path+"/")
	}
	w.add(EmptySegment, "/"+w.path, strings.TrimSuffix(w.path, "/")+"//")
	w.add(EncodedSlash, "/%2F"+w.path[1:])
	w.add(EncodedBackslash, `/\`+w.path[1:])
	for i := 1; i < len(w.path); i++ {
		if w.path[i] != '/' {
			continue
		}
		with := func(s string) string { return w.path[:i] + s + w.path[i+1:] }
		w.add(EmptySegment, with("//"))
		w.add(EncodedSlash, with("%2F"), with("%2f"))
		w.add(EncodedBackslash, with(`\`), with("%5C"))
		w.add(DoubleEncoding, with("%252F"))
		w.add(BadUTF8, with("%C0%AF"))
		w.add(CompatChar, with("%EF%BC%8F"))
	}
}

// dots go into a folder and out again.
func (w *writer) dots() {
	for _, dots := range []string{"/.", "/x/..", "/%2e", "/x/%2e%2e", "/x/.%2E"} {
		w.add(DotSegment, dots+w.path)
	}
	w.add(DotSegment, strings.TrimSuffix(w.path, "/")+"/.", strings.TrimSuffix(w.path, "/")+"/x/..")
	w.add(EncodedSlash, "/x%2F.."+w.path)
	w.add(EncodedBackslash, `/x\..`+w.path, "/x%5C.."+w.path)
	w.add(Semicolon, "/x/..;"+w.path, "/.;x"+w.path)
	w.add(DoubleEncoding, "/%252e"+w.path, "/x/%252e%252e"+w.path)
	w.add(BadUTF8, "/%C0%AE"+w.path)
	w.add(CompatChar, "/%EF%BC%8E"+w.path)
}

// inside are twins with something before the last slash.
func (w *writer) inside() {
	w.add(Semicolon, "/;x"+w.path)
	if i := strings.LastIndexByte(w.path, '/'); i > 0 {
		w.add(Semicolon, w.path[:i]+";x=y"+w.path[i:])
	}
}

// atTheEnd are twins with something behind the path.
func (w *writer) atTheEnd() {
	end := func(f Family, ends ...string) {
		for _, s := range ends {
			w.add(f, w.path+s)
		}
	}
	end(Semicolon, ";", ";x=y", "%3Bx=y")
	end(EncodedControl, "%00", "%00.json", "%0A", "%0D%0A", "%09")
	end(Fragment, "#x")
	end(EncodedSeparator, "%3Fx", "%23x")
	end(BadPercent, "%", "%zz")
	end(Trailing, ".", "%20", "%C2%A0")
	end(Suffix, ".json", ".html")
	if bare, ok := strings.CutSuffix(w.path, "/"); ok && bare != "" {
		w.add(Suffix, bare+".json", bare+".html")
	}
	w.add(ExtraPath, strings.TrimSuffix(w.path, "/")+"/x.css")
}

// families lists the families in the order of their table.
func families() []Family {
	var all []Family
	for _, a := range abouts {
		all = append(all, a.family)
	}
	return all
}

// compareFamilies orders by that table.
func compareFamilies(a, b Family) int {
	all := families()
	return slices.Index(all, a) - slices.Index(all, b)
}
