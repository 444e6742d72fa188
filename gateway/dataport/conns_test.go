package dataport

import (
	"net/netip"
	"testing"
)

// TestAddressKey: what connections are counted under.
func TestAddressKey(t *testing.T) {
	s := newConns(Limits{PerAddress: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for peer, want := range map[string]string{
		"192.0.2.1:1":            "192.0.2.1/32",
		"[::ffff:192.0.2.1]:1":   "192.0.2.1/32",
		"[2001:db8:1:2:3::4]:1":  "2001:db8:1:2::/64",
		"[2001:db8:1:2:ff::1]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":       "fe80::/64",
		"127.0.0.1:1":            "invalid Prefix",
		"[::1]:1":                "invalid Prefix",
		"10.1.2.3:1":             "invalid Prefix",
	} {
		if got := s.key(netip.MustParseAddrPort(peer)).String(); got != want {
			t.Errorf("%s is counted under %s, want %s", peer, got, want)
		}
	}
	if got := s.key(netip.AddrPort{}); got.IsValid() {
		t.Errorf("a unix socket's peer is counted under %s", got)
	}
}
