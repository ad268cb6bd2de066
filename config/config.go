// Package config holds the settings of the gateway that are not bridgev2's:
// the "network" section of the configuration file.
//
// It does no input or output. A file is read and decoded by the caller;
// Default gives the values of absent fields, and Validate names every field
// that cannot work, all at once.
package config

import "time"

// A Config is the "network" section of the configuration file. Start from
// Default, decode the file over it, and call Validate before use.
type Config struct {
	// Domain is the domain of this MIMI provider: the authority of its users'
	// and rooms' URIs (draft-ietf-mimi-protocol-06, section 4).
	Domain string `yaml:"domain"`
	// Listen describes the HTTPS listener other providers talk to.
	Listen Listen `yaml:"listen"`
	// Peers overrides resolution and trust by domain, for labs and private
	// federations. Names in certificates are checked all the same.
	Peers map[string]Peer `yaml:"peers"`
	// AutoProvision says who can be reached without having run "login".
	AutoProvision AutoProvision `yaml:"auto_provision"`
	// KeyFile is the path of the key-encryption key: 32 bytes, mode 0600, made
	// at the first start, never in the database.
	KeyFile string `yaml:"key_file"`
	// Disclosure says what people are told about the bridge.
	Disclosure Disclosure `yaml:"disclosure"`
	// Limits bounds what others can make this process store and do.
	Limits Limits `yaml:"limits"`
	// Metrics describes the listener for Prometheus.
	Metrics Metrics `yaml:"metrics"`
}

// Listen describes the HTTPS listener of the provider. TLS ends in the
// gateway, because the client's certificate is what names a peer.
type Listen struct {
	// Address is host:port to bind.
	Address string `yaml:"address"`
	// CertFile is the PEM certificate chain, presented as server and as client.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the PEM private key of CertFile.
	KeyFile string `yaml:"key_file"`
	// CAFile is a PEM bundle trusted to certify peers; empty means the
	// system's roots.
	CAFile string `yaml:"ca_file"`
}

// A Peer says how one other provider is reached.
type Peer struct {
	// Address is host:port to connect to in place of the domain's own.
	Address string `yaml:"address"`
	// CAFile is a PEM bundle trusted for this peer alone; empty means that of
	// Listen.
	CAFile string `yaml:"ca_file"`
}

// AutoProvision says which accounts of the homeserver can be reached over MIMI
// without having run "login".
type AutoProvision string

// The values of AutoProvision.
const (
	// AutoProvisionLocal makes every account of the homeserver reachable.
	AutoProvisionLocal AutoProvision = "local"
	// AutoProvisionAllowed makes accounts reachable that bridge.permissions
	// gives the level "user".
	AutoProvisionAllowed AutoProvision = "allowed"
	// AutoProvisionOff makes accounts reachable only after "login".
	AutoProvisionOff AutoProvision = "off"
)

// Disclosure says what people are told about the gateway's part in a room.
type Disclosure struct {
	// Notice sends a notice into a room before its first bridged message.
	Notice bool `yaml:"notice"`
	// StateEvent writes the same as a state event that clients can show.
	StateEvent bool `yaml:"state_event"`
}

// Limits bounds sizes, counts and times. Each has a safe default; zero and
// negative values are refused, so that no limit is switched off by accident.
type Limits struct {
	// RequestBytes bounds the body of one request from a peer.
	RequestBytes int64 `yaml:"request_bytes"`
	// RequestTimeout bounds the handling of one request from a peer.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// PeerRequestsPerMinute bounds requests of one peer.
	PeerRequestsPerMinute int `yaml:"peer_requests_per_minute"`
	// PeerConnections bounds the open connections of one peer.
	PeerConnections int `yaml:"peer_connections"`
	// RoomParticipants bounds the participants of a room hosted here.
	RoomParticipants int `yaml:"room_participants"`
	// RoomsPerUser bounds the rooms one local user takes part in.
	RoomsPerUser int `yaml:"rooms_per_user"`
	// KeyPackagesPerUser bounds the unused KeyPackages kept for a local user.
	KeyPackagesPerUser int `yaml:"key_packages_per_user"`
	// PendingConnections bounds the unanswered connection requests kept for a
	// local user.
	PendingConnections int `yaml:"pending_connections"`
	// QueueBytes bounds what waits for delivery to one peer.
	QueueBytes int64 `yaml:"queue_bytes"`
}

// Metrics describes the listener for Prometheus.
type Metrics struct {
	// Address is host:port to bind for GET /metrics; empty switches it off. It
	// has no authentication: bind it to loopback or a private network.
	Address string `yaml:"address"`
}

// Default returns the settings of an empty file. Domain and the certificate
// have no default: Validate asks for them.
func Default() Config {
	return Config{
		Listen:        Listen{Address: "127.0.0.1:8443"},
		AutoProvision: AutoProvisionLocal,
		KeyFile:       "mimi-gateway.key",
		Disclosure:    Disclosure{Notice: true, StateEvent: true},
		Limits: Limits{
			RequestBytes:          4 << 20,
			RequestTimeout:        30 * time.Second,
			PeerRequestsPerMinute: 6000,
			PeerConnections:       64,
			RoomParticipants:      1000,
			RoomsPerUser:          1000,
			KeyPackagesPerUser:    200,
			PendingConnections:    50,
			QueueBytes:            256 << 20,
		},
	}
}
