package openapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// operation is one method of one path, as the document says it.
type operation struct {
	method, path string // the path without its base
	item         *openapi3.PathItem
	op           *openapi3.Operation
	place        Place
}

// operations lists what the paths have, in the order of the document. (Webhooks and callbacks are
// requests of the service, not to it.)
func (d *Document) operations() []operation {
	var out []operation
	for path, item := range d.tree.Paths.Map() {
		if item == nil {
			continue
		}
		where, _ := d.field(d.tree.Paths.Origin, path)
		for method, op := range item.Operations() {
			o := operation{method: method, path: path, item: item, op: op, place: where}
			if op.Origin != nil && op.Origin.Key != nil {
				o.place = d.at(*op.Origin.Key)
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b operation) int {
		return cmp.Or(d.order(a.place.File, b.place.File), cmp.Compare(a.place.Line, b.place.Line),
			cmp.Compare(a.place.Column, b.place.Column), cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
	})
	return out
}

// order puts the document before the files that it refers to.
func (d *Document) order(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == d.file:
		return -1
	case b == d.file:
		return 1
	}
	return cmp.Compare(a, b)
}

// misspelled reports keys below a path by which somebody may have meant an operation: the library
// passes over them, so that no rule would be written and nobody would know.
func (im *importer) misspelled() {
	for path, item := range im.doc.tree.Paths.Map() {
		if item == nil {
			continue
		}
		for key := range item.Extensions {
			if strings.HasPrefix(key, "x-") || !slices.Contains(openapi3.PathItemMethods(), strings.ToUpper(key)) {
				continue
			}
			where, _ := im.doc.field(item.Origin, key)
			im.report(where, idMethod, "write "+strings.ToLower(key), "%s below %s is no operation: methods are in lower case", key, path)
		}
	}
}

// matrix names a parameter of the path that is sent with semicolons.
func (o *operation) matrix() string {
	for _, p := range slices.Concat(o.op.Parameters, o.item.Parameters) {
		if p != nil && p.Value != nil && p.Value.In == openapi3.ParameterInPath && p.Value.Style == openapi3.SerializationMatrix {
			return p.Value.Name
		}
	}
	return ""
}

// ownServers are the servers of the operation or of its path, which take the place of the
// document's.
func (o *operation) ownServers() openapi3.Servers {
	if o.op.Servers != nil && len(*o.op.Servers) > 0 {
		return *o.op.Servers
	}
	return o.item.Servers
}

// served reports whether any gateway lets the method through.
func served(method string) bool {
	return method != http.MethodTrace && method != http.MethodConnect
}
