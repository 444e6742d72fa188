//go:build !linux

package server

import "net"

// refuseNew and sweep know Linux only: elsewhere a drain under load can reset a
// client that arrives in the very moment of closing.
func refuseNew(net.Listener) {}

func sweep(net.Listener) []net.Conn { return nil }
