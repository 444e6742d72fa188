package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The three words of the policy language that stand for a requirement.
const (
	wordPublic        = "public"
	wordAuthenticated = "authenticated"
	wordNobody        = "nobody"
)

// Options are what only a person can decide about a document.
type Options struct {
	// Service is the policy's name for the service.
	Service string
	// Prefix is the path before those of the document, "/" for none; nil takes it from `servers:`.
	Prefix *string
	// Unsecured is what operations need about which the document says nothing: nobody,
	// authenticated or public. "" is nobody.
	Unsecured string
	// Bearer names security schemes that are Bearer tokens although they are declared otherwise.
	Bearer []string
	// Widen writes a wider path where the language cannot say the document's.
	Widen bool

	// compare drafts what a policy is compared with: what is beyond the language is there for any
	// token, and the vocabulary is also the other policy's.
	compare    bool
	vocabulary []policy.Scope
}

// importer gathers the draft of one document.
type importer struct {
	doc          *Document
	options      Options
	base         string
	found        policy.Findings
	said         map[string]bool
	unsecured    int
	unfitSchemes map[string]int
	foreign      int // operations with servers of their own
	foreignAt    Place
	shapes       map[string]*route
	draft        *Draft
	uses         map[declare]Place
}

// Import drafts a policy. It fails, with [ErrUnusable], when the document names no path before its
// own ones, or several, and options do not say which; or when nothing is left to write.
func (d *Document) Import(options Options) (*Draft, error) {
	if options.Unsecured == "" {
		options.Unsecured = wordNobody
	}
	im := &importer{doc: d, options: options, said: map[string]bool{}, unfitSchemes: map[string]int{},
		shapes: map[string]*route{}, draft: &Draft{}, uses: map[declare]Place{}}
	if err := im.prefix(); err != nil {
		return nil, err
	}
	for _, o := range d.operations() {
		im.operation(o)
	}
	im.misspelled()
	return im.finish()
}

func (im *importer) prefix() (err error) {
	if im.options.Prefix == nil {
		im.base, err = im.doc.basePath()
		return err
	}
	im.base = strings.TrimSuffix(*im.options.Prefix, "/")
	if im.base != "" && !strings.HasPrefix(im.base, "/") {
		return fmt.Errorf("%w: the prefix %s does not begin with a slash", ErrUnusable, visible(im.base))
	}
	return nil
}

// operation writes one rule, or tells why there is none.
func (im *importer) operation(o operation) {
	im.draft.Operations++
	switch {
	case !served(o.method):
		im.leave(leftOut{o, o.method + " is never let through", ""}, idMethod, "")
		return
	case !policy.ValidMethod(o.method):
		im.leave(leftOut{o, visible(o.method) + " is no method that is let through", ""}, idMethod, "")
		return
	}
	t := translate(im.base+o.path, im.options.Widen)
	if t.text == "" {
		hint, wider := "write a route for it by hand", translate(im.base+o.path, true).text
		if wider != "" {
			hint = "--widen writes " + wider + ", which takes in every other word in that place"
		}
		im.leave(leftOut{o, t.fault, wider}, idPath, hint)
		return
	}
	if t.fault != "" {
		im.reportOnce(o.place, idPath, "see that the service refuses what the document does not mean", "%s: %s; %s is wider", o.path, t.fault, t.text)
	}
	if name := o.matrix(); name != "" {
		im.report(o.place, idMatrix, "where the service needs it, write accept: [semicolon] below "+t.text,
			"%s %s: the parameter %s is sent with a semicolon, which no request may have", o.method, o.path, name)
	}
	if len(o.ownServers()) > 0 {
		im.foreignServer(o)
	}
	im.add(t, o)
}

// leave reports an operation that becomes no rule: requests for it are refused.
func (im *importer) leave(o leftOut, id, hint string) {
	im.draft.LeftOut++
	im.draft.leftOut = append(im.draft.leftOut, o)
	im.report(o.place, id, hint, "%s %s is left out: %s", o.method, o.path, o.why)
}

func (im *importer) foreignServer(o operation) {
	if im.foreign == 0 {
		im.foreignAt = o.place
	}
	im.foreign++
}

// add puts an operation to its route. Two paths that match the same requests are one route.
func (im *importer) add(t template, o operation) {
	key := shape(t.text)
	r := im.shapes[key]
	if r == nil {
		r = &route{template: t.text, path: o.path, place: o.place}
		if t.fault != "" {
			r.notes = []string{"wider than " + o.path + ": " + t.fault}
		}
		im.shapes[key] = r
		im.draft.routes = append(im.draft.routes, r)
	}
	made := rule{o, im.secure(&o)}
	for _, use := range made.scopes {
		if _, known := im.uses[use]; !known {
			im.uses[use] = made.demand.place
		}
	}
	if o.path != r.path {
		im.reportOnce(o.place, idSameShape, "", "%s matches the same requests as %s at %s: they are one route", o.path, r.path, r.place)
	}
	for i := range r.rules {
		if r.rules[i].method == o.method {
			im.clash(&r.rules[i], made, r)
			return
		}
	}
	r.rules = append(r.rules, made)
}

// clash is two operations that answer the same requests: what they both ask for stands, and else
// nobody is let in.
func (im *importer) clash(first *rule, second rule, r *route) {
	if sameNeed(&first.need, &second.need) {
		first.unsaid = first.unsaid || second.unsaid
		return
	}
	im.report(second.operation.place, idSameShape, "decide what the rule "+first.method+" "+r.template+" needs",
		"%s %s and %s answer the same requests and ask for different things: the rule is closed", second.method, second.path, first.path)
	first.demand = demand{need: policy.Need{Word: wordNobody}, unsaid: true, place: first.demand.place,
		note: first.path + " and " + second.path + " ask for different things"}
}

func sameNeed(a, b *policy.Need) bool {
	covers := func(x, y [][]string) bool {
		return !slices.ContainsFunc(x, func(way []string) bool {
			return !slices.ContainsFunc(y, func(o []string) bool { return within(o, way) })
		})
	}
	return a.Word == b.Word && covers(a.Ways, b.Ways) && covers(b.Ways, a.Ways)
}

// reportOnce reports what may stand at many operations once for each place and text.
func (im *importer) reportOnce(at Place, id, hint, format string, args ...any) {
	key := at.String() + id + fmt.Sprintf(format, args...)
	if !im.said[key] {
		im.said[key] = true
		im.report(at, id, hint, format, args...)
	}
}
