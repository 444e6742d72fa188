//go:build !unix

package fastlane

import (
	"net"
	"syscall"
)

// rawOf knows Unix only: elsewhere a connection that waits holds a buffer.
func rawOf(net.Conn) syscall.RawConn { return nil }

func (c *conn) readable(uintptr) bool { return true }

func (c *conn) writeSome(p []byte) []byte { return p }

func (c *conn) take(uintptr) (found, all bool) { return false, true }

func (f *far) readable(uintptr) bool { return true }

// glance knows Unix only: elsewhere a connection's end shows when it is used.
type glance struct{}

func newGlance(net.Conn) *glance { return nil }

func (*glance) see() (something, ended bool) { return false, false }
