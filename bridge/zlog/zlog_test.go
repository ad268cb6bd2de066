package zlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/rs/zerolog"

	"github.com/mimi-gateway/mimi-gateway/bridge/zlog"
)

// TestHandler runs the rules of log/slog for handlers, but for one: the time of
// a line is always that of the zerolog logger, which adds it itself.
func TestHandler(t *testing.T) {
	var buf bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		buf.Reset()
		if strings.HasSuffix(t.Name(), "/zero-time") {
			return zlog.New(zerolog.New(&buf)).Handler()
		}
		return zlog.New(zerolog.New(&buf).Hook(clock{})).Handler()
	}, func(t *testing.T) map[string]any {
		out := map[string]any{}
		if err := json.Unmarshal(buf.Bytes(), &out); err != nil {
			t.Fatalf("%v: %s", err, buf.Bytes())
		}
		out[slog.MessageKey] = out[zerolog.MessageFieldName]
		return out
	})
}

// clock adds the time, as the logger of the daemon does.
type clock struct{}

func (clock) Run(e *zerolog.Event, _ zerolog.Level, _ string) { e.Timestamp() }

type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

func TestLevelsErrorsAndSecrets(t *testing.T) {
	var buf bytes.Buffer
	log := zlog.New(zerolog.New(&buf).Level(zerolog.InfoLevel))
	log.Debug("not written")
	log.Warn("written", "err", errors.New("broken"), "key", secret("hunter2"))
	want := `{"level":"warn","err":"broken","key":"[redacted]","message":"written"}` + "\n"
	if buf.String() != want {
		t.Errorf("wrote %s, want %s", buf.String(), want)
	}
}
