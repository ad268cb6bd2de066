package storetest_test

import (
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

// A story is told once for each point at which the process can crash, and after
// each the invariants are checked: here, that both accounts are there or none.
func ExampleFaults_Crash() {
	ctx := context.Background()
	person := func(id string) *client.Account {
		return &client.Account{User: mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: id}}
	}
	for n, crashed := 1, true; crashed; n++ {
		s := storetest.New()
		s.Faults.Crash(n)
		_ = s.Client.Atomically(ctx, func(ctx context.Context) error {
			if err := s.Client.PutAccount(ctx, person("alice")); err != nil {
				return err
			}
			return s.Client.PutAccount(ctx, person("anna"))
		})
		crashed = s.Faults.Restart()
		accounts, err := s.Client.Accounts(ctx)
		fmt.Println("point", n, "crashed", crashed, "accounts", len(accounts), err)
	}
	// Output:
	// point 1 crashed true accounts 0 <nil>
	// point 2 crashed true accounts 0 <nil>
	// point 3 crashed true accounts 0 <nil>
	// point 4 crashed true accounts 2 <nil>
	// point 5 crashed false accounts 2 <nil>
}
