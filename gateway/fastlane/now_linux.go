package fastlane

import (
	"syscall"
	"unsafe"
)

// readNow and writeNow are the system calls on a socket that does not block.
// The scheduler is not told of them: it would have to be if they could wait.
func readNow(fd uintptr, p []byte) (int, error) {
	return callNow(syscall.SYS_READ, fd, p)
}

func writeNow(fd uintptr, p []byte) (int, error) {
	return callNow(syscall.SYS_WRITE, fd, p)
}

func callNow(call, fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN:
		return -1, errAgain
	}
	return -1, errno
}

// errAgain is EAGAIN made an error once: nothing has come, or no more fits.
var errAgain error = syscall.EAGAIN
