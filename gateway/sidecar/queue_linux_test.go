package sidecar

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Two processes that log into one pipe, as during a takeover, and a reader that is slower than
// they are: no line is torn by the other's.
func TestTwoProcessesShareAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const each = queueLines / 2 // all of them fit, if the writers are late
	var processes sync.WaitGroup
	for p := range 2 {
		fd, err := syscall.Dup(int(w.Fd())) // one os.File would keep two writes apart
		if err != nil {
			t.Fatal(err)
		}
		processes.Go(func() {
			stderr := os.NewFile(uintptr(fd), "stderr")
			defer stderr.Close()
			q := newLogQueue(stderr)
			end := runQueue(q)
			for i := range each {
				_, _ = fmt.Fprintf(q, "%d %d %s\n", p, i, strings.Repeat("x", 600))
			}
			end()
		})
	}
	w.Close()
	defer processes.Wait()
	defer r.Close()
	lines := bufio.NewScanner(bufio.NewReaderSize(r, 512))
	next := [2]int{}
	for lines.Scan() {
		var p, i int
		var rest string
		if _, err := fmt.Sscanf(lines.Text(), "%d %d %s", &p, &i, &rest); err != nil || p > 1 || i != next[p] || len(rest) != 600 {
			t.Fatalf("a torn line: %q", lines.Text())
		}
		next[p]++
	}
	if next != [2]int{each, each} {
		t.Errorf("%v lines of %d each", next, each)
	}
}
