package mls_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// TestApplicationFraming follows draft-ietf-mls-extensions-09, section "Framing of
// application_data".
func TestApplicationFraming(t *testing.T) {
	w := threeWith(t, reads(t, "text/plain", "image/png"), mediaTypes(t, "text/plain", "image/png"))
	group := w.Hub.View().Context().Extensions
	for name, c := range map[string]struct {
		frame mls.ApplicationFraming
		wire  string
		want  string
	}{
		"default":     {mls.ApplicationFraming{Content: []byte("hi")}, "\x00\x00\x02hi", "text/plain"},
		"said":        {mls.ApplicationFraming{MediaType: mediaType(t, "image/png"), Content: []byte("png")}, "\x09image/png\x00\x03png", "image/png"},
		"none listed": {mls.ApplicationFraming{MediaType: mediaType(t, "a/b;c=d")}, "\x03a/b\x04\x01c\x01d\x00", `a/b;c="d"`},
	} {
		data, err := c.frame.ApplicationData(group)
		if err != nil || string(data) != c.wire {
			t.Fatalf("%s: %q, %v", name, data, err)
		}
		m, err := w.Node("A").Group.Protect(w.Leaf("alice/1"), data, mls.AuthenticatedData{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.Node("B").Group.Process(t.Context(), &mls.MLSMessage{PrivateMessage: m})
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.Application.Framing()
		if err != nil || f.MediaType.String() != c.want || !bytes.Equal(f.Content, c.frame.Content) {
			t.Errorf("%s: %v %q, %v", name, f.MediaType, f.Content, err)
		}
	}
	bad := "\x00\x00\x02hi, and more"
	if _, err := w.Node("A").Group.Protect(w.Leaf("alice/1"), []byte(bad), mls.AuthenticatedData{}); !errors.Is(err, mls.ErrApplicationFraming) {
		t.Errorf("protecting what is not framed: %v", err)
	}
	if _, err := mls.ParseApplicationData(group, []byte(bad)); !errors.Is(err, mls.ErrApplicationFraming) || !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("what is not framed: %v", err)
	}
	half := mls.ApplicationFraming{MediaType: mls.MediaType{Parameters: []mls.MediaTypeParameter{{Name: []byte("a")}}}}
	if _, err := half.ApplicationData(group); !errors.Is(err, mls.ErrMediaType) {
		t.Errorf("parameters of nothing: %v", err)
	}
}

// TestApplicationFramingOfOtherEpochs: a late message is read as its own epoch
// frames it, and without the component there is no frame.
func TestApplicationFramingOfOtherEpochs(t *testing.T) {
	w := threeWith(t, reads(t, "text/plain", "image/png"))
	late := w.Protect("A", "alice/1", "\x00\x00\x02hi")
	w.Commit("B", "bob/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.GroupContextExtensions{Extensions: mls.Extensions{mediaTypes(t, "image/png")}}}})
	framed := w.Protect("A", "alice/1", "\x00\x00\x02hi")
	w.Restart("C")
	w.Commit("B", "bob/1", mls.CommitOptions{})
	w.Restart("C")
	for want, m := range map[string]*mls.PrivateMessage{"\x00\x00\x02hi": late, "hi": framed} {
		r, err := w.Node("C").Group.Process(t.Context(), &mls.MLSMessage{PrivateMessage: m})
		if err != nil {
			t.Fatal(err)
		}
		if f, err := r.Application.Framing(); err != nil || string(f.Content) != want || f.MediaType.IsZero() != (m == late) {
			t.Errorf("%v %q, %v", f.MediaType, f.Content, err)
		}
	}
	typed := mls.ApplicationFraming{MediaType: mediaType(t, "text/plain")}
	if _, err := typed.ApplicationData(nil); !errors.Is(err, mls.ErrApplicationFraming) {
		t.Errorf("a media type that nothing carries: %v", err)
	}
	if data, err := (&mls.ApplicationFraming{Content: []byte("x")}).ApplicationData(nil); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	broken := mls.Extensions{withComponents(t, mls.ComponentData{ID: mls.ComponentContentMediaTypes, Data: []byte{0}})}
	if _, err := typed.ApplicationData(broken); !errors.Is(err, mls.ErrMediaType) {
		t.Errorf("a GroupContext that is none: %v", err)
	}
	if _, err := mls.ParseApplicationData(broken, nil); !errors.Is(err, mls.ErrMediaType) {
		t.Errorf("a GroupContext that is none: %v", err)
	}
}
