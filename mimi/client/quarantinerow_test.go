package client

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// sampleQuarantine has a leaf of everything.
func sampleQuarantine() map[mls.LeafIndex]*quarantined {
	uri := func(kind mimi.Kind, id string) mimi.URI { return mimi.URI{Domain: "a.example", Kind: kind, ID: id} }
	at := time.Date(2026, 11, 22, 12, 0, 0, int(3*time.Millisecond), time.UTC)
	return map[mls.LeafIndex]*quarantined{
		7: {leaf: 7, pseudonym: uri(mimi.KindClient, "c7"), since: at, marks: markExternal | markTold},
		2: {
			leaf: 2, pseudonym: uri(mimi.KindClient, "c2"), since: at.Add(time.Hour), marks: markNoCA, by: uri(mimi.KindUser, "u1"),
			accepted: []mimi.URI{uri(mimi.KindUser, "alice"), uri(mimi.KindUser, "anna")},
		},
	}
}

// TestQuarantineRow: what is stored of leaves in quarantine is what there was, and
// nothing is left behind when there are none.
func TestQuarantineRow(t *testing.T) {
	r := &room{quarantined: sampleQuarantine()}
	row, err := r.quarantineRow()
	if err != nil || !row.Secret {
		t.Fatal(row.Secret, err)
	}
	read := &room{quarantined: map[mls.LeafIndex]*quarantined{}}
	if err := read.readQuarantine(row); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read.quarantined, r.quarantined) {
		t.Errorf("read %+v", read.quarantined)
	}
	for n := range row.Value {
		cut := mls.Row{Key: row.Key, Value: row.Value[:n]}
		if err := (&room{quarantined: map[mls.LeafIndex]*quarantined{}}).readQuarantine(cut); err == nil {
			t.Errorf("the first %d octets are taken", n)
		}
	}
	clear(r.quarantined)
	if row, err := r.quarantineRow(); err != nil || row.Value != nil {
		t.Errorf("of nobody there is %x, %v", row.Value, err)
	}
}

// FuzzQuarantineRow: whatever decodes is encoded as it was.
func FuzzQuarantineRow(f *testing.F) {
	row, err := (&room{quarantined: sampleQuarantine()}).quarantineRow()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row.Value)
	f.Add(row.Value[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var list quarantineList
		if wire.Unmarshal(b, &list) != nil {
			t.Skip("refused")
		}
		again, err := wire.Marshal(&list)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x became %x, %v", b, again, err)
		}
	})
}
