package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
)

// answerTimeout bounds one request. It is long, since the machine may be busy.
const answerTimeout = 2 * time.Minute

// maxAnswer bounds an answer.
const maxAnswer = 64 << 20

// errUnsupported marks that an implementation lacks a feature.
var errUnsupported = errors.New("not supported")

// A client answers requests of the protocol, one after the other.
type client interface {
	call(ctx context.Context, request []byte) ([]byte, error)
	// alive reports whether it can answer further requests.
	alive() bool
	close()
}

// A local client is our own peer in this process.
type local struct{ peer *mlspeer.Peer }

func (l local) call(ctx context.Context, request []byte) ([]byte, error) {
	return json.Marshal(l.peer.Handle(ctx, request))
}

func (local) alive() bool { return true }

func (local) close() {}

// A program is a client in a process of its own.
type program struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr *tail
	dead   bool
}

// startProgram starts a client.
func startProgram(dir string, command []string) (*program, error) {
	p := &program{cmd: exec.Command(command[0], command[1:]...), stderr: new(tail)}
	p.cmd.Dir, p.cmd.Stderr = dir, p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// If the process is killed, whatever it has started cannot keep us waiting.
	p.cmd.WaitDelay = time.Second
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(stdout)
	p.lines.Buffer(nil, maxAnswer)
	return p, p.cmd.Start()
}

func (p *program) call(ctx context.Context, request []byte) ([]byte, error) {
	// An unanswered request ends the process, which ends the wait for a line.
	timer := time.AfterFunc(answerTimeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	if _, err := p.stdin.Write(append(request, '\n')); err != nil {
		return nil, p.died(err)
	}
	if !p.lines.Scan() {
		return nil, p.died(p.lines.Err())
	}
	return bytes.Clone(p.lines.Bytes()), nil
}

// died describes a process that answers no more.
func (p *program) died(err error) error {
	_ = p.cmd.Process.Kill()
	wait := p.cmd.Wait()
	p.dead = true
	return fmt.Errorf("the peer ended (%v, %v): %s", err, wait, p.stderr.b)
}

func (p *program) alive() bool { return !p.dead }

func (p *program) close() {
	if p.dead {
		return
	}
	_ = p.stdin.Close()
	timer := time.AfterFunc(time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait()
}

// A tail keeps the last octets that were written to it. It is written by one
// goroutine and read after that has ended.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	const keep = 2000
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-keep):]
	return len(b), nil
}
