package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// TestFaultsAsFastAPITellsThem replays testdata/422: one request per file, and
// the answer that clients of FastAPI with pydantic 2 expect, without "input".
func TestFaultsAsFastAPITellsThem(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	files, err := filepath.Glob("testdata/422/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) { replayFault(t, s, auth, file) })
	}
}

func replayFault(t *testing.T, s *site, auth, file string) {
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	request, wanted, _ := strings.Cut(string(src), "\n---\n")
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(head, "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	r := s.call(method, path, body, append(lines[1:], auth)...)
	if r.status != 422 || strings.Contains(r.body, `"input"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(r.body), "", "  "); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(request+"\n---\n"+pretty.String()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.TrimSpace(wanted), pretty.String()); diff != "" {
		t.Error(diff)
	}
}
