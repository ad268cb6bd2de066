package mapping_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

// A queryLog collects the statements that go through a database.
type queryLog struct {
	mu   sync.Mutex
	args map[string][]any
}

func (q *queryLog) QueryTiming(_ context.Context, _, query string, args []any, _ int, _ time.Duration, _ error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.args[query] = slices.Clone(args)
}
func (*queryLog) WarnUnsupportedVersion(int, int, int)       {}
func (*queryLog) PrepareUpgrade(int, int, int)               {}
func (*queryLog) DoUpgrade(int, int, string, dbutil.TxnMode) {}
func (*queryLog) Warn(string, ...any)                        {}

var (
	// scan is a step that reads a whole table or index. An index whose name ends
	// in waiting_idx holds nothing but the wanted rows.
	scan    = regexp.MustCompile(`SCAN mimi_\w+(?: USING (?:COVERING )?INDEX (\w+))?`)
	isQuery = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE)`)
	// wholeTable are the statements that return all there is.
	wholeTable = regexp.MustCompile(`(?s)^\s*SELECT [^()]* FROM mimi_(account|contact|room|event|hub_delivery|key) *(ORDER BY [a-z_, ]+)?\s*$`)
)

// Every statement that the suites run finds its rows through an index, without
// sorting.
func TestQueriesUseIndexes(t *testing.T) {
	log := &queryLog{args: map[string][]any{}}
	openLogged := func(t testing.TB) *mapping.Store {
		dir := emptyIn(t)
		keys, err := mapping.LoadKeyFile(filepath.Join(dir, "gw.key"))
		if err != nil {
			t.Fatal(err)
		}
		db := openDB(t, filepath.Join(dir, "gw.db"))
		db.Log = log
		store, err := mapping.Open(t.Context(), db, keys)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	t.Run("suites", func(t *testing.T) {
		storetest.Queue(t, func(t *testing.T) storetest.HubQueue { return openLogged(t).Hub() })
		storetest.Client(t, func(t *testing.T) client.Store { return openLogged(t).Client() })
		peopleSuites(t, openLogged)
		bridgeSuite(t, func(t testing.TB) *mapping.Bridge { return openLogged(t).Bridge() })
		h := openLogged(t).Hub()
		if _, _, err := h.Answer(t.Context(), room("1"), [32]byte{}); err != nil {
			t.Error(err)
		}
		if err := h.Forget(t.Context(), time.UnixMilli(0)); err != nil {
			t.Error(err)
		}
		in := openLogged(t).Intake()
		putTransaction(t, in, "1", true, "1")
		wantPending(t, in, 0, 10, "1")
		if err := in.DeleteEntry(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})

	db := openDB(t, filepath.Join(emptyIn(t), "gw.db"))
	explained := 0
	for query, args := range log.args {
		if !isQuery.MatchString(query) || !strings.Contains(query, "mimi_") || strings.Contains(query, "mimi_version") {
			continue
		}
		explained++
		plan, err := explain(t, db, query, args)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		scans := slices.ContainsFunc(scan.FindAllStringSubmatch(plan, -1), func(m []string) bool {
			return !strings.HasSuffix(m[1], "_waiting_idx")
		})
		// The few sets of one contact are sorted by what is computed of them.
		sorts := strings.Contains(plan, "TEMP B-TREE") && !strings.Contains(query, "MIN(not_after)")
		if scans && !wholeTable.MatchString(query) || sorts {
			t.Errorf("%s\nis done by\n%s", query, plan)
		}
	}
	if explained < 85 {
		t.Errorf("only %d statements were seen", explained)
	}
}

func explain(t *testing.T, db *dbutil.Database, query string, args []any) (string, error) {
	t.Helper()
	rows, err := db.Query(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	steps, err := dbutil.ConvertRowFn[string](func(row dbutil.Scannable) (string, error) {
		var id, parent, unused int
		var detail string
		err := row.Scan(&id, &parent, &unused, &detail)
		return fmt.Sprintf("\t%s\n", detail), err
	}).NewRowIter(rows, err).AsList()
	return strings.Join(steps, ""), err
}
