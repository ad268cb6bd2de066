package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"

	"github.com/mimi-gateway/mimi-gateway/config"
)

// generate is the value of secrets that -g replaces.
const generate = "generate"

// settings is a decoded configuration file.
type settings struct {
	network config.Config
	bridge  bridgeconfig.Config
}

// loadSettings reads the file at path over the values of the example. The
// result is decoded but not validated.
func loadSettings(path string) (*settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fail(exitConfig, "failed to read the configuration (mimi-gateway -e writes an example): %w", err)
	}
	s := &settings{network: config.Default()}
	if err := yaml.Unmarshal([]byte(config.Example()), &s.bridge); err != nil {
		return nil, fmt.Errorf("internal error: example configuration: %w", err)
	}
	// Entries of these maps are examples, and not defaults.
	s.bridge.Bridge.Permissions = nil
	s.bridge.Network = yaml.Node{}
	if err := decodeStrict(data, &s.bridge); err != nil {
		return nil, fail(exitConfig, "%s: %w", path, err)
	}
	if s.bridge.Network.Kind != 0 {
		network, err := yaml.Marshal(&s.bridge.Network)
		if err == nil {
			err = decodeStrict(network, &s.network)
		}
		if err != nil {
			return nil, fail(exitConfig, "%s: network: %w", path, err)
		}
	}
	s.bridge.Bridge.Backfill = s.bridge.Backfill
	return s, nil
}

// decodeStrict refuses keys that do not exist: they are misspelt, or set
// something that never comes to pass.
func decodeStrict(data []byte, v any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	return dec.Decode(v)
}

// validate returns what is wrong with the file, with one line for each field.
func (s *settings) validate() error {
	problems := s.problems(true)
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = "  " + p.Error()
	}
	return fail(exitInvalid, "the configuration cannot work:\n%s", strings.Join(lines, "\n"))
}

// problems checks all sections. The tokens are made by -g, which runs before
// they can be demanded.
func (s *settings) problems(tokens bool) []error {
	var out []error
	if joined, ok := s.network.Validate().(interface{ Unwrap() []error }); ok {
		out = joined.Unwrap()
	}
	check := func(bad bool, key, problem string) {
		if bad {
			out = append(out, &config.FieldError{Key: key, Problem: problem})
		}
	}
	b := &s.bridge
	check(b.Bridge.CommandPrefix == "", "bridge.command_prefix", "must be set")
	check(b.Bridge.AsyncEvents, "bridge.async_events", "must be false: events would change places")
	check(b.Bridge.SplitPortals, "bridge.split_portals", "must be false: a group has one room for all its local members")
	check(b.Bridge.PrivateChatPortalMeta, "bridge.private_chat_portal_meta", "must be false: direct chats have the name that the person has told there")
	check(b.Bridge.PortalEventBuffer != 0, "bridge.portal_event_buffer", "must be 0: events that wait in memory are lost in a crash")
	check(!b.Bridge.DeduplicateMatrixMessages, "bridge.deduplicate_matrix_messages", "must be true: events are handled again after a crash")
	check(!b.Bridge.Permissions.IsConfigured(), "bridge.permissions", "must name your homeserver: with the values of the example nobody may use the gateway")
	s.checkDatabase(check)
	s.checkHomeserver(check)
	s.checkAppservice(check, tokens)
	check(b.DirectMedia.Enabled, "direct_media.enabled", "must be false: media is decrypted and uploaded")
	check(b.EnvConfigPrefix != "", "env_config_prefix", "is not supported: all settings are in this file")
	return out
}

type checkFunc func(bad bool, key, problem string)

// checkDatabase knows why the driver and its options matter: see
// config/bridge-example.yaml.
func (s *settings) checkDatabase(check checkFunc) {
	db := &s.bridge.Database
	if db.Type == "postgres" || strings.HasPrefix(db.URI, "postgres:") || strings.HasPrefix(db.URI, "postgresql:") {
		check(true, "database.uri", "PostgreSQL is not supported yet: use type sqlite3-fk-wal-fullsync and a URI like file:mimi-gateway.db?_txlock=immediate")
		return
	}
	check(db.Type != "sqlite3-fk-wal-fullsync", "database.type", "must be sqlite3-fk-wal-fullsync: other modes can lose key state in a power failure")
	path, err := databasePath(db.URI)
	check(err != nil, "database.uri", fmt.Sprint(err))
	check(err == nil && path == "", "database.uri", "must name a file")
	check(!strings.Contains(db.URI, "_txlock=immediate"), "database.uri", "must contain _txlock=immediate, like file:mimi-gateway.db?_txlock=immediate")
}

func (s *settings) checkHomeserver(check checkFunc) {
	hs := &s.bridge.Homeserver
	u, err := url.Parse(hs.Address)
	switch {
	case hs.Address == "http://example.localhost:8008":
		check(true, "homeserver.address", "still has the value of the example")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix"):
		check(true, "homeserver.address", "must be a URL with http, https or unix")
	}
	check(hs.Domain == "" || hs.Domain == "example.com", "homeserver.domain", "must be set to the server name of your homeserver")
	check(!bridgeconfig.AllowedHomeserverSoftware[hs.Software], "homeserver.software", "must be standard")
	check(hs.Websocket || hs.WSProxy != "", "homeserver.websocket", "is not supported: the homeserver pushes events over HTTP")
}

func (s *settings) checkAppservice(check checkFunc, tokens bool) {
	as := &s.bridge.AppService
	check(as.Hostname == "", "appservice.hostname", "must be set to an address to bind")
	check(as.Port == 0 && !strings.HasPrefix(as.Hostname, "/"), "appservice.port", "must be set to a port to bind")
	check(as.AsyncTransactions, "appservice.async_transactions", "must be false: events would change places")
	check(as.ID == "", "appservice.id", "must be set")
	check(as.Bot.Username == "", "appservice.bot.username", "must be set")
	check(!strings.Contains(as.UsernameTemplate, "{{.}}"), "appservice.username_template", "must contain {{.}}, the place of the id")
	if tokens {
		check(as.ASToken == "" || as.ASToken == generate, "appservice.as_token", "is missing: mimi-gateway -g makes it")
		check(as.HSToken == "" || as.HSToken == generate, "appservice.hs_token", "is missing: mimi-gateway -g makes it")
		check(s.bridge.Encryption.Allow && s.bridge.Encryption.PickleKey == generate, "encryption.pickle_key", "is missing: mimi-gateway -g makes it")
		check(s.bridge.Provisioning.SharedSecret == generate, "provisioning.shared_secret", "is missing: mimi-gateway -g makes it")
	}
}

var errDatabaseURI = errors.New("must be a path or file: URI")

// databasePath returns the file a SQLite URI names.
func databasePath(uri string) (string, error) {
	rest, isURI := strings.CutPrefix(uri, "file:")
	path, _, _ := strings.Cut(rest, "?")
	if !isURI {
		if strings.Contains(path, "://") {
			return "", errDatabaseURI
		}
		return path, nil
	}
	if after, ok := strings.CutPrefix(path, "//"); ok {
		at := strings.IndexByte(after, '/')
		if at < 0 {
			return "", errDatabaseURI
		}
		path = after[at:]
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return "", errDatabaseURI
	}
	return path, nil
}
