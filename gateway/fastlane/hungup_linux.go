package fastlane

import (
	"net"

	"golang.org/x/sys/unix"
)

// hungUp reports that a socket's peer sends no more, whatever is still to be
// read before its end.
func hungUp(c net.Conn) (yes bool) {
	raw := rawOf(c)
	if raw == nil {
		return false
	}
	closed := raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		yes = err == nil && n > 0
	})
	return yes || closed != nil
}
