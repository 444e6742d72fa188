package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/probe"
)

// probeCmd asks a running service, past the gateway, how it reads paths. It exits with 1 when a
// spelling opens more than the policy means to, and with 2 when the service cannot be reached or
// tells nothing about any path.
type probeCmd struct {
	output
	Header  []string          `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"A header of every request, such as an identity that the service wants; repeatable."`
	Set     map[string]string `placeholder:"NAME=VALUE" help:"A value for {NAME} in paths, for which the service has something; ** for a tail; repeatable."`
	Post    bool              `help:"Also send POST requests, to see whether the service takes the method from a header or a form."`
	CA      string            `name:"ca" placeholder:"FILE" help:"PEM file of the authorities to trust for https."`
	Jobs    int               `default:"4" help:"Paths that are probed at a time."`
	Timeout time.Duration     `default:"5s" help:"Time for one request."`
	URL     string            `arg:"" name:"url" help:"Where the service listens, past the gateway: http://host:port, https://host:port, unix:/path."`
	File    string            `arg:"" help:"The policy."`
}

// probed is what probe --format json prints.
type probed struct {
	URL      string        `json:"url"`
	Policy   string        `json:"policy"`
	Requests int           `json:"requests"`
	Open     int           `json:"open"` // how many twins are bypasses
	Routes   []probedRoute `json:"routes"`
}

type probedRoute struct {
	Path   string       `json:"path"` // the template
	File   string       `json:"file"`
	Line   int          `json:"line"`
	Asked  string       `json:"asked"`
	Untold string       `json:"untold,omitempty"`
	Folds  []probedFold `json:"folds"`
}

type probedFold struct {
	Family  string    `json:"family"`
	Twin    string    `json:"twin"`    // the target, or the header
	Reading string    `json:"reading"` // same or redirect
	Open    bool      `json:"open"`
	Gateway string    `json:"gateway"` // what the gateway does with it
	Under   *routeRef `json:"under"`   // the route that judges the twin
	Strict  *ruleRef  `json:"strict,omitempty"`
	Weaker  *ruleRef  `json:"weaker,omitempty"`
}

type ruleRef struct {
	Method string `json:"method"`
	Line   int    `json:"line"`
	Needs  string `json:"needs"`
}

// Run probes the service with every path of the policy.
func (c *probeCmd) Run(a *app) error {
	p, err := a.loadPolicy(c.File)
	if err != nil {
		return err
	}
	trust, err := c.trust()
	if err != nil {
		return err
	}
	service, err := probe.NewService(c.URL, c.Header, trust, c.Timeout)
	if err != nil {
		return fail(exitUsage, err.Error(), "")
	}
	progress := a.progress("probed")
	report, err := probe.Run(a.ctx, p, service, probe.Options{Segments: c.Set, Post: c.Post, Jobs: c.Jobs, Progress: func(done, total int) { progress.at(int64(done), int64(total)) }})
	progress.end()
	if err != nil {
		return fail(exitUsage, fmt.Sprintf("probe %s: %v", c.URL, err), "name the service's own address, as upstream: in gateway.yaml does")
	}
	if c.json() {
		err = a.writeJSON(c.result(p, report))
	} else {
		c.print(a, report)
	}
	switch {
	case err != nil:
		return err
	case report.Open() > 0:
		return quietly(exitFailed)
	case !tellsAnything(report):
		return fail(exitUsage, "nothing can be told about any path", "give what the service needs: --header, --set")
	}
	return nil
}

// tellsAnything reports whether the service tells any path from none.
func tellsAnything(r *probe.Report) bool {
	for _, route := range r.Routes {
		if route.Untold == "" {
			return true
		}
	}
	return false
}

func (c *probeCmd) trust() (*tls.Config, error) {
	if c.CA == "" {
		return nil, nil
	}
	pem, err := readFile(c.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fail(exitUsage, "no certificate in "+c.CA, "it must be PEM")
	}
	return &tls.Config{RootCAs: roots}, nil
}

func (c *probeCmd) result(p *policy.Policy, r *probe.Report) probed {
	out := probed{URL: c.URL, Policy: p.Hash(), Requests: r.Requests, Open: r.Open(), Routes: []probedRoute{}}
	for _, route := range r.Routes {
		one := probedRoute{Path: route.Route.Template(), File: route.Route.File(), Line: route.Route.Line(),
			Asked: route.Path, Untold: route.Untold, Folds: []probedFold{}}
		for i := range route.Folds {
			f := &route.Folds[i]
			fold := probedFold{Family: string(f.Family), Twin: f.Target, Reading: string(f.Reading), Open: f.Open(),
				Gateway: doesWith(*f), Strict: refOf(f.Strict), Weaker: refOf(f.Weaker)}
			if f.Under != nil {
				fold.Under = &routeRef{Path: f.Under.Template(), File: f.Under.File(), Line: f.Under.Line()}
			}
			one.Folds = append(one.Folds, fold)
		}
		out.Routes = append(out.Routes, one)
	}
	return out
}

func refOf(r *policy.Rule) *ruleRef {
	if r == nil {
		return nil
	}
	return &ruleRef{r.Method(), r.Line(), r.Requirement()}
}

// doesWith says what the gateway does with a twin.
func doesWith(f probe.Fold) string {
	switch {
	case f.Open():
		return "lets it through for less"
	case f.Family == probe.RewriteHeader:
		return "removes the header"
	case f.Guard != 0:
		return "refuses it: " + f.Guard.String()
	case f.Refused != 0:
		return "refuses it: " + f.Refused.String()
	}
	return "asks for as much"
}
