// Command mlsgo is an MLS client of mls-go behind the protocol of "mimi-lab
// mls-peer": one JSON request per line on standard input, one answer per line on
// standard output.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// octets are in hex in JSON.
type octets []byte

func (o octets) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, o), nil }

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.DecodeString(string(b))
	return err
}

type extension struct {
	Type uint16 `json:"type"`
	Data octets `json:"data"`
}

// A request has the members of all requests. Extensions are types in "init", and
// extensions with their content elsewhere.
type request struct {
	Op              string          `json:"op"`
	Suite           uint16          `json:"suite"`
	Identity        octets          `json:"identity"`
	CredentialType  uint16          `json:"credential_type"`
	Extensions      json.RawMessage `json:"extensions"`
	LeafExtensions  []extension     `json:"leaf_extensions"`
	Proposals       []uint16        `json:"proposals"`
	PublicHandshake bool            `json:"public_handshake"`
	GroupID         octets          `json:"group_id"`
	Add             json.RawMessage `json:"add"`    // a list in "commit", one elsewhere
	Remove          json.RawMessage `json:"remove"` // the same
	Update          bool            `json:"update"`
	SelfRemove      bool            `json:"self_remove"`
	GCE             json.RawMessage `json:"gce"`
	Custom          json.RawMessage `json:"custom"`
	PSK             json.RawMessage `json:"psk"`
	Resumption      []uint64        `json:"resumption"`
	AAD             octets          `json:"aad"`
	Tree            json.RawMessage `json:"tree"` // a flag, or octets
	Welcome         octets          `json:"welcome"`
	GroupInfo       octets          `json:"group_info"`
	Resync          bool            `json:"resync"`
	Msg             octets          `json:"msg"`
	Data            octets          `json:"data"`
	Label           string          `json:"label"`
	Context         octets          `json:"context"`
	Length          int             `json:"length"`
}

// decoding is how long the request at work has spent in decode: "ns" in an answer
// is the time of the library alone.
var decoding time.Duration

// errUnsupported marks what the library, or its Client, does not offer.
var errUnsupported = errors.New("not supported")

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	var p *peer
	for lines.Scan() {
		a := answer(&p, lines.Bytes())
		if err := out.Encode(a); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func answer(p **peer, line []byte) map[string]any {
	var q request
	err := json.Unmarshal(line, &q)
	var a map[string]any
	switch {
	case err != nil:
	case q.Op == "init":
		*p, a, err = newPeer(&q)
	case *p == nil:
		err = errors.New("the first request has to be init")
	default:
		decoding = 0
		began := time.Now()
		a, err = (*p).handle(context.Background(), &q)
		if err == nil {
			a["ns"] = int64(time.Since(began) - decoding)
		}
	}
	if err != nil {
		return map[string]any{"ok": false, "error": err.Error(), "unsupported": errors.Is(err, errUnsupported)}
	}
	a["ok"] = true
	return a
}
