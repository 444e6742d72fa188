// Package uvicorn runs Python web applications for tests, by the interpreter and the uvicorn
// of Debian. It owns how such a process gets its socket and how it ends; what is served, and
// what is asked of it, is its callers' business.
package uvicorn

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/deploy/parts"
)

// Python is the interpreter that Debian's packages belong to; another python3 that comes
// first in PATH does not see them.
const Python = "/usr/bin/python3"

// Require ends the test, as [parts.Missing] does, unless Debian's Python has every module.
func Require(t testing.TB, modules ...string) {
	t.Helper()
	probe := exec.CommandContext(t.Context(), Python, "-c", "import "+strings.Join(modules, ", "))
	if out, err := probe.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		parts.Missing(t, "python", "Debian's packages of "+strings.Join(modules, ", ")+": "+err.Error()+" "+lines[len(lines)-1])
	}
}

// Serve runs an application, written as module:name, of the Python files in a folder until the
// test ends, and returns its URL. uvicorn is handed a listening socket, so that nothing has to
// wait for a port: what connects early stands in the queue until the service accepts.
func Serve(t testing.TB, folder, application string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	ctx, cancel := context.WithCancel(context.Background())
	service := exec.CommandContext(ctx, Python, "-m", "uvicorn", application, "--fd", "3")
	service.Dir = folder
	// No proxy, no foreign module path, and no compiled files beside the sources.
	service.Env = []string{"PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"}
	service.ExtraFiles = []*os.File{socket}
	var output bytes.Buffer // read only when the process has ended
	service.Stdout, service.Stderr = &output, &output
	service.Cancel = func() error { return service.Process.Signal(os.Interrupt) }
	service.WaitDelay = 10 * time.Second
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = service.Wait() // how uvicorn calls being interrupted is its own business
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return "http://" + listener.Addr().String()
}
