package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/process"
)

// startLimit is generous; a start takes less than a second.
const startLimit = 2 * time.Minute

// Config describes one gateway.
type Config struct {
	// Binary is the path of the program.
	Binary string
	// Dir is a folder of its own.
	Dir string
	// HomeserverURL and HomeserverName are those of its homeserver.
	HomeserverURL, HomeserverName string
	// Domain is that of the MIMI provider.
	Domain string
	// AppservicePort and ProviderPort are ports on loopback.
	AppservicePort, ProviderPort int
	// CertFile, KeyFile and CAFile are for TLS between providers.
	CertFile, KeyFile, CAFile string
	// Peers are the host:port of other providers by domain.
	Peers map[string]string
	// Args are further arguments of the daemon, such as faults of lab builds.
	Args []string
}

// A Gateway is configured, and running or not.
type Gateway struct {
	cfg  Config
	proc *process.Process

	// DoublePuppetToken is the token of the second registration.
	DoublePuppetToken string
}

// New writes the configuration and the registrations of a gateway.
func New(ctx context.Context, cfg Config) (*Gateway, error) {
	g := &Gateway{cfg: cfg, DoublePuppetToken: rand.Text()}
	if err := g.command(ctx, "-e", "-c", g.configFile()); err != nil {
		return nil, err
	}
	if err := g.configure(); err != nil {
		return nil, err
	}
	if err := g.command(ctx, "-g", "-c", g.configFile(), "-r", g.Registrations()[0]); err != nil {
		return nil, err
	}
	return g, g.writeDoublePuppet()
}

// Bot returns the localpart of the bot.
func (g *Gateway) Bot() string { return "mimibot" }

// Registrations are the files the homeserver needs.
func (g *Gateway) Registrations() []string {
	return []string{
		filepath.Join(g.cfg.Dir, "registration.yaml"),
		filepath.Join(g.cfg.Dir, "double-puppet.yaml"),
	}
}

// Database is the path of the database.
func (g *Gateway) Database() string { return filepath.Join(g.cfg.Dir, "mimi-gateway.db") }

// LogFile is where the output of the daemon goes.
func (g *Gateway) LogFile() string { return filepath.Join(g.cfg.Dir, "gateway.log") }

// Start runs the daemon and returns when it is ready.
func (g *Gateway) Start(ctx context.Context) error {
	cmd := exec.Command(g.cfg.Binary, append([]string{"-c", g.configFile()}, g.cfg.Args...)...)
	cmd.Dir = g.cfg.Dir
	proc, err := process.Start("gateway of "+g.cfg.Domain, g.LogFile(), cmd)
	if err != nil {
		return err
	}
	g.proc = proc
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := g.awaitReady(ctx); err != nil {
		proc.Kill()
		return err
	}
	return nil
}

// Stop ends the daemon by SIGTERM, and returns how long it took.
func (g *Gateway) Stop(ctx context.Context) (time.Duration, error) { return g.proc.Stop(ctx) }

// Kill ends the daemon by SIGKILL.
func (g *Gateway) Kill() {
	if g.proc != nil {
		g.proc.Kill()
	}
}

// StartSecond runs the daemon once more beside the first, and returns how that
// ended. It is expected to be refused at once.
func (g *Gateway) StartSecond(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return g.command(ctx, "-c", g.configFile())
}

// PID returns the process id of the daemon.
func (g *Gateway) PID() int { return g.proc.PID() }

func (g *Gateway) configFile() string { return filepath.Join(g.cfg.Dir, "config.yaml") }

// awaitReady asks the readiness endpoint until it answers 200.
func (g *Gateway) awaitReady(ctx context.Context) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/_matrix/mau/ready", g.cfg.AppservicePort)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-g.proc.Done():
			return g.proc.Ended()
		case <-ctx.Done():
			return fmt.Errorf("the gateway of %s was not ready in time; see %s", g.cfg.Domain, g.LogFile())
		}
	}
}

func (g *Gateway) command(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, g.cfg.Binary, args...)
	cmd.Dir = g.cfg.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mimi-gateway %v: %w\n%s", args, err, bytes.TrimSpace(out))
	}
	return nil
}

// configure changes the example to this gateway's settings.
func (g *Gateway) configure() error {
	data, err := os.ReadFile(g.configFile())
	if err != nil {
		return err
	}
	var doc map[string]map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	c := &g.cfg
	peers := map[string]any{}
	for domain, address := range c.Peers {
		peers[domain] = map[string]any{"address": address, "ca_file": c.CAFile}
	}
	for section, values := range map[string]map[string]any{
		"network": {
			"domain":   c.Domain,
			"key_file": filepath.Join(c.Dir, "gateway.key"),
			"peers":    peers,
			"listen": map[string]any{
				"address":   fmt.Sprintf("127.0.0.1:%d", c.ProviderPort),
				"cert_file": c.CertFile, "key_file": c.KeyFile, "ca_file": c.CAFile,
			},
		},
		"bridge": {
			"permissions": map[string]any{c.HomeserverName: "user"},
			// The space has an m.bridge event of its own, which would be taken
			// for a portal's.
			"personal_filtering_spaces": false,
		},
		"database":   {"uri": "file:" + g.Database() + "?_txlock=immediate"},
		"homeserver": {"address": c.HomeserverURL, "domain": c.HomeserverName},
		"appservice": {
			"address": fmt.Sprintf("http://127.0.0.1:%d", c.AppservicePort),
			"port":    c.AppservicePort,
		},
		"double_puppet": {"secrets": map[string]any{c.HomeserverName: "as_token:" + g.DoublePuppetToken}},
		"logging": {
			"min_level": "debug",
			"writers":   []any{map[string]any{"type": "stdout", "format": "json"}},
		},
	} {
		if doc[section] == nil {
			return fmt.Errorf("the example configuration has no section %s", section)
		}
		for key, value := range values {
			doc[section][key] = value
		}
	}
	data, err = yaml.Marshal(doc)
	return errors.Join(err, os.WriteFile(g.configFile(), data, 0o600))
}

// writeDoublePuppet writes the registration by which the gateway acts as the
// people of its homeserver. It has no URL, so no events are sent for it, and its
// namespace is not exclusive.
func (g *Gateway) writeDoublePuppet() error {
	data, err := yaml.Marshal(map[string]any{
		"id":               "double-puppet",
		"url":              "",
		"as_token":         g.DoublePuppetToken,
		"hs_token":         rand.Text(),
		"sender_localpart": "double-puppet-" + strings.ToLower(rand.Text()),
		"rate_limited":     false,
		"namespaces": map[string]any{
			"users": []any{map[string]any{"regex": "@.*:" + g.cfg.HomeserverName, "exclusive": false}},
		},
	})
	return errors.Join(err, os.WriteFile(g.Registrations()[1], data, 0o600))
}
