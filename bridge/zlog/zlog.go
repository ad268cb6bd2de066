// Package zlog writes log records of log/slog to a zerolog logger, so that
// mimi/..., which logs with the standard library, and bridgev2 share one log.
package zlog

import (
	"context"
	"log/slog"

	"github.com/rs/zerolog"
)

// New returns a logger that writes to log. Levels map to the zerolog level of
// the same name; attributes become fields, groups objects.
func New(log zerolog.Logger) *slog.Logger {
	return slog.New(&handler{log: log})
}

// A handler implements [slog.Handler]. Fields of WithAttrs are kept until a
// record is written, because those inside a group belong to its object.
type handler struct {
	log    zerolog.Logger
	scopes []scope // the root, then one per open group
}

type scope struct {
	name  string
	attrs []slog.Attr
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	l := zerologLevel(level)
	return l >= h.log.GetLevel() && l >= zerolog.GlobalLevel()
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	evt := h.log.WithLevel(zerologLevel(r.Level))
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	// From the innermost group outwards, each becomes one attribute of the
	// group around it.
	for i := len(h.scopes) - 1; i > 0; i-- {
		inner := append(clone(h.scopes[i].attrs), attrs...)
		attrs = []slog.Attr{{Key: h.scopes[i].name, Value: slog.GroupValue(inner...)}}
	}
	if len(h.scopes) > 0 {
		attrs = append(clone(h.scopes[0].attrs), attrs...)
	}
	add(evt, attrs)
	evt.Msg(r.Message)
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	out := h.clone()
	if len(out.scopes) == 0 {
		out.scopes = []scope{{}}
	}
	last := &out.scopes[len(out.scopes)-1]
	last.attrs = append(clone(last.attrs), attrs...)
	return out
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	out := h.clone()
	if len(out.scopes) == 0 {
		out.scopes = []scope{{}}
	}
	out.scopes = append(out.scopes, scope{name: name})
	return out
}

func (h *handler) clone() *handler {
	return &handler{log: h.log, scopes: append([]scope(nil), h.scopes...)}
}

func clone(attrs []slog.Attr) []slog.Attr { return append([]slog.Attr(nil), attrs...) }

func add(evt *zerolog.Event, attrs []slog.Attr) {
	for _, a := range attrs {
		v := a.Value.Resolve() // a secret resolves to what it wants to show
		switch v.Kind() {
		case slog.KindGroup:
			switch {
			case len(v.Group()) == 0:
			case a.Key == "":
				add(evt, v.Group())
			default:
				dict := zerolog.Dict()
				add(dict, v.Group())
				evt.Dict(a.Key, dict)
			}
		case slog.KindString:
			evt.Str(a.Key, v.String())
		case slog.KindInt64:
			evt.Int64(a.Key, v.Int64())
		case slog.KindUint64:
			evt.Uint64(a.Key, v.Uint64())
		case slog.KindFloat64:
			evt.Float64(a.Key, v.Float64())
		case slog.KindBool:
			evt.Bool(a.Key, v.Bool())
		case slog.KindDuration:
			evt.Stringer(a.Key, v.Duration())
		case slog.KindTime:
			evt.Time(a.Key, v.Time())
		case slog.KindAny, slog.KindLogValuer:
			if a.Equal(slog.Attr{}) {
				continue
			}
			if err, ok := v.Any().(error); ok {
				evt.AnErr(a.Key, err)
			} else {
				evt.Str(a.Key, v.String())
			}
		}
	}
}

func zerologLevel(level slog.Level) zerolog.Level {
	switch {
	case level < slog.LevelDebug:
		return zerolog.TraceLevel
	case level < slog.LevelInfo:
		return zerolog.DebugLevel
	case level < slog.LevelWarn:
		return zerolog.InfoLevel
	case level < slog.LevelError:
		return zerolog.WarnLevel
	default:
		return zerolog.ErrorLevel
	}
}
