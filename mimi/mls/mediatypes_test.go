package mls_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func mediaType(t *testing.T, s string) mls.MediaType {
	t.Helper()
	m, err := mls.ParseMediaType(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mediaTypes is an app_data_dictionary with these media types.
func mediaTypes(t *testing.T, types ...string) mls.Extension {
	t.Helper()
	var l mls.MediaTypeList
	for _, s := range types {
		l = append(l, mediaType(t, s))
	}
	d, err := l.Component()
	if err != nil {
		t.Fatal(err)
	}
	return withComponents(t, d)
}

// reads makes a leaf list these media types.
func reads(t *testing.T, types ...string) func(*mls.LeafParams) {
	return func(p *mls.LeafParams) { p.Extensions = mls.Extensions{mediaTypes(t, types...)} }
}

// TestMediaTypeForm compares with the structure of draft-ietf-mls-extensions-09,
// section "Content Advertisement", by hand: quotation marks and backslashes of the
// text are not in it.
func TestMediaTypeForm(t *testing.T) {
	for text, want := range map[string]string{
		`text/plain ;charset="UTF-8"`:       "\x0atext/plain\x0e\x07charset\x05UTF-8",
		`image/png`:                         "\x09image/png\x00",
		`a/b;q="1\"2\\3 ;="`:                "\x03a/b\x0b\x01q\x081\"2\\3 ;=",
		`application/vnd.example.msg+cbor`:  "\x20application/vnd.example.msg+cbor\x00",
		`Multipart/Mixed; Boundary=x; A=""`: "\x0fmultipart/mixed\x0e\x01a\x00\x08boundary\x01x",
	} {
		m := mediaType(t, text)
		if got, err := mls.Marshal(&m); err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q, %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "text", "text/", "/plain", "text/plain; a=1; a=2", "text/plain; a", strings.Repeat("a", 128) + "/b"} {
		if m, err := mls.ParseMediaType(text); !errors.Is(err, mls.ErrMediaType) {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
}

// TestMediaTypesAreChecked: names are those of RFC 6838, and each parameter is
// there once.
func TestMediaTypesAreChecked(t *testing.T) {
	parameter := func(name string) mls.MediaTypeParameter { return mls.MediaTypeParameter{Name: []byte(name)} }
	for name, m := range map[string]mls.MediaType{
		"no type":             {Parameters: []mls.MediaTypeParameter{parameter("a")}},
		"no subtype":          {Type: []byte("text/")},
		"no top-level type":   {Type: []byte("/plain")},
		"no slash":            {Type: []byte("text")},
		"two slashes":         {Type: []byte("text/plain/x")},
		"first character":     {Type: []byte("text/-x")},
		"control character":   {Type: []byte("text/a\x00")},
		"not ASCII":           {Type: []byte("text/\u00e4")},
		"a long name":         {Type: []byte("text/" + strings.Repeat("a", 128))},
		"no parameter name":   {Type: []byte("text/plain"), Parameters: []mls.MediaTypeParameter{parameter("")}},
		"a name with a space": {Type: []byte("text/plain"), Parameters: []mls.MediaTypeParameter{parameter("a b")}},
		"a parameter twice":   {Type: []byte("text/plain"), Parameters: []mls.MediaTypeParameter{parameter("a"), parameter("b"), parameter("A")}},
	} {
		if _, err := mls.Marshal(&m); !errors.Is(err, mls.ErrMediaType) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := (&mls.MediaTypeList{m}).Component(); !errors.Is(err, mls.ErrMediaType) {
			t.Errorf("%s in a list: %v", name, err)
		}
	}
	var m mls.MediaType
	if err := mls.Unmarshal([]byte("\x0atext/plain\x05\x03a b\x00"), &m); !errors.Is(err, mls.ErrMediaType) {
		t.Errorf("decoded: %v", err)
	}
	long := mls.MediaType{Type: []byte("a/" + strings.Repeat("b", 127))}
	for i := range 1000 {
		long.Parameters = append(long.Parameters, mls.MediaTypeParameter{Name: fmt.Appendf(nil, "x!#$&-^_.+%d", i), Value: []byte("\"\\\r\n;=\x00\xff")})
	}
	b, err := mls.Marshal(&long)
	if err != nil {
		t.Fatalf("a long list of odd parameters: %v", err)
	}
	if err := mls.Unmarshal(b, &m); err != nil || !m.Equal(&long) {
		t.Errorf("a long list of odd parameters comes back different: %v", err)
	}
}

// TestMediaTypesAreCompared: case matters in values alone, order never.
func TestMediaTypesAreCompared(t *testing.T) {
	const base = "text/plain;a=b;c=d"
	for text, equal := range map[string]bool{
		base: true, "TEXT/Plain;C=d;A=b": true,
		"text/plain": false, "text/plain;a=b": false, "text/plain;a=b;c=d;e=f": false, "text/plain;a=B;c=d": false, "text/html;a=b;c=d": false,
		`text/plain;a="b;c=d"`: false,
	} {
		x, y := mediaType(t, base), mediaType(t, text)
		if strings.HasPrefix(text, "TEXT") {
			y.Type = []byte("TEXT/Plain")
			slices.Reverse(y.Parameters)
			y.Parameters[0].Name = bytes.ToUpper(y.Parameters[0].Name)
		}
		if x.Equal(&y) != equal {
			t.Errorf("%s and %s: equal is %v", x, y, !equal)
		}
	}
	if s := mediaType(t, `Text/Plain;charset="a b"`).String(); s != `text/plain;charset="a b"` {
		t.Errorf("as text: %s", s)
	}
}

// TestRequiredMediaTypes: what the group lists, every leaf lists.
func TestRequiredMediaTypes(t *testing.T) {
	o := &offer{
		demand: mls.Extensions{mediaTypes(t, "application/mimi-content", "text/markdown;variant=GFM")},
		able:   reads(t, "image/png", "text/markdown;variant=GFM", "application/mimi-content"),
		unable: []func(*mls.LeafParams){
			func(*mls.LeafParams) {}, reads(t, "application/mimi-content"), reads(t, "text/markdown", "application/mimi-content"),
		},
		want: mls.ErrMediaTypes,
	}
	o.check(t)
}

// TestMediaTypesAreNegotiatedByUpdates: an AppDataUpdate changes what every leaf
// has to list, and is refused if they do not.
func TestMediaTypesAreNegotiatedByUpdates(t *testing.T) {
	w := threeWith(t, reads(t, "text/plain", "image/png"), withComponents(t, mls.ComponentData{ID: 9}))
	update := func(types ...string) *mls.AppDataUpdate {
		data, _, err := mls.Extensions{mediaTypes(t, types...)}.Component(mls.ComponentContentMediaTypes)
		if err != nil {
			t.Fatal(err)
		}
		return &mls.AppDataUpdate{Component: mls.ComponentContentMediaTypes, Operation: mls.AppDataUpdateUpdate, Update: data}
	}
	w.Commit("A", "alice/1", mls.CommitOptions{NoPath: true, Proposals: []mls.ProposalBody{update("image/png")}})
	refusedCommit(t, w, byValue(update("image/png", "image/gif")), mls.ErrMediaTypes)
	empty := &mls.AppDataUpdate{Component: mls.ComponentContentMediaTypes, Operation: mls.AppDataUpdateUpdate, Update: []byte{0}}
	refusedCommit(t, w, byValue(empty), mls.ErrMediaType)
	w.Commit("A", "alice/1", mls.CommitOptions{NoPath: true, Proposals: []mls.ProposalBody{
		&mls.AppDataUpdate{Component: mls.ComponentContentMediaTypes, Operation: mls.AppDataUpdateRemove},
	}})
	w.Say("B", "bob/1", "not framed any more")
}

// TestMalformedMediaTypes: in a leaf, in a GroupContext and in a proposal.
func TestMalformedMediaTypes(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want error
	}{
		"no entry":               {"\x00", mls.ErrMediaType},
		"an entry of length 0":   {"\x02\x00\x00", mls.ErrMediaType},
		"something left over":    {"\x05\x03a/b\x00\x00", wire.ErrTrailing},
		"half an entry":          {"\x04\x03a/b", wire.ErrTruncated},
		"no type and no subtype": {"\x05\x03abc\x00", mls.ErrMediaType},
	} {
		malformed(t, name, withComponents(t, mls.ComponentData{ID: mls.ComponentContentMediaTypes, Data: []byte(c.data)}), c.want)
	}
	for _, id := range []mls.ComponentID{mls.ComponentAppComponents, mls.ComponentSafeAAD} {
		malformed(t, "half a component", withComponents(t, mls.ComponentData{ID: id, Data: []byte{1, 0}}), wire.ErrTruncated)
	}
	malformed(t, "dictionary", mls.Extension{Type: mls.ExtensionAppDataDictionary, Data: []byte{6, 0, 2, 0, 0, 1, 0}}, mls.ErrComponentOrder)
}

// TestSupportsMediaType: an application sees which formats everyone reads.
func TestSupportsMediaType(t *testing.T) {
	w := threeWith(t, reads(t, "text/plain", "image/png;a=b"))
	w.Change = reads(t, "image/png;a=b")
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
	for text, want := range map[string]bool{"image/png;a=b": true, "image/png": false, "text/plain": false} {
		if got, err := w.Hub.View().SupportsMediaType(mediaType(t, text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
