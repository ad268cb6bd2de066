package config

import (
	_ "embed"
	"strings"
)

var (
	//go:embed network-example.yaml
	networkExample string
	//go:embed bridge-example.yaml
	bridgeExample string
)

// NetworkExample returns the "network" section of the example file, without
// its key and without indentation. Its values are those of Default.
func NetworkExample() string { return networkExample }

// Example returns the complete example file. It is also the source of the
// defaults of all sections but "network".
func Example() string {
	var b strings.Builder
	b.WriteString("# Configuration of mimi-gateway. Absent fields have the values shown here.\n\n")
	b.WriteString("# The MIMI side: this provider, and its dealings with others.\nnetwork:\n")
	for line := range strings.Lines(networkExample) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	b.WriteString("\n")
	b.WriteString(bridgeExample)
	return b.String()
}
