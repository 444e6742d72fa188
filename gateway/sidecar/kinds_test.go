package sidecar

import (
	"os"
	"regexp"
	"testing"
)

// Each id that findings.go declares has a text, once.
func TestEveryIDHasAText(t *testing.T) {
	src, err := os.ReadFile("findings.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`= "(SG\d+)"`).FindAllSubmatch(src, -1)
	texts := map[string]int{}
	for _, k := range Kinds() {
		texts[k.ID]++
		if k.Doc == "" {
			t.Errorf("%s has no text", k.ID)
		}
	}
	for _, m := range declared {
		if id := string(m[1]); texts[id] != 1 {
			t.Errorf("%s has %d texts", id, texts[id])
		}
	}
	if len(declared) != len(texts) {
		t.Errorf("%d ids are declared, %d have a text", len(declared), len(texts))
	}
}
