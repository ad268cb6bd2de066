// Package process runs the programs of the lab, and ends exactly those.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A Process is a program that runs beside the lab. Its output goes to a file.
type Process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
	err     error         // set before done is closed
}

// Start runs a command whose output is appended to logFile.
func Start(name, logFile string, cmd *exec.Cmd) (*Process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = log, log
	// If the lab is killed, so are its programs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{name: name, logFile: logFile, cmd: cmd, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("failed to start %s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended describes an unexpected end, with the last lines of the log.
func (p *Process) Ended() error {
	return fmt.Errorf("%s ended (%v); the end of %s:\n%s", p.name, p.cmd.ProcessState, p.logFile, tail(p.logFile, 15))
}

// Kill ends the process without warning, as a power failure would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop sends SIGTERM and returns the time until the process ended. One that
// does not end before ctx is killed, which is an error, as is a failed exit.
func (p *Process) Stop(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return time.Since(start), fmt.Errorf("%s did not stop in time, and was killed", p.name)
	}
	if p.err != nil {
		return time.Since(start), p.Ended()
	}
	return time.Since(start), nil
}

func tail(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
