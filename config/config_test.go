package config

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// valid returns a configuration that passes.
func valid() Config {
	c := Default()
	c.Domain = "mimi.alpha.localhost"
	c.Listen.CertFile, c.Listen.KeyFile = "cert.pem", "key.pem"
	return c
}

func TestValidConfig(t *testing.T) {
	c := valid()
	c.Peers = map[string]Peer{"mimi.beta.localhost": {Address: "127.0.0.1:9443", CAFile: "ca.pem"}}
	c.Metrics.Address = "127.0.0.1:9100"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestInvalidFields(t *testing.T) {
	for name, test := range map[string]struct {
		key    string
		change func(*Config)
	}{
		"no domain":        {"network.domain", func(c *Config) { c.Domain = "" }},
		"upper case":       {"network.domain", func(c *Config) { c.Domain = "Mimi.example.org" }},
		"example's domain": {"network.domain", func(c *Config) { c.Domain = "mimi.example.com" }},
		"no port":          {"network.listen.address", func(c *Config) { c.Listen.Address = "127.0.0.1" }},
		"port 0":           {"network.listen.address", func(c *Config) { c.Listen.Address = "127.0.0.1:0" }},
		"port 65536":       {"network.listen.address", func(c *Config) { c.Listen.Address = "127.0.0.1:65536" }},
		"no certificate":   {"network.listen.cert_file", func(c *Config) { c.Listen.CertFile = "" }},
		"no private key":   {"network.listen.key_file", func(c *Config) { c.Listen.KeyFile = "" }},
		"peer's address":   {"network.peers.b.example.address", func(c *Config) { c.Peers = map[string]Peer{"b.example": {}} }},
		"peer's domain":    {"network.peers.b_.example", func(c *Config) { c.Peers = map[string]Peer{"b_.example": {Address: "127.0.0.1:1"}} }},
		"oneself as peer":  {"network.peers.mimi.alpha.localhost", func(c *Config) { c.Peers = map[string]Peer{c.Domain: {Address: "127.0.0.1:1"}} }},
		"provisioning":     {"network.auto_provision", func(c *Config) { c.AutoProvision = "yes" }},
		"no key file":      {"network.key_file", func(c *Config) { c.KeyFile = "" }},
		"limit of zero":    {"network.limits.body_bytes", func(c *Config) { c.Limits.BodyBytes = 0 }},
		"negative limit":   {"network.limits.request_timeout", func(c *Config) { c.Limits.RequestTimeout = -1 }},
		"metrics":          {"network.metrics.address", func(c *Config) { c.Metrics.Address = "9100" }},
	} {
		t.Run(name, func(t *testing.T) {
			c := valid()
			test.change(&c)
			err := c.Validate()
			field, ok := errors.AsType[*FieldError](err)
			if !ok || field.Key != test.key {
				t.Fatalf("got %v, want an error of %s", err, test.key)
			}
			if lines := strings.Count(err.Error(), "\n"); lines != 0 {
				t.Errorf("one mistake gave %d errors:\n%v", lines+1, err)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	var c Config
	err := c.Validate()
	for _, key := range []string{"domain", "listen.address", "listen.cert_file", "listen.key_file", "auto_provision", "key_file", "limits.body_bytes"} {
		if err == nil || !strings.Contains(err.Error(), "network."+key+": ") {
			t.Errorf("the error does not name network.%s:\n%v", key, err)
		}
	}
}

// TestExampleHoldsDefaults keeps what the example says about absent fields true.
func TestExampleHoldsDefaults(t *testing.T) {
	var got Config
	dec := yaml.NewDecoder(strings.NewReader(NetworkExample()))
	dec.KnownFields(true)
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Domain = "mimi.example.com"
	want.Peers = map[string]Peer{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example holds\n%+v\nand the defaults are\n%+v", got, want)
	}
}

func TestExampleIsCurrent(t *testing.T) {
	file, err := os.ReadFile("../example-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, []byte(Example())) {
		t.Error("example-config.yaml is stale: run make example")
	}
}

// TestExampleExplainsEveryField wants a comment above each key, and in the
// network section each field of Config.
func TestExampleExplainsEveryField(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(Example()), &doc); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			name := strings.TrimPrefix(path+"."+key.Value, ".")
			keys[name] = true
			if key.HeadComment == "" && path != "bridge.permissions" {
				t.Errorf("%s has no comment above it", name)
			}
			walk(name, n.Content[i+1])
		}
	}
	walk("", doc.Content[0])
	var fields func(path string, typ reflect.Type)
	fields = func(path string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := path + "." + f.Tag.Get("yaml")
			if !keys[name] {
				t.Errorf("the example does not have %s", name)
			}
			if f.Type.Kind() == reflect.Struct {
				fields(name, f.Type)
			}
		}
	}
	fields("network", reflect.TypeFor[Config]())
}
