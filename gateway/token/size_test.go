package token

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// The bound in bytes is worth what the count is: never less than what the heap holds, and not far more.
func TestCountedBytesAreWhatTheHeapHolds(t *testing.T) {
	const n = 3000
	for name, members := range map[string]func(i int) map[string]any{
		"tokens of one client": func(i int) map[string]any { return map[string]any{"sub": fmt.Sprintf("3f8a6c1e-user-%08d", i)} },
		"terms of their own": func(i int) map[string]any {
			return map[string]any{"scope": fmt.Sprintf("read-%d write-%d list-%d", i, i, i), "aud": nil, "client_id": fmt.Sprint("client-", i)}
		},
		"many short words": func(i int) map[string]any {
			return map[string]any{"scope": nil, "scopes": strings.Fields(fmt.Sprint(strings.Repeat("a b c d e f g h ", 4), i))}
		},
		"large claims": func(i int) map[string]any {
			return map[string]any{"jti": fmt.Sprint(i), "pad": strings.Repeat("x", 3000)}
		},
	} {
		v := inlineVerifier(t, nil, "ed25519")
		raws := make([]string, n)
		for i := range raws {
			raws[i] = pair("ed25519").token("EdDSA", claims(members(i)))
		}
		before := heap()
		for _, raw := range raws {
			must(v.Verify(t.Context(), raw, nil))
		}
		held, counted := heap()-before, v.Stats().Bytes
		runtime.KeepAlive(raws)
		if held > counted || counted > 2*held || v.Stats().Entries != n {
			t.Errorf("%s: %d bytes a token on the heap, %d counted", name, held/n, counted/n)
		}
		t.Logf("%s: %d bytes a token on the heap, %d counted", name, held/n, counted/n)
	}
}
