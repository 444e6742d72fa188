//go:build !unix

package dataport

import "net"

// silent knows Unix only. Elsewhere a request that arrives in the moment in which an idle
// connection ends is lost.
func silent(net.Conn) bool { return true }

// peek knows Unix only. Elsewhere the bytes are taken, and replayed by Conn.Read.
func peek(net.Conn, []byte) (n int, known bool, err error) { return 0, false, nil }
