package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

// README.md says of each warning about policies what the loader's own table says.
func TestEveryWarningIsInTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range policy.Kinds() {
		if row := fmt.Sprintf("| `%s` | %s |\n", k.ID, k.Doc); strings.HasPrefix(k.ID, "SG1") && !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks %s", row)
		}
	}
}
