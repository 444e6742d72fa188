package sidecar

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// listenerTLS reads the certificate of the data port.
func (r *resolver) listenerTLS(raw *rawTLS) *ListenerTLS {
	if raw.at == nil && !raw.cert.set && !raw.key.set && !raw.ca.set {
		return nil
	}
	for name, o := range map[string]opt[string]{"cert": raw.cert, "key": raw.key} {
		if !o.set {
			r.fault(idMissing, raw.at, "tls: "+name+" is missing", "write the path of a PEM file")
		}
	}
	l := &ListenerTLS{
		Cert:     r.pem(raw.cert),
		Key:      r.pem(raw.key),
		ClientCA: r.pem(raw.ca),
	}
	if l.Cert != "" && l.Key != "" {
		r.pair(raw, l.Cert, l.Key)
	}
	r.authorities(raw.ca, l.ClientCA)
	return l
}

// clientTLS reads what the gateway shows to, and expects of, an https upstream.
func (r *resolver) clientTLS(raw *rawTLS) upstream.TLS {
	u := upstream.TLS{CA: r.pem(raw.ca), Cert: r.pem(raw.cert), Key: r.pem(raw.key), ServerName: raw.serverName.v}
	if raw.cert.set != raw.key.set {
		r.fault(idMissing, raw.at, "upstream_tls: cert and key go together", "")
	}
	if u.Cert != "" && u.Key != "" {
		r.pair(raw, u.Cert, u.Key)
	}
	r.authorities(raw.ca, u.CA)
	return u
}

// pem reads a file; what it says is checked where it is used.
func (r *resolver) pem(o opt[string]) string {
	if !o.set {
		return ""
	}
	name := relative(r.config, o.v)
	data, err := r.files.file(name)
	if err != nil {
		r.fault(idTLS, o.node, fmt.Sprintf("%s: %s", name, err), "")
	}
	return string(data)
}

func (r *resolver) pair(raw *rawTLS, cert, key string) {
	if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
		r.fault(idTLS, raw.cert.node, err.Error(), "the certificate and its key are replaced together")
	}
}

func (r *resolver) authorities(o opt[string], text string) {
	if text == "" {
		return
	}
	if _, err := pool(text); err != nil {
		r.fault(idTLS, o.node, err.Error(), "")
	}
}

func pool(text string) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(text)) {
		return nil, errors.New("holds no certificate in PEM form")
	}
	return p, nil
}

// serverTLS is the listener's side: TLS 1.2 at least, the data port's protocols, and a client
// certificate where an authority for it is named.
func (l *ListenerTLS) serverTLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair([]byte(l.Cert), []byte(l.Key))
	if err != nil {
		return nil, fmt.Errorf("certificate of the data port: %w", err)
	}
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   dataport.Protocols(),
		Certificates: []tls.Certificate{pair},
	}
	if l.ClientCA != "" {
		if c.ClientCAs, err = pool(l.ClientCA); err != nil {
			return nil, fmt.Errorf("authorities of client certificates: %w", err)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}
