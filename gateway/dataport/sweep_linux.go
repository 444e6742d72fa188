package dataport

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseNew makes the kernel drop segments that would begin a new connection to l, while
// handshakes that are under way still come to their end: a listen queue cannot be closed at
// one end and emptied at the other. The client of a dropped SYN sends it again, finds the
// port closed, and knows that nothing was sent.
//
// It is best effort. Where the filter cannot be set (some sandboxes), sweep is what remains.
func refuseNew(l net.Listener) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// The filter of a TCP socket sees a segment from its TCP header on; byte 13 holds the flags.
	const syn, synAck = 0x02, 0x12
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synAck},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: syn},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
}

// sweep takes what is left in the listen queue and shuts the socket in the same breath: what
// would arrive between a last Accept and Close is reset, and under load something always
// does. Accept itself cannot do this, because it does not look into the queue once its
// deadline is over.
func sweep(l net.Listener) (taken []net.Conn) {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var queued []int
	_ = raw.Control(func(fd uintptr) {
		for {
			next, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			switch err {
			case nil:
				queued = append(queued, next)
				continue
			case unix.EINTR, unix.ECONNABORTED:
				continue
			}
			_ = unix.Shutdown(int(fd), unix.SHUT_RD) // for a listening socket: no longer listening
			return
		}
	})
	for _, fd := range queued {
		f := os.NewFile(uintptr(fd), "")
		if c, err := net.FileConn(f); err == nil {
			taken = append(taken, c)
		}
		f.Close() // FileConn has its own copy
	}
	return taken
}
