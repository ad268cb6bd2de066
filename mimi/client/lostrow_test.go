package client

import (
	"bytes"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// FuzzLostRow: whatever decodes is encoded as it was.
func FuzzLostRow(f *testing.F) {
	uri := func(kind mimi.Kind, id string) mimi.URI { return mimi.URI{Domain: "a.example", Kind: kind, ID: id} }
	row, err := lostRow(&loss{time.UnixMilli(1), []helper{{
		uri(mimi.KindUser, "alice"), uri(mimi.KindUser, "bob"), uri(mimi.KindRoom, "6f1c2d3e-4b5a-4968-8776-655443322110"),
	}}})
	if err != nil || !row.Secret {
		f.Fatal(err, row.Secret)
	}
	f.Add(row.Value)
	f.Add(row.Value[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var l loss
		if wire.Unmarshal(b, &l) != nil {
			t.Skip("refused")
		}
		again, err := wire.Marshal(&l)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x became %x, %v", b, again, err)
		}
	})
}
