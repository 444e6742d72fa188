package conformance

import (
	"bufio"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// interopRoutes are the methods of gRPC's interop service. unimplemented_service calls one
// that no route names.
const interopRoutes = `  /grpc.testing.TestService/EmptyCall: { POST: shop.use }
  /grpc.testing.TestService/UnaryCall: { POST: shop.use }
  /grpc.testing.TestService/StreamingInputCall: { POST: shop.use }
  /grpc.testing.TestService/StreamingOutputCall: { POST: shop.use }
  /grpc.testing.TestService/FullDuplexCall: { POST: shop.use }
  /grpc.testing.TestService/UnimplementedCall: { POST: shop.use }
`

// interopCases are gRPC's own cases; its client ends with an error where one fails.
var interopCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
	"custom_metadata", "status_code_and_message", "special_status_message",
	"unimplemented_method", "unimplemented_service",
	"cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server",
	"rpc_soak",
}

// TestGRPCInterop takes grpc-go's interop client through the gateway to its interop server,
// and shows what that client makes of the gateway's refusals.
func TestGRPCInterop(t *testing.T) {
	client := tool(t, "google.golang.org/grpc/interop/client")
	upstream := "h2c://127.0.0.1:" + startInterop(t, tool(t, "google.golang.org/grpc/interop/server"))
	lanes(t, func(t *testing.T, secure bool) {
		g := startGateway(t, secure, upstream, interopRoutes)
		call := func(t *testing.T, name, token string) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			args := []string{"--server_host=localhost", "--server_port=" + g.port, "--test_case=" + name,
				"--soak_iterations=200", "--soak_num_threads=4", "--soak_overall_timeout_seconds=50", "--soak_per_iteration_max_acceptable_latency_ms=10000"}
			if secure {
				args = append(args, "--use_tls", "--use_test_ca", "--ca_file="+g.ca)
			}
			if token != "" {
				args = append(args, "--additional_metadata=authorization:Bearer "+token)
			}
			out, err := exec.CommandContext(ctx, client, args...).CombinedOutput()
			return string(out), err
		}
		user := token(t, "shop.use")
		for _, name := range interopCases {
			t.Run(name, func(t *testing.T) {
				if out, err := call(t, name, user); err != nil {
					t.Errorf("%v\n%s", err, lastLines(out, 10))
				}
			})
		}
		for _, c := range []struct{ claim, test, token, code, reason string }{
			{"a call without a token", "empty_unary", "", "Unauthenticated", "token_missing"},
			{"a stream without a token", "empty_stream", "", "Unauthenticated", "token_missing"},
			{"a call with a broken token", "empty_unary", user + "x", "Unauthenticated", "token_malformed"},
			{"a call without the scope", "empty_unary", token(t, "shop.keep"), "PermissionDenied", "insufficient_scope"},
			{"a stream without the scope", "server_streaming", token(t, "shop.keep"), "PermissionDenied", "insufficient_scope"},
		} {
			t.Run(c.claim, func(t *testing.T) {
				out, err := call(t, c.test, c.token)
				if err == nil || !strings.Contains(out, "code = "+c.code+" desc = "+c.reason) {
					t.Errorf("want %s, %s: %v\n%s", c.code, c.reason, err, lastLines(out, 10))
				}
			})
		}
		if n := strings.Count(g.log.String(), `"reason":"no_route"`); n != 1 {
			t.Errorf("%d calls were refused for want of a route, want that of unimplemented_service", n)
		}
	})
}

var interopPort = regexp.MustCompile(`interop server listening on \S*:(\d+)`)

// startInterop runs the interop server until the test ends, and returns its port.
func startInterop(t *testing.T, program string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, program, "--port=0")
	server.Env = []string{"GRPC_GO_LOG_SEVERITY_LEVEL=info"} // or it does not name its port
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-read
		_ = server.Wait() // it only ends by being killed
	})
	port := make(chan string, 1)
	go func() {
		defer close(read)
		defer close(port)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := interopPort.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case port <- m[1]:
				default:
				}
			}
		}
	}()
	p, ok := <-port
	if !ok {
		t.Fatal("the interop server ended before it named its port")
	}
	return p
}
