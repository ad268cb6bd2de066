package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
)

// A Measured is one client of an implementation, built with optimisations. Its
// answers say how long the library took.
type Measured struct {
	Name   string
	client client
}

// MeasureOurs starts our own client as a program of its own, like the others.
func MeasureOurs() (*Measured, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := startProgram("", []string{self, "mls-peer"})
	return &Measured{"ours", p}, err
}

// MeasureHere makes our own client in this process, for tests.
func MeasureHere(name string) *Measured { return &Measured{name, local{mlspeer.New()}} }

// Measure builds the client of another implementation, and starts it.
func Measure(ctx context.Context, name string) (*Measured, error) {
	n := slices.IndexFunc(implementations, func(i implementation) bool { return i.name == name })
	if n < 0 {
		return nil, fmt.Errorf("there is no peer %q", name)
	}
	i := implementations[n]
	if _, err := exec.LookPath(i.tool); err != nil {
		return nil, fmt.Errorf("%s cannot be built: %s is missing. It comes with %s", name, i.tool, i.install)
	}
	b := builder{release: true}
	var err error
	if b.source, err = sourceFolder(); err != nil {
		return nil, err
	}
	if b.cache, err = cacheFolder(); err != nil {
		return nil, err
	}
	command, err := i.build(b, ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to build the peer of %s: %w", name, err)
	}
	p, err := startProgram(b.cache, command)
	return &Measured{name, p}, err
}

// Ask makes a request of the protocol of package mlspeer.
func (m *Measured) Ask(ctx context.Context, op string, params any) (*mlspeer.Answer, error) {
	return ask(ctx, m.client, op, params)
}

// Close ends the client.
func (m *Measured) Close() { m.client.close() }
