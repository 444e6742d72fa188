package gate_test

import (
	"testing"

	"github.com/scopegate/scopegate/gateway/gate"
)

func TestKeepAnswer(t *testing.T) {
	var x gate.Exchange
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"TE", "Te", "Trailer", "Transfer-Encoding", "transfer-encoding", "UPGRADE",
	} {
		if x.KeepAnswer(name) {
			t.Errorf("%s of an answer goes on", name)
		}
	}
	for _, name := range []string{
		"", "Content-Type", "Set-Cookie", "Vary", "WWW-Authenticate", "X-Auth-Subject", "Trailers", "Tea",
	} {
		if !x.KeepAnswer(name) {
			t.Errorf("%s of an answer is dropped", name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { x.KeepAnswer("Transfer-Encoding"); x.AddAnswer(nil) }); n != 0 {
		t.Errorf("%v allocations for an answer without cors", n)
	}
}
