package dataport

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Counts says how many connections the data port has in each state.
type Counts struct {
	New     int64  // accepted, no whole request head yet
	Active  int64  // with a request in hand
	Idle    int64  // kept alive, waiting for the next request
	Tunnel  int64  // switched to another protocol
	Refused uint64 // turned away at accept since the start
}

// conns keeps every open connection of the data port, and turns away those
// beyond the limits.
type conns struct {
	limits  Limits
	refused atomic.Uint64

	mu        sync.Mutex // guards all and byAddress
	all       map[*Conn]struct{}
	byAddress map[netip.Prefix]int
}

func newConns(l Limits) *conns {
	return &conns{limits: l, all: map[*Conn]struct{}{}, byAddress: map[netip.Prefix]int{}}
}

// count walks all connections: a scrape is rare, and a change of state, which
// two in each request are, then needs no lock.
func (s *conns) count() Counts {
	var n [StateTunnel + 1]int64
	s.mu.Lock()
	for c := range s.all {
		n[c.State()]++
	}
	s.mu.Unlock()
	return Counts{New: n[StateNew], Active: n[StateActive], Idle: n[StateIdle], Tunnel: n[StateTunnel], Refused: s.refused.Load()}
}

// admit counts a connection in; false means that it is one too many.
func (s *conns) admit(c *Conn) bool {
	c.counts = s.key(c.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limits.Connections > 0 && len(s.all) >= s.limits.Connections {
		s.refused.Add(1)
		return false
	}
	if c.counts.IsValid() {
		if s.byAddress[c.counts] >= s.limits.PerAddress {
			s.refused.Add(1)
			return false
		}
		s.byAddress[c.counts]++
	}
	s.all[c] = struct{}{}
	return true
}

// key is what a peer is counted under: an IPv4 address, or the /64 that one
// IPv6 host usually has to itself. Loopback peers are not counted: what runs on
// this host is one address for everybody it speaks for.
func (s *conns) key(peer netip.AddrPort) (none netip.Prefix) {
	a := peer.Addr().Unmap()
	if s.limits.PerAddress <= 0 || !a.IsValid() || a.IsLoopback() {
		return none
	}
	for _, p := range s.limits.Exempt {
		if p.Contains(a) {
			return none
		}
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	key, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return none
	}
	return key
}

func (s *conns) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
	if c.counts.IsValid() {
		if s.byAddress[c.counts]--; s.byAddress[c.counts] == 0 {
			delete(s.byAddress, c.counts)
		}
	}
}

// collect returns the connections for which f says so. f must not close any.
func (s *conns) collect(f func(*Conn) bool) (found []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if f(c) {
			found = append(found, c)
		}
	}
	return found
}

// peerOf is the address of a TCP peer, zero for any other.
func peerOf(raw net.Conn) netip.AddrPort {
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
