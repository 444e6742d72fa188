package sidecar

import (
	"net/netip"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// Config is a whole configuration that can be served: gateway.yaml with flags, environment
// and defaults applied, and every file that it names read and checked. [LoadConfig] makes
// it; it is not changed afterwards.
type Config struct {
	// Source is where the configuration came from, and is read again for a reload.
	Source Source
	// Warnings are findings that do not prevent serving.
	Warnings policy.Findings

	Listen, Admin  string // addresses for the caller to listen on: host:port or unix:/path
	Issuers        []token.IssuerConfig
	Services       []Service
	Limits         Limits
	Standard       bool         // lane: standard, net/http reads HTTP/1 as well
	TLS            *ListenerTLS // nil: plain text
	TrustedProxies []netip.Prefix
	TokenCache     int           // verified tokens remembered; 0: none
	DrainDelay     time.Duration // listener stays open this long after a drain began
	DrainTimeout   time.Duration // then work in flight may take this long
	ReadyAny       bool          // ready once any issuer had keys, not all
	Log            Log
	Pprof          bool
	HoldWidening   bool   // reload: {widening: hold}
	Takeover       string // path of the socket at which a new process takes over; "": none can
	ExplainKey     string // the sealing key as its file has it, already checked; "": none

	files *fileSet // what was read, for telling whether anything changed
}

// Limits bound the data port as a whole.
type Limits struct {
	Connections int // at once
	PerAddress  int // at once from one client address
}

// Log says how log lines are written.
type Log struct {
	Format        string // auto, json or text; auto is text on a terminal
	SampleAllowed int    // every n-th line of an allowed request is written
}

// Service is one protected service.
type Service struct {
	Policy       *policy.Policy
	PolicyFile   string // as it is opened
	PolicyText   []byte // what it held
	Candidate    Candidate
	Hosts        []string // lower case, without port; empty: any
	Issuers      []string // nil: every configured issuer
	Audience     *token.Audience
	Upstream     Upstream
	UpstreamHost string // Host to send; "" is the client's
	Explain      gate.Explain
	HideRoutes   bool
	IdentityMax  int64 // bytes
	ForwardToken bool
	ClaimHeaders []gate.ClaimHeader // in the order of the file
	KeepHeaders  []string
	CORS         *gate.CORS     // nil: the service's own answers to browsers stay as they are
	Metadata     *gate.Metadata // nil: the gateway publishes none
	Limits       ServiceLimits
	Timeouts     Timeouts
}

// Candidate is a service's next policy, which is evaluated beside the one that is served and
// never obeyed.
type Candidate struct {
	File   string          // as it is opened; "": none is configured
	Policy *policy.Policy  // nil: the file has faults, or is not there
	Absent bool            // the file is not there
	Faults policy.Findings // why there is no Policy
}

// Upstream is where a service listens.
type Upstream struct {
	Scheme  string       // http, https, h2c or unix
	Address string       // host:port, or a socket's path
	Host    string       // what the address calls itself, for the Host header
	TLS     upstream.TLS // already checked
}

// String is the upstream as it may be written in gateway.yaml.
func (u Upstream) String() string {
	if u.Scheme == "unix" {
		return "unix:" + u.Address
	}
	return u.Scheme + "://" + u.Address
}

// ListenerTLS holds the PEM texts of the data port, already checked.
type ListenerTLS struct {
	Cert, Key, ClientCA string
}

// ServiceLimits bound one service.
type ServiceLimits struct {
	Head, Body  int64 // bytes; Body 0: no bound
	Connections int   // towards the service
	InFlight    int   // requests at once
}

// Timeouts bound the steps of one request.
type Timeouts struct {
	Head       time.Duration // reading a request's head
	BodyIdle   time.Duration // between two reads of its body
	Upstream   time.Duration // until the service's response head
	Idle       time.Duration // a kept-alive connection without a request
	WriteIdle  time.Duration // between two writes to a slow reader
	TunnelIdle time.Duration // a tunnel on which nothing moves
	TunnelMax  time.Duration // a tunnel on a public route
}

// DefaultAdmin is the address of the admin port where nothing else is said.
const DefaultAdmin = "127.0.0.1:9001"

// The defaults of the other keys that may be left out; config/README.md repeats them.
const (
	defaultListen       = "127.0.0.1:8001"
	defaultPerAddress   = 1024
	defaultTokenCache   = 100_000
	defaultDrainDelay   = 5 * time.Second
	defaultDrainTimeout = 20 * time.Second // with the delay and a second of grace below Kubernetes' 30 s
	defaultSkew         = 30 * time.Second
	defaultIdentityMax  = 16 << 10
	defaultHead         = 64 << 10
	defaultBody         = 1 << 30
	defaultConnections  = 4096
	defaultInFlight     = 10_000
)

var defaultTimeouts = Timeouts{
	Head:       10 * time.Second,
	BodyIdle:   30 * time.Second,
	Upstream:   60 * time.Second,
	Idle:       75 * time.Second,
	WriteIdle:  30 * time.Second,
	TunnelIdle: 5 * time.Minute,
	TunnelMax:  time.Hour,
}
