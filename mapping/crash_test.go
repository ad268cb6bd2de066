package mapping_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// crashDir names the folder in which a copy of this test binary writes until it
// is killed.
const crashDir = "MIMI_GATEWAY_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		err := writeUntilKilled(context.Background(), dir, os.Stdin, os.Stdout)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if dir, err := emptyDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// writeUntilKilled goes round by round through a transaction of the client, a
// change of a hub's room and a Matrix transaction. It writes a line at each
// point at which it may be killed, and goes on when it has read one.
func writeUntilKilled(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	goOn := bufio.NewReader(in)
	at := func(point string) error {
		if _, err := fmt.Fprintln(out, point); err != nil {
			return err
		}
		_, err := goOn.ReadString('\n')
		return err
	}
	path := filepath.Join(dir, "gw.db")
	if _, err := mapping.Claim(dbutil.PoolConfig{Type: driver, URI: uriOf(path)}); err != nil {
		return err
	}
	store, err := openStore(ctx, dir)
	if err != nil {
		return err
	}
	accounts, err := store.Client().Accounts(ctx)
	if err != nil {
		return err
	}
	for n := len(accounts); ; n++ {
		if err := crashRound(ctx, store, n, at); err != nil {
			return err
		}
	}
}

func openStore(ctx context.Context, dir string) (*mapping.Store, error) {
	db, err := dbutil.NewWithDialect(uriOf(filepath.Join(dir, "gw.db")), driver)
	if err != nil {
		return nil, err
	}
	keys, err := mapping.LoadKeyFile(filepath.Join(dir, "gw.key"))
	if err != nil {
		return nil, err
	}
	return mapping.Open(ctx, db, keys)
}

func crashRound(ctx context.Context, store *mapping.Store, n int, at func(point string) error) error {
	c, id := store.Client(), fmt.Sprintf("%04d", n)
	if err := c.Atomically(ctx, func(ctx context.Context) error {
		for i, write := range []func() error{
			func() error { return c.PutAccount(ctx, account(id)) },
			func() error { return c.PutRoom(ctx, &client.Room{URI: room(id)}) },
			func() error {
				return c.PutRows(ctx, room(id), []mls.Row{{Key: "a", Value: []byte{1}}, {Key: "b", Value: []byte{2}, Secret: true}})
			},
			func() error {
				return c.PutOutgoing(ctx, &client.Outgoing{Room: room(id), Account: user(id), Source: "$1", Secret: []byte(id)})
			},
			func() error { return c.AddEvent(ctx, &client.StoredEvent{Lane: room(id)}) },
		} {
			if err := write(); err != nil {
				return err
			}
			if err := at(fmt.Sprintf("in transaction %d", i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := at("acknowledged transaction"); err != nil {
		return err
	}

	h, hosted := store.Hub(), room("hosted")
	_, version, err := h.Load(ctx, hosted)
	if errors.Is(err, hub.ErrNoRoom) {
		err = h.Create(ctx, hosted, nil)
	}
	if err != nil {
		return err
	}
	if err := h.Advance(ctx, hosted, version, &hub.Change{
		Rows:    []mls.Row{{Key: fmt.Sprintf("%04d", version), Value: []byte{1}}},
		Request: [32]byte{1, byte(version >> 8), byte(version)}, At: time.UnixMilli(int64(version)),
		Deliveries: []hub.Delivery{{Domain: "b.example"}, {Domain: "b.example"}, {Domain: "b.example"}},
	}); err != nil {
		return err
	}
	if err := at(fmt.Sprintf("acknowledged version %d", version+1)); err != nil {
		return err
	}

	if _, err := store.Intake().PutTransaction(ctx, id, [][]byte{{1}, {2}, {3}}); err != nil {
		return err
	}
	return at("acknowledged intake " + id)
}

// Whenever the process is killed, each transaction is there as a whole or not
// at all, and all that were acknowledged are there.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	a := &acknowledged{}
	const pointsPerRound = 8
	for point := range 2 * pointsPerRound {
		killAt(t, dir, point+1, a)
		a.check(t, dir)
	}
	if a.transactions < 4 || a.version < 4 || len(a.intake) < 4 {
		t.Errorf("little was acknowledged, so that little was tested: %+v", a)
	}
}

// Killed in the middle of SQLite's own work: the writer does not wait at its
// points, so that it is somewhere else when the signal comes.
func TestKillRunning(t *testing.T) {
	dir := t.TempDir()
	a := &acknowledged{}
	for round := range 8 {
		command, lines := startWriter(t, dir, strings.NewReader(strings.Repeat("\n", 100_000)))
		for range 3 + 5*round {
			a.line(t, lines)
		}
		kill(t, command, lines, a)
		a.check(t, dir)
	}
}

// killAt lets the writer go on n-1 times, and kills it when it has come to the
// nth point.
func killAt(t *testing.T, dir string, n int, a *acknowledged) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	command, lines := startWriter(t, dir, r)
	r.Close()
	for i := range n {
		if i > 0 {
			if _, err := w.WriteString("\n"); err != nil {
				t.Fatal(err)
			}
		}
		a.line(t, lines)
	}
	kill(t, command, lines, a)
}

func startWriter(t *testing.T, dir string, in io.Reader) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), crashDir+"="+dir)
	command.Stdin = in
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command, bufio.NewScanner(out)
}

// kill returns when the process is gone, and with it the locks that it held. What
// it has written before the signal came is read to its end.
func kill(t *testing.T, command *exec.Cmd, lines *bufio.Scanner, a *acknowledged) {
	t.Helper()
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		a.text(lines.Text())
	}
	err := command.Wait()
	status, ok := command.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the writer has ended by itself: %v", err)
	}
}

// acknowledged is what the writer has said to be written.
type acknowledged struct {
	transactions int
	version      uint64
	intake       []string
}

func (a *acknowledged) line(t *testing.T, lines *bufio.Scanner) {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the writer has ended by itself (%v)", lines.Err())
	}
	a.text(lines.Text())
}

func (a *acknowledged) text(line string) {
	var version uint64
	switch id, isIntake := strings.CutPrefix(line, "acknowledged intake "); {
	case line == "acknowledged transaction":
		a.transactions++
	case isIntake:
		a.intake = append(a.intake, id)
	default:
		if _, err := fmt.Sscanf(line, "acknowledged version %d", &version); err == nil {
			a.version = version
		}
	}
}

// check opens what the writer has left behind.
func (a *acknowledged) check(t *testing.T, dir string) {
	t.Helper()
	t.Run("check", func(t *testing.T) {
		store := openIn(t, dir)
		a.checkClient(t, store.Client())
		a.checkHub(t, store.Hub())
		a.checkIntake(t, store.Intake())
	})
}

func (a *acknowledged) checkClient(t *testing.T, c *mapping.Client) {
	t.Helper()
	accounts, err := c.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(accounts) < a.transactions {
		t.Errorf("%d transactions of %d that were acknowledged", len(accounts), a.transactions)
	}
	// What was written and not acknowledged counts from now on.
	a.transactions = len(accounts)
	waiting, err := c.Unaccepted(t.Context())
	if err != nil || len(waiting) != len(accounts) {
		t.Errorf("%d outgoing messages, %v, want %d", len(waiting), err, len(accounts))
	}
	for i, acc := range accounts {
		rows, err := c.Rows(t.Context(), room(acc.User.ID))
		if err != nil || len(rows) != 2 {
			t.Errorf("room %s has %d rows, %v", acc.User.ID, len(rows), err)
		}
		if _, err := c.NextEvent(t.Context(), room(acc.User.ID)); err != nil {
			t.Errorf("room %s has no event: %v", acc.User.ID, err)
		}
		if i < len(waiting) && string(waiting[i].Secret) != acc.User.ID {
			t.Errorf("outgoing message %d is that of %s", i, waiting[i].Secret)
		}
	}
}

func (a *acknowledged) checkHub(t *testing.T, h *mapping.Hub) {
	t.Helper()
	rows, version, err := h.Load(t.Context(), room("hosted"))
	if a.version == 0 && err != nil {
		return // killed before there was a room
	}
	if err != nil {
		t.Fatal(err)
	}
	if version < a.version {
		t.Errorf("room is at version %d, but %d was acknowledged", version, a.version)
	}
	a.version = version
	if len(rows) != int(version) {
		t.Errorf("%d rows at version %d", len(rows), version)
	}
	head, err := h.Head(t.Context(), hub.Lane{Room: room("hosted"), Domain: "b.example"}, 1<<20)
	if err != nil || len(head) != 3*int(version) {
		t.Errorf("%d deliveries, %v, at version %d", len(head), err, version)
	}
	for v := range version {
		if _, ok, err := h.Answer(t.Context(), room("hosted"), [32]byte{1, byte(v >> 8), byte(v)}); !ok || err != nil {
			t.Errorf("version %d has no answer (%v)", v+1, err)
		}
	}
}

func (a *acknowledged) checkIntake(t *testing.T, in *mapping.Intake) {
	t.Helper()
	seqs, _, err := in.PendingEntries(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(seqs)%3 != 0 || len(seqs) < 3*len(a.intake) {
		t.Errorf("%d events of %d transactions that were acknowledged", len(seqs), len(a.intake))
	}
	for _, id := range a.intake {
		if stored, err := in.PutTransaction(t.Context(), id, [][]byte{{1}}); err != nil || stored {
			t.Errorf("transaction %s is not remembered (%v)", id, err)
		}
	}
}
