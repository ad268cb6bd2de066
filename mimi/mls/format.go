package mls

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Types that hold secrets in unexported fields say what they are, and nothing
// else, in every format: fmt would print such fields without asking them.

// String names the group's epoch and own leaves.
func (g Group) String() string {
	if g.state == nil {
		return "mls.Group{}"
	}
	return fmt.Sprintf("mls.Group{epoch %d, own leaves %v}", g.state.context.Epoch, g.OwnLeaves())
}

// Format is String for every verb.
func (g Group) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(g.String())) }

// LogValue is String for log/slog.
func (g Group) LogValue() slog.Value { return slog.StringValue(g.String()) }

// String names the row and its length.
func (r Row) String() string {
	return fmt.Sprintf("mls.Row{%q, %d octets, secret %v}", r.Key, len(r.Value), r.Secret)
}

// Format is String for every verb.
func (r Row) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// MarshalJSON is String as JSON: rows are not stored that way.
func (r Row) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// LogValue is String for log/slog.
func (r Row) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String names the epoch.
func (n NextEpoch) String() string {
	if n.next == nil {
		return "mls.NextEpoch{}"
	}
	return fmt.Sprintf("mls.NextEpoch{%d}", n.next.staged.next.context.Epoch)
}

// Format is String for every verb.
func (n NextEpoch) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(n.String())) }

// LogValue is String for log/slog.
func (n NextEpoch) LogValue() slog.Value { return slog.StringValue(n.String()) }
