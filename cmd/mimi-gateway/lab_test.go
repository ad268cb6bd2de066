//go:build lab

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLabBuildHasTheWords keeps the words honest by which the release binary is
// searched.
func TestLabBuildHasTheWords(t *testing.T) {
	data, err := os.ReadFile(buildBinary(t, "goolm,lab"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range labWords {
		if !bytes.Contains(data, []byte(word)) {
			t.Errorf("the lab binary does not contain %q", word)
		}
	}
}

func TestFaultsAreListedAndChecked(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--faults"}, &out); err != nil {
		t.Fatal(err)
	}
	for name := range faults {
		if !strings.Contains(out.String(), name) {
			t.Errorf("--faults does not list %s", name)
		}
	}
	if err := run(t.Context(), []string{"--fault=nonsense"}, &out); exitCode(err) != exitUsage {
		t.Errorf("an unknown fault gave %v", err)
	}
}

func TestClockIsAdvanced(t *testing.T) {
	o := labOptions{clock: "127.0.0.1:1"}
	clock := o.newClock()
	before := clock.Now()
	_, controls := o.controls()
	w := httptest.NewRecorder()
	controls.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/advance?by=90m", nil))
	if w.Code != http.StatusOK || clock.Now().Sub(before) != 90*time.Minute {
		t.Errorf("status %d, advanced by %v", w.Code, clock.Now().Sub(before))
	}
}
