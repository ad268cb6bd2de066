package mapping

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.mau.fi/util/dbutil"
)

// The oldest ids are forgotten; entries are not.
func TestIntakeForgets(t *testing.T) {
	db, err := dbutil.NewWithDialect("file:"+filepath.Join(t.TempDir(), "gw.db")+"?_txlock=immediate", driver)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := Open(t.Context(), db, testKeys(1))
	if err != nil {
		t.Fatal(err)
	}
	in := store.Intake()
	put := func(id string, want bool) {
		t.Helper()
		if stored, err := in.PutTransaction(t.Context(), id, [][]byte{[]byte(id)}); err != nil || stored != want {
			t.Fatalf("PutTransaction(%s) = %v, %v, want %v", id, stored, err, want)
		}
	}
	for n := range 3 {
		put(fmt.Sprint(n), true)
	}
	// As if so many had come since that one more makes the second the oldest.
	if _, err := db.Exec(t.Context(), `UPDATE mimi_sequence SET last = $1 WHERE name = $2`, intakeMemory, seqTransaction); err != nil {
		t.Fatal(err)
	}
	put("new", true)
	put("1", false)
	put("2", false)
	put("new", false)
	put("0", true)
	if _, entries, err := in.PendingEntries(t.Context(), 0, 10); err != nil || len(entries) != 5 {
		t.Errorf("%d entries, %v, want all 5", len(entries), err)
	}
}
