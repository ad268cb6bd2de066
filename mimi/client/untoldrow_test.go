package client

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func sampleUntold() untolds {
	uri := func(kind mimi.Kind, id string) mimi.URI { return mimi.URI{Domain: "a.example", Kind: kind, ID: id} }
	return untolds{
		{uri(mimi.KindUser, "alice"), uri(mimi.KindUser, "6f1c2d3e-4b5a-4968-8776-655443322110"), time.UnixMilli(1).UTC()},
		{uri(mimi.KindUser, "anna"), uri(mimi.KindUser, "bob"), time.UnixMilli(1_795_608_000_003).UTC()},
	}
}

// TestUntoldRow: what is stored of Adds is what there was, and nothing is left behind when
// there are none.
func TestUntoldRow(t *testing.T) {
	r := &room{}
	if err := r.setUntold(sampleUntold()); err != nil {
		t.Fatal(err)
	}
	row, read := r.rows[0], &room{}
	if err := read.readUntold(row); err != nil || !reflect.DeepEqual(read.untold, sampleUntold()) {
		t.Errorf("read %+v, %v", read.untold, err)
	}
	for n := range row.Value {
		cut := row
		cut.Value = row.Value[:n]
		if err := (&room{}).readUntold(cut); err == nil {
			t.Errorf("the first %d octets are taken", n)
		}
	}
	if err := r.setUntold(nil); err != nil || r.rows[1].Key != row.Key || r.rows[1].Value != nil {
		t.Errorf("of nobody there is %+v, %v", r.rows[1], err)
	}
}

// FuzzUntoldRow: whatever decodes is encoded as it was.
func FuzzUntoldRow(f *testing.F) {
	all := sampleUntold()
	b, err := wire.Marshal(&all)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var l untolds
		if wire.Unmarshal(b, &l) != nil {
			t.Skip("refused")
		}
		again, err := wire.Marshal(&l)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x became %x, %v", b, again, err)
		}
	})
}
