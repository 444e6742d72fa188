package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/sidecar"
	"github.com/scopegate/scopegate/gateway/token"
)

// target is the policy that a question is about, and where it was found by a gateway.yaml also
// the service, by whose issuers tokens are judged.
type target struct {
	policy  *policy.Policy
	config  *sidecar.Config
	service *sidecar.Service // nil without a gateway.yaml
}

// loadTarget reads a policy, or the one of the service that choose finds in a gateway.yaml.
func (a *app) loadTarget(file string, choose func(*sidecar.Config) (*sidecar.Service, error)) (*target, error) {
	src, err := readFile(file)
	if err != nil {
		return nil, err
	}
	if kindOf(file, src) != configFile {
		p, err := a.loadPolicy(file)
		return &target{policy: p}, err
	}
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file, Environ: a.environ})
	if cfg == nil {
		writeFindings(a.stderr, findings.Errors())
		return nil, fail(exitUsage, "the configuration "+file+" cannot be used", "")
	}
	s, err := choose(cfg)
	if err != nil {
		return nil, err
	}
	return &target{s.Policy, cfg, s}, nil
}

// byHost chooses a service as the gateway does.
func byHost(host string) func(*sidecar.Config) (*sidecar.Service, error) {
	return func(cfg *sidecar.Config) (*sidecar.Service, error) {
		canonical, ok := policy.CanonicalHost(host)
		if !ok {
			return nil, fail(exitUsage, fmt.Sprintf("--host %q is no host", host), "")
		}
		var services []*gate.Service
		for i := range cfg.Services {
			services = append(services, &gate.Service{Policy: cfg.Services[i].Policy, Hosts: cfg.Services[i].Hosts})
		}
		n, err := gate.NewSnapshot(services, nil, nil)
		if err != nil {
			return nil, err
		}
		found := n.Service(canonical)
		for i, s := range services {
			if s == found {
				return &cfg.Services[i], nil
			}
		}
		return nil, fail(exitUsage, fmt.Sprintf("no service takes the host %s: the gateway answers 404 no_route", host), "name one of these by --host: "+hostsOf(cfg))
	}
}

// byName chooses the service of a record.
func byName(name string) func(*sidecar.Config) (*sidecar.Service, error) {
	return func(cfg *sidecar.Config) (*sidecar.Service, error) {
		for i := range cfg.Services {
			if cfg.Services[i].Policy.Service() == name {
				return &cfg.Services[i], nil
			}
		}
		return nil, fail(exitUsage, fmt.Sprintf("%s has no service %s, which the record is about", cfg.Source.File, name), "")
	}
}

func hostsOf(cfg *sidecar.Config) string {
	var hosts []string
	for i := range cfg.Services {
		hosts = append(hosts, cfg.Services[i].Hosts...)
	}
	return or(strings.Join(hosts, ", "), "(none)")
}

// judge verifies a token as the target's gateway does, its kind, issuer and audience included.
// Without keys of its own it asks the issuers for theirs.
func (t *target) judge(ctx context.Context, raw string, keys []byte) (*token.Token, error) {
	cfg := token.Config{Issuers: append([]token.IssuerConfig(nil), t.config.Issuers...)}
	for i := range cfg.Issuers {
		cfg.Issuers[i].JWKS.File = "" // the running gateway's
		if keys != nil {
			cfg.Issuers[i].JWKSURI, cfg.Issuers[i].Inline = "", keys
		}
	}
	verifier, err := token.New(cfg, nil)
	if err != nil {
		return nil, fail(exitUsage, "the keys cannot be used: "+err.Error(), "")
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = verifier.Run(ctx) }()
	defer func() { stop(); <-ended }()
	return verifier.Verify(ctx, raw, &token.Acceptance{Issuers: t.service.Issuers, Audience: t.service.Audience})
}

// refusedBy tells a token that is not accepted from a command that failed.
func refusedBy(err error) error {
	var refused *token.Error
	if errors.As(err, &refused) {
		return &tokenRefused{string(refused.Reason), refused.Detail}
	}
	return err
}
