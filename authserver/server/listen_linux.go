package server

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseNew makes the kernel drop every segment that would begin a connection,
// while handshakes that have begun come to their end. A client whose SYN is
// dropped repeats it, finds the port closed, and knows that nothing was sent.
// Some sandboxes have no socket filters; sweep is what remains there.
func refuseNew(ln net.Listener) {
	socket, ok := ln.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	// The filter sees a segment from its TCP header on, where byte 13 is the flags:
	// SYN without ACK is dropped, everything else passes.
	const flags, syn, synAck, whole = 13, 0x02, 0x12, 0xffffffff
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synAck},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: whole},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter)
	})
}

// sweep takes what stands in the listen queue and shuts the socket in the same
// breath. Accept cannot: it does not look once its deadline is over.
func sweep(ln net.Listener) (taken []net.Conn) {
	socket, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			next, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			switch err {
			case nil:
				taken = append(taken, connection(next)...)
			case unix.EINTR, unix.ECONNABORTED:
			default: // empty
				_ = unix.Shutdown(int(fd), unix.SHUT_RD)
				return
			}
		}
	})
	return taken
}

// connection is the connection behind a descriptor, or none if it is gone.
func connection(fd int) []net.Conn {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close() // FileConn has a copy of its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil
	}
	return []net.Conn{conn}
}
