package synapse

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/process"
)

// startLimit is generous: a cold start on a busy machine has taken 30 seconds.
const startLimit = 3 * time.Minute

// Config describes one homeserver.
type Config struct {
	// Python is the interpreter that Install returned.
	Python string
	// Dir is a folder of its own. It should be on a RAM disk.
	Dir string
	// Name is its server name, such as alpha.localhost.
	Name string
	// Port is the port on loopback to listen on.
	Port int
	// Registrations are the registration files of its application services.
	Registrations []string
}

// A Server is a running homeserver.
type Server struct {
	// URL is the base of its client-server API.
	URL string
	// Name is its server name.
	Name string

	secret string
	proc   *process.Process
}

// Start runs a homeserver and returns when it answers requests.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{
		URL:    fmt.Sprintf("http://127.0.0.1:%d", cfg.Port),
		Name:   cfg.Name,
		secret: rand.Text(),
	}
	file, err := s.writeConfig(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	// Synapse tells systemd when it is ready. Listening to that is better than
	// asking it again and again.
	socket := filepath.Join(cfg.Dir, "notify")
	notify, err := (&net.ListenConfig{}).ListenPacket(ctx, "unixgram", socket)
	if err != nil {
		return nil, err
	}
	defer notify.Close()
	cmd := exec.Command(cfg.Python, "-m", "synapse.app.homeserver", "-c", file)
	cmd.Dir = cfg.Dir
	cmd.Env = append(pythonEnv(), "NOTIFY_SOCKET="+socket)
	if s.proc, err = process.Start("Synapse of "+cfg.Name, filepath.Join(cfg.Dir, "synapse.log"), cmd); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() { ready <- awaitReady(notify) }()
	select {
	case err = <-ready:
	case <-s.proc.Done():
		err = s.proc.Ended()
	case <-ctx.Done():
		err = fmt.Errorf("synapse: %s did not start: %w", cfg.Name, ctx.Err())
	}
	if err != nil {
		s.proc.Kill()
		return nil, err
	}
	return s, nil
}

// Stop ends the homeserver.
func (s *Server) Stop(ctx context.Context) (time.Duration, error) { return s.proc.Stop(ctx) }

// Kill ends the homeserver without warning.
func (s *Server) Kill() { s.proc.Kill() }

// Secret returns the shared secret by which users are registered, for the
// scans that look for secrets.
func (s *Server) Secret() string { return s.secret }

// awaitReady reads notifications (sd_notify) until one says READY=1.
func awaitReady(notify net.PacketConn) error {
	buf := make([]byte, 4096)
	for {
		n, _, err := notify.ReadFrom(buf)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(buf[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				return nil
			}
		}
	}
}

// writeConfig writes homeserver.yaml and its signing key.
func (s *Server) writeConfig(cfg Config) (string, error) {
	seed := make([]byte, 32)
	rand.Read(seed)
	signingKey := filepath.Join(cfg.Dir, "signing.key")
	key := "ed25519 a_lab " + base64.RawStdEncoding.EncodeToString(seed) + "\n"
	logConfig := filepath.Join(cfg.Dir, "log.yaml")
	log := `version: 1
formatters: {plain: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
handlers: {out: {class: logging.StreamHandler, formatter: plain}}
root: {level: WARNING, handlers: [out]}
disable_existing_loggers: false
`
	never := map[string]any{"per_second": 10000, "burst_count": 10000}
	homeserver := map[string]any{
		"server_name":                        cfg.Name,
		"public_baseurl":                     s.URL,
		"pid_file":                           filepath.Join(cfg.Dir, "synapse.pid"),
		"log_config":                         logConfig,
		"signing_key_path":                   signingKey,
		"media_store_path":                   filepath.Join(cfg.Dir, "media"),
		"registration_shared_secret":         s.secret,
		"macaroon_secret_key":                rand.Text(),
		"form_secret":                        rand.Text(),
		"report_stats":                       false,
		"trusted_key_servers":                []string{},
		"suppress_key_server_warning":        true,
		"federation_domain_whitelist":        []string{},
		"bcrypt_rounds":                      4,
		"app_service_config_files":           cfg.Registrations,
		"url_preview_enabled":                false,
		"enable_registration":                false,
		"presence":                           map[string]any{"enabled": false},
		"rc_message":                         never,
		"rc_registration":                    never,
		"rc_admin_redaction":                 never,
		"rc_login":                           map[string]any{"address": never, "account": never, "failed_attempts": never},
		"rc_joins":                           map[string]any{"local": never, "remote": never},
		"rc_joins_per_room":                  never,
		"rc_invites":                         map[string]any{"per_room": never, "per_user": never, "per_issuer": never},
		"rc_room_creation":                   never,
		"rc_presence":                        map[string]any{"per_user": never},
		"rc_delayed_event_mgmt":              never,
		"rc_registration_token_validity":     never,
		"experimental_features":              map[string]any{"msc2409_to_device_messages_enabled": true, "msc3202_transaction_extensions": true},
		"database":                           map[string]any{"name": "sqlite3", "args": map[string]any{"database": filepath.Join(cfg.Dir, "homeserver.db")}},
		"allow_public_rooms_over_federation": false,
		"listeners": []any{map[string]any{
			"type": "http", "port": cfg.Port, "bind_addresses": []string{"127.0.0.1"}, "tls": false,
			"resources": []any{map[string]any{"names": []string{"client", "media"}, "compress": false}},
		}},
	}
	data, err := yaml.Marshal(homeserver)
	file := filepath.Join(cfg.Dir, "homeserver.yaml")
	return file, errors.Join(err,
		os.WriteFile(file, data, 0o600),
		os.WriteFile(signingKey, []byte(key), 0o600),
		os.WriteFile(logConfig, []byte(log), 0o600))
}

// pythonEnv is the environment without what would change Python. Bytecode in
// particular makes the second start ten times as fast.
func pythonEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "PYTHON") && name != "NOTIFY_SOCKET" && name != "VIRTUAL_ENV" {
			env = append(env, kv)
		}
	}
	return env
}
