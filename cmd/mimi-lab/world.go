package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/gateway"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/pki"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/process"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/synapse"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
)

// portsPerSite are the ports of homeserver, application service and provider.
const portsPerSite = 3

// stopLimit is how long a supervisor gives the gateway.
const stopLimit = 5 * time.Second

// A site is one homeserver with its gateway and its people.
type site struct {
	// name is what the story calls it: alpha, beta.
	name       string
	homeserver *synapse.Server
	gateway    *gateway.Gateway
	people     map[string]*matrixclient.Client
	// certFile and keyFile are for TLS between providers.
	certFile, keyFile string
}

// server is the server name of the homeserver.
func (s *site) server() string { return s.name + ".localhost" }

// domain is the domain of the MIMI provider.
func (s *site) domain() string { return "mimi." + s.server() }

// bot is the gateway's bot.
func (s *site) bot() id.UserID { return id.NewUserID(s.gateway.Bot(), s.server()) }

// A world is a set of sites that reach each other through MIMI alone.
type world struct {
	dir   string
	sites []*site
	// taps stand before the gateways, and log what they say to each other.
	taps []*wiretap.Tap
	log  *wiretap.Log
}

// worldConfig says how a world is built.
type worldConfig struct {
	names  []string
	binary string   // of the gateway; built if empty
	lab    bool     // build with faults and clock
	args   []string // further arguments of all gateways
	log    io.Writer
}

// newWorld starts homeservers and gateways. The caller must call close, even
// after an error.
func newWorld(ctx context.Context, cfg worldConfig) (*world, error) {
	w := &world{log: &wiretap.Log{}}
	var err error
	if w.dir, err = scratchDir(); err != nil {
		return w, err
	}
	python, err := synapse.Install(ctx, cfg.log)
	if err != nil {
		return w, err
	}
	if cfg.binary == "" {
		if cfg.binary, err = gateway.Build(ctx, w.dir, cfg.lab); err != nil {
			return w, err
		}
	}
	authority, err := pki.NewAuthority(w.dir, time.Now())
	if err != nil {
		return w, err
	}
	ports, err := process.FreePorts(ctx, portsPerSite*len(cfg.names))
	if err != nil {
		return w, err
	}
	for _, name := range cfg.names {
		w.sites = append(w.sites, &site{name: name, people: map[string]*matrixclient.Client{}})
	}
	peers, err := w.tap(ctx, authority, ports)
	if err != nil {
		return w, err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range w.sites {
		group.Go(func() error {
			return s.start(ctx, w.dir, python, authority.CAFile(), ports[portsPerSite*i:portsPerSite*(i+1)], peers, cfg)
		})
	}
	return w, group.Wait()
}

// tap puts a tap before the provider of each site, and returns where the others
// find it, by domain.
func (w *world) tap(ctx context.Context, authority *pki.Authority, ports []int) (peers map[string]string, err error) {
	certificates := map[string]tls.Certificate{}
	for _, s := range w.sites {
		if s.certFile, s.keyFile, err = authority.Issue(s.domain()); err != nil {
			return nil, err
		}
		if certificates[s.domain()], err = tls.LoadX509KeyPair(s.certFile, s.keyFile); err != nil {
			return nil, err
		}
	}
	pem, err := os.ReadFile(authority.CAFile())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	peers = map[string]string{}
	for i, s := range w.sites {
		t, err := wiretap.Start(ctx, wiretap.Config{
			Domain: s.domain(), Address: fmt.Sprintf("127.0.0.1:%d", ports[portsPerSite*i+2]),
			Certificates: certificates, Roots: roots, Log: w.log,
		})
		if err != nil {
			return nil, err
		}
		w.taps = append(w.taps, t)
		peers[s.domain()] = t.Address()
	}
	return peers, nil
}

// start brings up one site. ports are those of homeserver, application service
// and provider.
func (s *site) start(ctx context.Context, dir, python, caFile string, ports []int, peers map[string]string, cfg worldConfig) error {
	gatewayDir := filepath.Join(dir, s.name+"-gateway")
	homeserverDir := filepath.Join(dir, s.name+"-homeserver")
	if err := errors.Join(os.Mkdir(gatewayDir, 0o700), os.Mkdir(homeserverDir, 0o700)); err != nil {
		return err
	}
	others := map[string]string{}
	for domain, address := range peers {
		if domain != s.domain() {
			others[domain] = address
		}
	}
	g, err := gateway.New(ctx, gateway.Config{
		Binary: cfg.binary, Dir: gatewayDir,
		HomeserverURL: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), HomeserverName: s.server(),
		Domain: s.domain(), AppservicePort: ports[1], ProviderPort: ports[2],
		CertFile: s.certFile, KeyFile: s.keyFile, CAFile: caFile,
		Peers: others, Args: cfg.args,
	})
	if err != nil {
		return err
	}
	s.gateway = g
	s.homeserver, err = synapse.Start(ctx, synapse.Config{
		Python: python, Dir: homeserverDir, Name: s.server(), Port: ports[0], Registrations: g.Registrations(),
	})
	if err != nil {
		return err
	}
	return g.Start(ctx)
}

// addPerson registers an account and opens its client.
func (s *site) addPerson(ctx context.Context, localpart, displayname string) (*matrixclient.Client, error) {
	account, err := s.homeserver.Register(ctx, localpart, displayname)
	if err != nil {
		return nil, err
	}
	c, err := matrixclient.New(ctx, s.homeserver.URL, id.UserID(account.UserID), id.DeviceID(account.DeviceID), account.AccessToken)
	if err != nil {
		return nil, err
	}
	s.people[localpart] = c
	return c, nil
}

// stop ends clients, gateway and homeserver in order, and returns how long the
// gateway took.
func (s *site) stop(ctx context.Context) (time.Duration, error) {
	for _, c := range s.people {
		c.Close()
	}
	clear(s.people)
	limited, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	took, err := s.gateway.Stop(limited)
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, stopErr := s.homeserver.Stop(patient)
	return took, errors.Join(err, stopErr)
}

// close ends what still runs, and removes the world's files.
func (w *world) close() {
	for _, s := range w.sites {
		for _, c := range s.people {
			c.Close()
		}
		if s.gateway != nil {
			s.gateway.Kill()
		}
		if s.homeserver != nil {
			s.homeserver.Kill()
		}
	}
	for _, t := range w.taps {
		_ = t.Stop()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}

// collect copies databases and logs of all sites, and the traffic, to dir.
func (w *world) collect(dir string) error {
	for _, s := range w.sites {
		from := filepath.Join(w.dir, s.name+"-gateway")
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, s.name)
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		for _, entry := range entries {
			if ext := filepath.Ext(entry.Name()); !strings.HasPrefix(ext, ".db") && ext != ".log" {
				continue
			}
			data, err := os.ReadFile(filepath.Join(from, entry.Name()))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, entry.Name()), data, 0o600); err != nil {
				return err
			}
		}
	}
	return w.log.Write(filepath.Join(dir, "traffic"))
}

// scratchDir makes a folder, in memory if the machine has a place for that:
// homeservers wait for their disk most of the time.
func scratchDir() (string, error) {
	const ram = "/dev/shm"
	if info, err := os.Stat(ram); err == nil && info.IsDir() {
		if dir, err := os.MkdirTemp(ram, "mimi-lab-"); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", "mimi-lab-")
}
