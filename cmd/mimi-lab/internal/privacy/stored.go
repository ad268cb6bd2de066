//go:build lab

package privacy

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ownerless are the tables that hold key material, ownersTables those that say who
// has an account, and what was given to it and to its contacts.
var (
	ownerless = []string{"mimi_key_package", "mimi_key_token", "mimi_key_private", "mimi_nonce"}
	owners    = []string{"mimi_account", "mimi_contact", "mimi_allowance", "mimi_package", "mimi_request", "mimi_leaf"}
)

// A cell is a value in a table.
type cell struct {
	table, column string
	value         []byte
}

// joining is the shortest value by which rows can be joined: shorter ones are
// counts, times and states.
const joining = 8

// cells reads tables of a side's database.
func (s *stage) cells(side *Side, tables []string) (out []cell) {
	db := must(sql.Open("sqlite3", "file:"+filepath.Join(side.Dir, "gateway.db")+"?mode=ro"))
	defer db.Close()
	for _, table := range tables {
		rows := must(db.QueryContext(s.ctx, "SELECT * FROM "+table)) //nolint:gosec // names of this file
		columns := must(rows.Columns())
		values := make([]sql.RawBytes, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			check(rows.Scan(into...))
			for i, v := range values {
				if len(v) >= joining && !number(v) {
					out = append(out, cell{table, columns[i], slices.Clone([]byte(v))})
				}
			}
		}
		check(rows.Err())
		check(rows.Close())
	}
	return out
}

// keyMaterialOwners is T14: no value in a table of key material is, or is part of, a
// value in a table of accounts, or the other way round; and no log line has both.
func keyMaterialOwners(s *story) *finding {
	f := &finding{}
	compared, sets := 0, 0
	for _, side := range s.world.Providers {
		material, accounts := s.cells(side, ownerless), s.cells(side, owners)
		for _, m := range material {
			if m.column == "set_uri" {
				sets++
			}
			for _, a := range accounts {
				compared++
				if bytes.Contains(m.value, a.value) || bytes.Contains(a.value, m.value) {
					f.hit("%s: %s.%s has what %s.%s has", side.Name, m.table, m.column, a.table, a.column)
				}
			}
		}
		log := []byte(side.Logged())
		for _, m := range material {
			for _, form := range [][]byte{m.value, []byte(hex.EncodeToString(m.value)), []byte(base64.StdEncoding.EncodeToString(m.value))} {
				if bytes.Contains(log, form) {
					f.hit("%s: the log has a value of %s.%s", side.Name, m.table, m.column)
				}
			}
		}
	}
	if sets == 0 || compared == 0 {
		check(errNothing)
	}
	f.figures = fmt.Sprintf("%d KeyPackages at %d providers, %d pairs of values compared, and the logs", sets, len(s.world.Providers), compared)
	return f
}

// refusedCommit is T15: a Commit with an Add, whose GroupInfo has another signature,
// is refused, and the hub's table is octet by octet what it was. The next one passes.
func refusedCommit(p *proof, setup Setup) *finding {
	s := newStage(p.ctx, p.open, setup, newNames(p.seed))
	defer s.world.Close()
	alice, bob, carol := s.person(s.provider(0)), s.person(s.provider(1)), s.person(s.provider(2))
	s.connect(alice, bob)
	s.connect(alice, carol)
	room := s.group(client.RoomOptions{}, alice, bob)
	s.calm()
	f := &finding{}
	before := s.rows(room)
	refused := 0
	s.world.Hub.Tap.SetHand(func(e *wiretap.Exchange, pass func() error) error {
		if strings.Contains(e.Target, string(protocol.EndpointUpdate)) {
			var req protocol.UpdateRequest
			if err := wire.Unmarshal(e.Request, &req); err != nil {
				return err
			}
			req.GroupInfo.Full.Signature[0] ^= 1
			var err error
			if e.Request, err = wire.Marshal(&req); err != nil {
				return err
			}
			refused++
		}
		return pass()
	})
	if err := alice.client().Invite(s.ctx, alice.user, room, carol.user); err == nil {
		f.hit("the Commit was accepted")
	}
	s.world.Hub.Tap.SetHand(nil)
	if d := rowsDiffer(before, s.rows(room)); d != "" {
		f.hit("row %s of the room has changed", d)
	}
	if setup.Fault == "" {
		s.add(room, alice, carol)
		s.say(room, carol)
	}
	if refused == 0 {
		check(errNothing)
	}
	f.figures = fmt.Sprintf("%d rows of the room compared after %d refusals; then %s joined", len(before), refused, "the same person")
	return f
}

// rows are what the hub has stored of a room.
func (s *stage) rows(room mimi.URI) []mls.Row {
	rows, _, err := s.world.Hub.Store.Hub().Load(s.ctx, room)
	check(err)
	return rows
}

// rowsDiffer returns the key of a row that is not the same, or "".
func rowsDiffer(a, b []mls.Row) string {
	have := map[string]string{}
	for _, row := range a {
		have[row.Key] = string(row.Value)
	}
	for _, row := range b {
		if v, ok := have[row.Key]; !ok || v != string(row.Value) {
			return row.Key
		}
		delete(have, row.Key)
	}
	for key := range have {
		return key
	}
	return ""
}

// number reports whether a value is a number: a time, or a count.
func number(v []byte) bool {
	return !bytes.ContainsFunc(v, func(r rune) bool { return r < '0' || r > '9' })
}
