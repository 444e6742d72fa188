// Package upstream says how a service is reached and what it takes: an address,
// TLS, limits and times. It is what the configuration and the lanes have to
// agree on; connections are each lane's own.
package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/scopegate/scopegate/gateway/gate"
)

// Config says how one service is reached. Two equal values mean the same
// upstream, so that a reload can keep the connections of one that did not
// change.
type Config struct {
	Scheme   string // http, https, h2c or unix
	Address  string // host:port, or the socket's path
	Host     string // what the address calls itself, for requests that bring no Host
	TLS      TLS
	HeadMax  int64 // bytes of a request's head, beside the data port's own bound; 0: no other bound
	BodyMax  int64 // bytes of a request's body; 0: no bound
	MaxConns int   // connections to the service at once; 0: no bound
	Timeouts gate.Timeouts
}

// Complete fills in what is left out, and fails for what no lane can reach.
func (c Config) Complete() (Config, error) {
	switch c.Scheme {
	case "http", "https", "h2c", "unix":
	default:
		return c, fmt.Errorf("upstream scheme %q is not one of http, https, h2c, unix", c.Scheme)
	}
	if c.Address == "" {
		return c, errors.New("upstream has no address")
	}
	if c.Host == "" {
		c.Host = c.Address
		if c.Scheme == "unix" {
			c.Host = "localhost"
		}
	}
	c.Timeouts = c.Timeouts.WithDefaults()
	return c, nil
}

// Fits holds a request against what the service takes: the sizes of its target
// and of its whole head as HTTP/1.1 writes it, and the declared length of its
// body, negative where it is not known yet. The error is for
// [gate.Exchange.Refuse].
func (c *Config) Fits(target, head, body int64) error {
	if err := CheckHead(target, head, c.HeadMax); err != nil {
		return err
	}
	if c.BodyMax > 0 && body > c.BodyMax {
		return gate.ErrBigBody
	}
	return nil
}

// CheckHead bounds a head and the target in it; most 0 means no bound.
func CheckHead(target, head, most int64) error {
	switch {
	case most <= 0:
		return nil
	case target > most:
		return gate.ErrBigURI
	case head > most:
		return gate.ErrBigHead
	}
	return nil
}

// TLS holds PEM texts. Empty ones mean the system's authorities, no client
// certificate, and the address's own name.
type TLS struct {
	CA, Cert, Key string
	ServerName    string
}

// Client is the client's side of TLS. The protocols to offer are the lane's.
func (t TLS) Client() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("upstream_tls: ca holds no certificate")
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key))
		if err != nil {
			return nil, fmt.Errorf("upstream_tls: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
