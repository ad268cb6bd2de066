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
	// PlainRooms allows plain rooms, in which hub and providers see the real addresses
	// of those who take part: to make them, and to be added to them.
	PlainRooms bool `yaml:"plain_rooms"`
	// SmallCrowd is how many people of this provider should be active a day: with
	// fewer, a pseudonym does not hide who somebody is, and operator and people are
	// told so.
	SmallCrowd int `yaml:"small_crowd"`
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
	// RequestTimeout bounds the handling of one request from a provider.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// AnswerStep divides the time of answers from which a provider could tell otherwise
	// whether there is such a person.
	AnswerStep time.Duration `yaml:"answer_step"`
	// PeerRequests bounds the requests of one provider under way.
	PeerRequests int `yaml:"peer_requests"`
	// Requests bounds the requests of all providers under way.
	Requests int `yaml:"requests"`
	// Connections bounds the TCP connections of all providers.
	Connections int `yaml:"connections"`
	// BodyBytes bounds the bodies of all requests under way, together.
	BodyBytes int64 `yaml:"body_bytes"`
	// MessageBytes bounds one message in a room that is hosted here.
	MessageBytes int `yaml:"message_bytes"`
	// RoomParticipants bounds the participants of a room that is made here.
	RoomParticipants int `yaml:"room_participants"`
	// RoomsPerUser bounds the rooms one local user takes part in.
	RoomsPerUser int `yaml:"rooms_per_user"`
	// ConnectionRequests bounds the connection requests that wait for a local
	// user's decision.
	ConnectionRequests int `yaml:"connection_requests"`
	// KeyPackageSets bounds the sets of KeyPackages that are made for one contact of
	// a local user in an hour. Beyond it sets are used again.
	KeyPackageSets int `yaml:"key_package_sets"`
	// KeyPackageUploads bounds the KeyPackages that one local user stores on one UTC
	// day, for all contacts together.
	KeyPackageUploads int `yaml:"key_package_uploads"`
	// ConnectionPackages is how many connection requests a local user can be sent
	// between two refills before a package is used again.
	ConnectionPackages int `yaml:"connection_packages"`
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
		SmallCrowd:    20,
		Limits: Limits{
			RequestTimeout:     30 * time.Second,
			AnswerStep:         100 * time.Millisecond,
			PeerRequests:       16,
			Requests:           128,
			Connections:        512,
			BodyBytes:          256 << 20,
			MessageBytes:       1 << 20,
			RoomParticipants:   1000,
			RoomsPerUser:       1000,
			ConnectionRequests: 50,
			KeyPackageSets:     20,
			KeyPackageUploads:  1000,
			ConnectionPackages: 5,
		},
	}
}
