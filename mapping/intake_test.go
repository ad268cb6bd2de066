package mapping_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mapping"
)

func putTransaction(t *testing.T, in *mapping.Intake, id string, want bool, entries ...string) {
	t.Helper()
	var raw [][]byte
	for _, e := range entries {
		raw = append(raw, []byte(e))
	}
	stored, err := in.PutTransaction(t.Context(), id, raw)
	if err != nil || stored != want {
		t.Fatalf("PutTransaction(%s) = %v, %v, want %v", id, stored, err, want)
	}
}

func wantPending(t *testing.T, in *mapping.Intake, after int64, limit int, entries ...string) []int64 {
	t.Helper()
	seqs, got, err := in.PendingEntries(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, entries, func(a []byte, b string) bool { return string(a) == b }) || len(seqs) != len(got) {
		t.Fatalf("pending after %d: %q with %d numbers, want %q", after, got, len(seqs), entries)
	}
	for i, seq := range seqs {
		if seq <= after || i > 0 && seq <= seqs[i-1] {
			t.Errorf("numbers do not grow: %v", seqs)
		}
	}
	return seqs
}

func TestIntake(t *testing.T) {
	in := open(t).Intake()
	wantPending(t, in, 0, 10)
	putTransaction(t, in, "b", true, "1", "2")
	putTransaction(t, in, "empty", true)
	putTransaction(t, in, "a", true, "3", "")
	putTransaction(t, in, "b", false, "other")
	putTransaction(t, in, "empty", false, "other")
	seqs := wantPending(t, in, 0, 10, "1", "2", "3", "")
	if seqs[0] <= 0 {
		t.Errorf("number %d is not positive", seqs[0])
	}
	wantPending(t, in, 0, 2, "1", "2")
	wantPending(t, in, seqs[1], 1, "3")
	wantPending(t, in, seqs[3], 10)
	wantPending(t, in, 0, 0)
	for range 2 { // the second finds nothing
		if err := in.DeleteEntry(t.Context(), seqs[1]); err != nil {
			t.Fatal(err)
		}
		wantPending(t, in, 0, 10, "1", "3", "")
	}
	for _, seq := range seqs {
		if err := in.DeleteEntry(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	putTransaction(t, in, "b", false, "other")
	putTransaction(t, in, "c", true, "4")
	if again := wantPending(t, in, 0, 10, "4"); again[0] <= seqs[3] {
		t.Errorf("number %d was given again", again[0])
	}
}

func TestIntakeConcurrently(t *testing.T) {
	in := open(t).Intake()
	const writers, transactions = 4, 10
	var mu sync.Mutex
	storedBy := map[string]int{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range transactions {
				id := fmt.Sprint(n)
				stored, err := in.PutTransaction(t.Context(), id, [][]byte{{byte(w), byte(n), 1}, {byte(w), byte(n), 2}})
				if err != nil {
					t.Error(err)
				}
				if stored {
					mu.Lock()
					storedBy[id]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for id, n := range storedBy {
		if n != 1 {
			t.Errorf("transaction %s was stored %d times", id, n)
		}
	}
	_, entries, err := in.PendingEntries(t.Context(), 0, 1000)
	if err != nil || len(entries) != 2*transactions {
		t.Fatalf("%d entries, %v, want %d", len(entries), err, 2*transactions)
	}
	for i := 0; i < len(entries); i += 2 {
		if !bytes.Equal(entries[i][:2], entries[i+1][:2]) || entries[i][2] != 1 || entries[i+1][2] != 2 {
			t.Errorf("entries %d and %d are not one transaction", i, i+1)
		}
	}
}
