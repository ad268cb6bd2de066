package mmr

import "github.com/mimi-gateway/mimi-gateway/mimi/mls"

// Rows returns the rows that s was read from.
func (s *Stored) Rows() ([]mls.Row, error) {
	return Rows(nil, &Room{newest: s.newest, table: s.table(nil, 0)})
}
