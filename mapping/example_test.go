package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: alice: keys of alice
}

// example claims the database, opens it as bridgev2 does, and keeps an account.
func example(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "mapping-example-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	pool := dbutil.PoolConfig{
		Type: "sqlite3-fk-wal-fullsync",
		URI:  "file:" + filepath.Join(dir, "gateway.db") + "?_txlock=immediate",
	}
	claimed, err := mapping.Claim(pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, claimed.Release()) }()
	keys, err := mapping.LoadKeyFile(filepath.Join(dir, "gateway.key"))
	if err != nil {
		return err
	}
	db, err := dbutil.NewWithDialect(pool.URI, pool.Type)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := mapping.Open(ctx, db, keys)
	if err != nil {
		return err
	}

	alice := mimi.URI{Domain: "alpha.example", Kind: mimi.KindUser, ID: "alice"}
	c := store.Client()
	return c.Atomically(ctx, func(ctx context.Context) error {
		if err := c.PutAccount(ctx, &client.Account{User: alice, Secret: []byte("keys of alice")}); err != nil {
			return err
		}
		account, err := c.Account(ctx, alice)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", account.User.ID, account.Secret)
		return nil
	})
}
