//go:build !unix

package proxy

import "net"

// pending knows Unix only. Elsewhere http.Transport notices what it notices.
func pending(net.Conn) bool { return false }
