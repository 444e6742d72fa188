package dataport

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	takeoverVersion = 1
	// talkTime bounds each step of the conversation that depends on nothing but the other side.
	talkTime = 5 * time.Second
	// mostSockets bounds what is taken from one message.
	mostSockets = 8
)

// message is one packet. A descriptor goes with each socket, in the same order.
type message struct {
	Say     string        `json:"say"`
	Version int           `json:"version,omitempty"`
	PID     int           `json:"pid,omitempty"` // since the socket's own is that of the first in a chain
	Why     string        `json:"why,omitempty"`
	Sockets []namedSocket `json:"sockets,omitempty"`
}

type namedSocket struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
}

// What is said.
const (
	saySockets = "sockets"
	sayReady   = "ready"
	sayYours   = "yours"
	sayNo      = "no"
)

// nameTakeover is the socket over which the two talk: it is handed over like the others, so that
// its path always leads to somebody.
const nameTakeover = "takeover"

func say(c *net.UnixConn, m message, descriptors ...int) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	if err := c.SetWriteDeadline(time.Now().Add(talkTime)); err != nil {
		return err
	}
	_, _, err = c.WriteMsgUnix(text, rights, nil)
	return err
}

// hear reads one message. The caller closes the files.
func hear(c *net.UnixConn) (m message, files []*os.File, err error) {
	text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*mostSockets))
	n, r, flags, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		return m, nil, err
	}
	files, err = filesIn(rights[:r])
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("a message that is too long")
	}
	if err == nil {
		err = json.Unmarshal(text[:n], &m)
	}
	if err != nil {
		closeFiles(files)
		return message{}, nil, err
	}
	return m, files, nil
}

func filesIn(rights []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for _, m := range messages {
		descriptors, notRights := unix.ParseUnixRights(&m)
		if notRights != nil {
			err = notRights
			continue
		}
		for _, d := range descriptors {
			files = append(files, os.NewFile(uintptr(d), "socket"))
		}
	}
	return files, err
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// takeoverAddress finds the takeover socket's, whose folder must exist and be ours alone: whoever could
// write there could put a socket of their own in its place.
func takeoverAddress(path string) (*net.UnixAddr, error) {
	path, err := filepath.Abs(path) // a name that begins with @ would be no file
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	info, err := os.Lstat(folder)
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s must be a folder of this process's user with mode 0700, it is %s", folder, describe(info, owner))
	}
	return &net.UnixAddr{Name: path, Net: "unixpacket"}, nil
}

func describe(info fs.FileInfo, owner *syscall.Stat_t) string {
	if owner == nil {
		return info.Mode().String()
	}
	return fmt.Sprintf("%s of user %d", info.Mode(), owner.Uid)
}

// trustPeer lets only processes of our own user talk, and names the peer's process.
func trustPeer(c *net.UnixConn, user int) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	if int(peer.Uid) != user {
		return 0, fmt.Errorf("the process at the other end (%d) belongs to user %d, not %d", peer.Pid, peer.Uid, user)
	}
	return int(peer.Pid), nil
}
