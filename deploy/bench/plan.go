package main

import (
	"net/http"
	"slices"
)

// The proxies that can be measured, by the names of the table.
const (
	scopegate       = "scopegate"        // one line in 1,000 of the allowed requests is logged
	scopegateLog    = "scopegate-log"    // every line is
	scopegateRoutes = "scopegate-routes" // the large policy
	nginx           = "nginx"            // plain proxy, checks nothing
	haproxy         = "haproxy"          // plain proxy, checks nothing
	haproxyJWT      = "haproxy-jwt"      // signature, issuer, expiry and scope
	caddy           = "caddy"            // plain proxy for HTTP/2, checks nothing
)

// front is how a proxy is spoken to, and how it speaks to the service. Each has a process of
// its own.
type front string

const (
	plain     front = ""     // clear text; HTTP/1.1 to the service
	overTLS   front = "tls"  // TLS; HTTP/1.1 to the service
	grpcFront front = "grpc" // clear text; HTTP/2 in clear text to the service
)

// allProxies are those names, in the order of the documentation.
var allProxies = []string{scopegate, scopegateLog, scopegateRoutes, nginx, haproxy, haproxyJWT, caddy}

// baselines are what others are divided by, in the table's order. The gateway is one for
// its own variants.
var baselines = []string{nginx, haproxy, haproxyJWT, caddy, scopegate}

// workload is one kind of traffic.
type workload struct {
	name, what  string
	proxies     []string
	front       front
	connections int
	streams     int // under way at once on each connection, which is HTTP/2; 0: HTTP/1.1
	rate        int // requests a second, open loop; 0: as fast as answers come
	tokens      kind
	body        int  // bytes of the request and of the answer; 0: GET and a short answer
	everyRoute  bool // ask for each of the policy's routes in turn
	anew        bool // in a new process for each measurement: it is about memory
	idle        bool // no traffic: what an open connection costs
	status      int  // the only right answer
}

// kind is which tokens a workload sends; the name of the file that holds them.
type kind string

const (
	noToken    kind = ""
	oneToken   kind = "one"
	manyTokens kind = "many"
	newTokens  kind = "new"  // each is sent once to each proxy
	weakToken  kind = "weak" // good, but without the scope
)

var (
	everyone = []string{scopegate, nginx, haproxy, haproxyJWT}
	checkers = []string{scopegate, haproxyJWT}
	speakers = []string{scopegate, caddy} // of HTTP/2
)

var workloads = []workload{
	{name: "one", what: "one token, 64 connections", proxies: slices.Insert(slices.Clone(everyone), 1, scopegateLog), connections: 64, tokens: oneToken, status: 200},
	{name: "many", what: "10,000 tokens in turn, 64 connections", proxies: everyone, connections: 64, tokens: manyTokens, status: 200},
	{name: "new", what: "every token new, 64 connections", proxies: checkers, connections: 64, tokens: newTokens, status: 200},
	{name: "refused", what: "a good token without the scope", proxies: checkers, connections: 64, tokens: weakToken, status: http.StatusForbidden},
	{name: "none", what: "no token", proxies: checkers, connections: 64, tokens: noToken, status: http.StatusUnauthorized},
	{name: "body-10k", what: "POST of 10 KB, answered with 10 KB", proxies: everyone, connections: 64, tokens: oneToken, body: 10 << 10, status: 200},
	{name: "body-1m", what: "POST of 1 MB, answered with 1 MB", proxies: everyone, connections: 16, tokens: oneToken, body: 1 << 20, status: 200},
	{name: "conns-1", what: "one token, 1 connection", proxies: everyone, connections: 1, tokens: oneToken, status: 200},
	{name: "conns-1000", what: "one token, 1,000 connections", proxies: everyone, connections: 1000, tokens: oneToken, status: 200},
	{name: "routes", what: "each route in turn, of 10 or 10,000", proxies: []string{scopegate, scopegateRoutes}, connections: 64, tokens: oneToken, everyRoute: true, status: 200},
	{name: "rate", what: "one token, 2,000 requests a second", proxies: everyone, connections: 64, rate: 2000, tokens: oneToken, status: 200},
	{name: "h2", what: "HTTP/2 in clear text, 8 connections with 8 streams", proxies: speakers, connections: 8, streams: 8, tokens: oneToken, status: 200},
	{name: "h2-tls", what: "HTTP/2 over TLS, 8 connections with 8 streams", proxies: speakers, front: overTLS, connections: 8, streams: 8, tokens: oneToken, status: 200},
	{name: "grpc", what: "gRPC unary calls of 100 bytes, 8 connections with 8 streams", proxies: speakers, front: grpcFront, connections: 8, streams: 8, tokens: oneToken, status: 200},
	{name: "memory", what: "memory after 10,000 tokens in turn", proxies: everyone, connections: 64, tokens: manyTokens, anew: true, status: 200},
	{name: "idle", what: "memory of an idle connection, of 1,000", proxies: everyone, tokens: oneToken, anew: true, idle: true, status: 200},
}

// find returns the workload of that name, or nil.
func find(name string) *workload {
	for i := range workloads {
		if workloads[i].name == name {
			return &workloads[i]
		}
	}
	return nil
}

// target is a figure that the design of the data path asks for.
type target struct {
	workload, proxy string
	metric          string
	against         string // baseline of a ratio; empty: the figure itself
	bound           float64
	least           bool // the bound is a lower one
}

var targets = []target{
	{"one", scopegate, cpuMetric, nginx, 1.05, false},
	{"many", scopegate, cpuMetric, nginx, 1.05, false},
	{"one", scopegate, cpuMetric, haproxyJWT, 0.35, false},
	{"many", scopegate, cpuMetric, haproxyJWT, 0.35, false},
	{"refused", scopegate, cpuMetric, haproxyJWT, 0.20, false},
	{"new", scopegate, cpuMetric, haproxyJWT, 1.05, false},
	{"rate", scopegate, p99Metric, nginx, 1.5, false},
	{"conns-1", scopegate, rateMetric, nginx, 0.95, true},
	{"one", scopegate, rateMetric, nginx, 0.95, true},
	{"conns-1000", scopegate, rateMetric, nginx, 0.95, true},
	{"routes", scopegateRoutes, cpuMetric, scopegate, 1.03, false},
	{"h2", scopegate, cpuMetric, caddy, 0.9, false},
	{"h2-tls", scopegate, cpuMetric, caddy, 0.9, false},
	{"grpc", scopegate, cpuMetric, caddy, 0.9, false},
	{"memory", scopegate, memoryMetric, "", 40, false},
	{"idle", scopegate, idleMetric, "", 8, false},
}
