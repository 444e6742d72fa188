//go:build unix

package dataport

import (
	"io"
	"net"
	"syscall"
)

// silent tells, without waiting, that nothing of the client's lies in the socket unread, and that
// it has not closed its side.
func silent(c net.Conn) bool {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	nothing := true
	_ = raw.Control(func(fd uintptr) { // not Read, which waits for the lane's own
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return nothing
}

// peek waits until the client has sent something, and copies the beginning of it to p. Nothing
// is taken: a lane that refuses what it reads must find all of it in one read, since what a
// socket still holds when it is closed makes a reset of the close, and the answer may be lost.
func peek(c net.Conn, p []byte) (n int, known bool, err error) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return 0, false, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, failed = syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK)
			if failed != syscall.EINTR {
				return failed != syscall.EAGAIN // if it is, Read waits
			}
		}
	})
	switch {
	case err != nil:
		return 0, true, err
	case failed != nil:
		return 0, true, failed
	case n == 0:
		return 0, true, io.EOF
	}
	return n, true, nil
}
