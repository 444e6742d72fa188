package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxBases bounds what the variables of a server may multiply to.
const maxBases = 100

// basePath is the path before those of the document: the one that all its servers share. It is ""
// for none.
func (d *Document) basePath() (string, error) {
	bases, err := basePaths(d.tree.Servers)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w; name the path by --prefix, / for none", ErrUnusable, d.file, err)
	}
	if len(bases) > 1 {
		return "", fmt.Errorf("%w: %s: its servers have several base paths: %s; name the one that clients send to this gateway by --prefix, / for none",
			ErrUnusable, d.file, strings.Join(bases, ", "))
	}
	return strings.TrimSuffix(bases[0], "/"), nil
}

// basePaths lists the different paths of servers, at least one.
func basePaths(servers openapi3.Servers) ([]string, error) {
	var out []string
	for _, server := range servers {
		if server == nil {
			continue
		}
		addresses, err := addresses(server)
		if err != nil {
			return nil, err
		}
		for _, address := range addresses {
			base, err := pathOf(address)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(out, base) {
				out = append(out, base)
			}
		}
	}
	if out == nil {
		return []string{"/"}, nil // OpenAPI's own default
	}
	return out, nil
}

// addresses fills a server's variables in, with each of their values.
func addresses(server *openapi3.Server) ([]string, error) {
	out := []string{server.URL}
	for name, variable := range server.Variables {
		if variable == nil || !strings.Contains(server.URL, "{"+name+"}") {
			continue
		}
		values := variable.Enum
		if len(values) == 0 {
			values = []string{variable.Default}
		}
		if len(out)*len(values) > maxBases {
			return nil, fmt.Errorf("the variables of the server %s have too many values", visible(server.URL))
		}
		var filled []string
		for _, address := range out {
			for _, value := range values {
				filled = append(filled, strings.ReplaceAll(address, "{"+name+"}", value))
			}
		}
		out = filled
	}
	slices.Sort(out)
	return out, nil
}

// pathOf takes the path out of a server's address, which may be relative to wherever the document
// is served from.
func pathOf(address string) (string, error) {
	rest, absolute := address, false
	if _, after, found := strings.Cut(address, "://"); found {
		rest, absolute = after, true
	} else if after, found := strings.CutPrefix(address, "//"); found {
		rest, absolute = after, true
	}
	if absolute {
		_, path, found := strings.Cut(rest, "/")
		if !found {
			return "/", nil
		}
		rest = "/" + path
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	if !strings.HasPrefix(rest, "/") {
		return "", fmt.Errorf("the server %s is relative to where the document is served", visible(address))
	}
	if strings.ContainsAny(rest, "{}") {
		return "", fmt.Errorf("the server %s has a variable in its path that it does not say the values of", visible(address))
	}
	if len(rest) > 1 {
		rest = strings.TrimSuffix(rest, "/")
	}
	return rest, nil
}
