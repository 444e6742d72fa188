//go:build unix

package sidecar

import "syscall"

// fileHandles is how many files the process may have open.
func fileHandles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<30))
}
