// Package xconnect switches on extended CONNECT (RFC 8441) in net/http's
// HTTP/2 server, which WebSockets over HTTP/2 need.
//
// net/http (Go 1.26) has it, but only if GODEBUG says http2xconnect=1 at the
// moment when net/http is initialised; there is no setting in code, and
// //go:debug does not know the name. So it has to be in the environment before
// that, and this package is initialised before net/http: it imports only os,
// and of the packages whose imports are ready Go initialises the one with the
// first import path first ("Program initialization" in the language
// specification), where github.com stands before net.
//
// An operator's own GODEBUG stays, and http2xconnect=0 in it wins.
//
// It owns nothing else, and nothing but package proxy imports it.
package xconnect

import (
	"os"
	"strings"
)

const name = "http2xconnect="

func init() {
	old := os.Getenv("GODEBUG")
	if strings.Contains(old, name) {
		return
	}
	setting := name + "1"
	if old != "" {
		setting = old + "," + setting
	}
	os.Setenv("GODEBUG", setting)
}
