package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"

	"go.mau.fi/util/exhttp"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// intakePath is the endpoint at which homeservers push events (Matrix
// Application Service API v1.18, PUT /_matrix/app/v1/transactions/{txnId}).
const intakePath = "PUT /_matrix/app/v1/transactions/{txnID}"

const (
	// intakeMaxBytes bounds a transaction. Homeservers send at most 100
	// events of 64 KiB each, and as many ephemeral and to-device events.
	intakeMaxBytes = 32 << 20
	// intakeBatch is how many entries are read from the store at once.
	intakeBatch = 100
)

// An IntakeStore keeps what the homeserver sent until it is handled. Entries
// are opaque to it. All methods may be called concurrently.
type IntakeStore interface {
	// PutTransaction stores the entries of a transaction in their order, after
	// all that were stored before, and remembers txnID. It is atomic, and
	// returns only when a crash no longer loses the entries. A txnID that was
	// stored before changes nothing and returns false: the homeserver repeats a
	// transaction until it sees the answer.
	PutTransaction(ctx context.Context, txnID string, entries [][]byte) (stored bool, err error)
	// PendingEntries returns up to limit entries with sequence numbers greater
	// than after, in order. Sequence numbers are positive, grow in the order of
	// storing, and are not used again.
	PendingEntries(ctx context.Context, after int64, limit int) (seqs []int64, entries [][]byte, err error)
	// DeleteEntry forgets an entry, which may be gone already.
	DeleteEntry(ctx context.Context, seq int64) error
}

// An Intake stands in front of the application service's transaction endpoint.
// It stores a transaction before it is acknowledged and handles its events
// afterwards: in order within each room, the rooms independently of each
// other, and again after a crash until they have been handled once.
//
// The order that makes a crash safe: store and commit, answer 200, handle,
// delete. What was handled but not yet deleted is handled again, so handlers
// must recognise a repeated event.
type Intake struct {
	as         *appservice.AppService
	dispatcher IntakeDispatcher
	clock      mimi.Clock
	log        *slog.Logger
	metrics    IntakeMetrics

	opened chan struct{} // closed by Open
	store  IntakeStore   // set before opened is closed
	wake   chan struct{} // holds one token when entries may be waiting

	workers sync.WaitGroup

	mu     sync.Mutex
	queues map[string][]int64 // by queue; present exactly while a worker runs
	closed bool               // from then on nothing is deleted
}

// IntakeMetrics is told what the intake does; see package metrics.
type IntakeMetrics interface {
	// IntakeStored counts entries that were stored and acknowledged.
	IntakeStored(entries int)
	// IntakeHandled counts entries that were handled and deleted.
	IntakeHandled()
}

// IntakeConfig holds what an [Intake] needs.
type IntakeConfig struct {
	// AppService authenticates the homeserver and keeps the room state.
	AppService *appservice.AppService
	// Dispatcher handles the events, one at a time in each room.
	Dispatcher IntakeDispatcher
	// Clock stamps events with the time of their handling.
	Clock mimi.Clock
	// Log is told of entries that cannot be read.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics IntakeMetrics
}

// NewIntake takes the place of the transaction endpoint of cfg.AppService.
// Requests wait until [Intake.Open] gives it a store. It must be called before
// the application service listens.
func NewIntake(cfg IntakeConfig) *Intake {
	in := &Intake{
		as:         cfg.AppService,
		dispatcher: cfg.Dispatcher,
		clock:      cfg.Clock,
		log:        cfg.Log,
		metrics:    cfg.Metrics,
		opened:     make(chan struct{}),
		wake:       make(chan struct{}, 1),
		queues:     map[string][]int64{},
	}
	// The routes of a ServeMux cannot be replaced; a more specific one in
	// front of it can be added.
	router := http.NewServeMux()
	router.HandleFunc(intakePath, in.serveTransaction)
	router.Handle("/", in.as.Router)
	in.as.Router = router
	return in
}

// Open gives the intake its store. Waiting requests go on: they are stored and
// acknowledged, but handled only after [Intake.Run] has been called. It must be
// called once.
func (in *Intake) Open(store IntakeStore) {
	in.store = store
	close(in.opened)
}

// Run handles stored entries, those of an earlier process first, until ctx is
// done. It returns after the handlers that still run have returned; from the
// moment [Intake.Abandon] is called, what they handled is not deleted.
func (in *Intake) Run(ctx context.Context) error {
	select {
	case <-in.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer in.workers.Wait()
	var last int64
	for {
		seqs, entries, err := in.store.PendingEntries(ctx, last, intakeBatch)
		if err != nil {
			return err
		}
		for i, seq := range seqs {
			in.enqueue(ctx, seq, entries[i])
			last = seq
		}
		if len(seqs) == intakeBatch {
			continue
		}
		select {
		case <-in.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Abandon keeps every entry whose handling has not ended: the handlers are
// about to lose what they stand on, and what they report no longer counts.
func (in *Intake) Abandon() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
}

// serveTransaction answers the homeserver. Every status but 200 makes it send
// the transaction again.
func (in *Intake) serveTransaction(w http.ResponseWriter, r *http.Request) {
	if !in.as.CheckServerToken(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, intakeMaxBytes))
	if err != nil {
		mautrix.MTooLarge.WithMessage("Failed to read the transaction").Write(w)
		return
	}
	var txn wireTransaction
	if err := json.Unmarshal(body, &txn); err != nil {
		mautrix.MBadJSON.WithMessage("The transaction is not valid JSON").Write(w)
		return
	}
	select {
	case <-in.opened:
	case <-r.Context().Done():
		return
	}
	entries := txn.entries(in.as.Registration.EphemeralEvents)
	if len(entries) == 0 {
		exhttp.WriteEmptyJSONResponse(w, http.StatusOK)
		return
	}
	stored, err := in.store.PutTransaction(r.Context(), r.PathValue("txnID"), entries)
	if err != nil {
		in.log.Error("failed to store a Matrix transaction; the homeserver will repeat it", "err", err)
		mautrix.MUnknown.WithMessage("Failed to store the transaction").
			WithStatus(http.StatusServiceUnavailable).Write(w)
		return
	}
	if stored {
		if in.metrics != nil {
			in.metrics.IntakeStored(len(entries))
		}
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
	exhttp.WriteEmptyJSONResponse(w, http.StatusOK)
}

// enqueue appends an entry to its queue and starts a worker if the queue was
// empty. Only the number is kept in memory, so that a room that is stuck costs
// eight bytes per waiting event.
func (in *Intake) enqueue(ctx context.Context, seq int64, data []byte) {
	name := queueOf(data)
	in.mu.Lock()
	defer in.mu.Unlock()
	queue, running := in.queues[name]
	in.queues[name] = append(queue, seq)
	if !running {
		in.workers.Go(func() { in.work(ctx, name) })
	}
}

// work handles the entries of one queue until it is empty or ctx is done.
func (in *Intake) work(ctx context.Context, name string) {
	for {
		in.mu.Lock()
		queue := in.queues[name]
		if len(queue) == 0 || ctx.Err() != nil {
			delete(in.queues, name)
			in.mu.Unlock()
			return
		}
		in.queues[name] = queue[1:]
		in.mu.Unlock()
		if err := in.handle(ctx, queue[0]); err != nil && !errors.Is(err, context.Canceled) {
			in.log.Error("failed to finish a Matrix event; it will be handled again at the next start",
				"seq", queue[0], "err", err)
		}
	}
}

// handle dispatches one entry and deletes it. Handlers are not interrupted:
// their context outlives ctx, which only prevents the start of new ones.
func (in *Intake) handle(ctx context.Context, seq int64) error {
	seqs, entries, err := in.store.PendingEntries(ctx, seq-1, 1)
	if err != nil {
		return err
	}
	if len(seqs) == 0 || seqs[0] != seq {
		return nil // handled before: the homeserver's numbers have no gaps, ours may
	}
	handling := context.WithoutCancel(ctx)
	if err := in.dispatch(handling, entries[0]); err != nil {
		// Nobody can handle it, and it must not stay in the way of others.
		in.log.Warn("dropped a Matrix event that cannot be read", "seq", seq, "err", err)
	}
	in.mu.Lock()
	closed := in.closed
	in.mu.Unlock()
	if closed {
		return nil
	}
	if err := in.store.DeleteEntry(handling, seq); err != nil {
		return err
	}
	if in.metrics != nil {
		in.metrics.IntakeHandled()
	}
	return nil
}
