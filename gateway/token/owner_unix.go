//go:build unix

package token

import (
	"os"
	"syscall"
)

func ownedByUs(stat os.FileInfo) bool {
	system, ok := stat.Sys().(*syscall.Stat_t)
	return ok && int(system.Uid) == os.Geteuid()
}
