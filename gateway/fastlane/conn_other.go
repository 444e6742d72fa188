//go:build !unix

package fastlane

import "net"

const canTry = false

func (c *conn) tryRead(uintptr) bool { return true }

// glance knows Unix only: elsewhere a connection's end shows when it is used.
type glance struct{}

func newGlance(net.Conn) *glance { return nil }

func (*glance) see() (something, ended bool) { return false, false }
