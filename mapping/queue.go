package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
)

// append adds deliveries behind all earlier ones.
func (h *Hub) append(ctx context.Context, room mimi.URI, deliveries []hub.Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	first, err := h.t.take(ctx, seqDelivery, len(deliveries))
	if err != nil {
		return err
	}
	for i, d := range deliveries {
		if err := h.t.exec(ctx, "queue delivery", `
			INSERT INTO mimi_hub_delivery (seq, room, domain, body) VALUES ($1, $2, $3, $4)`,
			first+int64(i), room.String(), d.Domain, d.Body); err != nil {
			return err
		}
	}
	return nil
}

// Lanes implements [hub.Queue].
func (h *Hub) Lanes(ctx context.Context) ([]hub.Lane, error) {
	rows, err := h.t.db.Query(ctx, `
		SELECT DISTINCT room, domain FROM mimi_hub_delivery ORDER BY room, domain`)
	return list("read lanes", scanLane, rows, err)
}

// Head implements [hub.Queue].
func (h *Hub) Head(ctx context.Context, lane hub.Lane, limit int) ([]hub.Delivery, error) {
	rows, err := h.t.db.Query(ctx, `
		SELECT seq, domain, body FROM mimi_hub_delivery
		WHERE room = $1 AND domain = $2 ORDER BY seq LIMIT $3`,
		lane.Room.String(), lane.Domain, max(limit, 1))
	return list("read deliveries", scanDelivery, rows, err)
}

// Done implements [hub.Queue].
func (h *Hub) Done(ctx context.Context, lane hub.Lane, seq uint64) error {
	return h.t.exec(ctx, "remove deliveries", `
		DELETE FROM mimi_hub_delivery WHERE room = $1 AND domain = $2 AND seq <= $3`,
		lane.Room.String(), lane.Domain, bound(seq))
}

func scanLane(row dbutil.Scannable) (lane hub.Lane, err error) {
	err = row.Scan(uriColumn{&lane.Room}, &lane.Domain)
	return lane, err
}

func scanDelivery(row dbutil.Scannable) (d hub.Delivery, err error) {
	err = row.Scan(unsigned64{&d.Seq}, &d.Domain, &d.Body)
	return d, err
}
