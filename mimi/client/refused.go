package client

import (
	"context"
	"log/slog"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// refused notes that something of somebody else was refused or dropped: one line for
// the operator, one for the metric. The line names the check, not what was sent.
func (c *Client) refused(ctx context.Context, what string, err error, attrs ...any) {
	attrs = append(attrs, "check", mimi.CheckOf(err), "err", err)
	c.cfg.Log.Log(ctx, slog.LevelWarn, what, attrs...)
	c.count(err)
}

// count tells of a refusal that somebody else logs, because it ends a call of a
// local user.
func (c *Client) count(err error) {
	if c.cfg.Refused != nil {
		c.cfg.Refused(err)
	}
}

// checked counts err if it comes from a check of the profile, and returns it.
func (c *Client) checked(err error) error {
	if mimi.CheckOf(err) != "" {
		c.count(err)
	}
	return err
}
