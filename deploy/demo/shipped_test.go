package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestTheDemoRunsTheShippedConfiguration: what a newcomer tries must be what the files in
// config say, but for addresses, the policy's place and the time to drain.
func TestTheDemoRunsTheShippedConfiguration(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, flags{Data: data})
	ran := configuration(t, filepath.Join(data, "gateway.yaml"))
	shipped := configuration(t, filepath.Join("..", "..", "config", "gateway.yaml"))
	for _, own := range []string{"listen", "admin", "drain_delay", "log"} {
		delete(ran, own)
		delete(shipped, own)
	}
	service := func(c map[string]any) map[string]any { return c["services"].([]any)[0].(map[string]any) }
	for key, text := range map[string]string{"policy": "policies/billing.yaml", "upstream": "http://127.0.0.1:"} {
		got, want := service(ran)[key].(string), service(shipped)[key].(string)
		if !strings.Contains(got, text) || !strings.Contains(want, text) {
			t.Errorf("%s is %s in the demo and %s in the shipped file", key, got, want)
		}
		delete(service(ran), key)
		delete(service(shipped), key)
	}
	delete(service(shipped), "hosts") // written out there; empty is the default
	issuer := ran["issuers"].([]any)[0].(map[string]any)
	for key, value := range issuer {
		if text, ok := value.(string); ok {
			issuer[key] = strings.Replace(text, p.auth, "http://localhost:8000", 1)
		}
	}
	if diff := cmp.Diff(shipped, ran); diff != "" {
		t.Error("-shipped +demo\n" + diff)
	}
}

func configuration(t *testing.T, file string) (c map[string]any) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(src, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
