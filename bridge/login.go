package bridge

import (
	"context"
	"errors"
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
)

const (
	loginFlow         = "account"
	loginStepComplete = "io.github.mimi-gateway.complete"
)

// GetLoginFlows implements [bridgev2.NetworkConnector]. There is one flow, and
// it asks for nothing: whoever speaks to the bot has proved their Matrix
// account, and their account at the MIMI provider is the same.
func (c *Connector) GetLoginFlows() []bridgev2.LoginFlow {
	return []bridgev2.LoginFlow{{
		ID:          loginFlow,
		Name:        "Matrix account",
		Description: "Be reachable over MIMI under the name of your Matrix account",
	}}
}

// CreateLogin implements [bridgev2.NetworkConnector].
func (c *Connector) CreateLogin(_ context.Context, user *bridgev2.User, flowID string) (bridgev2.LoginProcess, error) {
	if flowID != loginFlow {
		return nil, bridgev2.ErrInvalidLoginFlowID
	}
	return &loginProcess{main: c, user: user}, nil
}

type loginProcess struct {
	main *Connector
	user *bridgev2.User
}

// Start implements [bridgev2.LoginProcess]; its first step is the last.
func (p *loginProcess) Start(ctx context.Context) (*bridgev2.LoginStep, error) {
	login, err := p.main.newLogin(ctx, p.user, &mimiid.UserLoginMetadata{})
	if err != nil {
		return nil, explain(err).response()
	}
	return &bridgev2.LoginStep{
		Type:   bridgev2.LoginStepTypeComplete,
		StepID: loginStepComplete,
		Instructions: fmt.Sprintf(
			"You can now be reached over MIMI at %s, with your Matrix account: no other password is needed. "+
				"Rooms that you share with people of other providers appear among your Matrix rooms. "+
				"This gateway translates the messages in them, and can read them.",
			login.RemoteName),
		CompleteParams: &bridgev2.LoginCompleteParams{UserLoginID: login.ID, UserLogin: login},
	}, nil
}

// Cancel implements [bridgev2.LoginProcess].
func (p *loginProcess) Cancel() {}

// newLogin gives user their account and their login, or those that they have, and
// connects the login.
func (c *Connector) newLogin(ctx context.Context, user *bridgev2.User, meta *mimiid.UserLoginMetadata) (*bridgev2.UserLogin, error) {
	if _, err := c.accountOf(user.MXID); err != nil {
		return nil, err
	}
	name, _, err := c.profiles.Displayname(ctx, user.MXID)
	if err != nil {
		return nil, err
	}
	account, err := c.backend.Engine.Provision(ctx, user.MXID.Localpart(), name)
	if err != nil {
		return nil, fmt.Errorf("bridge: failed to make the account: %w", err)
	}
	login, err := c.insertLogin(ctx, &database.UserLogin{
		BridgeID: c.bridge.ID, UserMXID: user.MXID,
		ID: mimiid.MakeUserLoginID(user.MXID), RemoteName: account.Handle(), Metadata: meta,
	})
	if err != nil {
		return nil, fmt.Errorf("bridge: failed to make the login: %w", err)
	}
	login.Client.Connect(login.Log.WithContext(c.bridge.BackgroundCtx))
	return login, nil
}

// insertLogin stores a login, unless the person has it, and loads it. A login that
// [bridgev2.User.NewLogin] makes does not remember, before the next start, in
// which portals it is: its person's double puppet would join them all; see
// [Connector.mark].
func (c *Connector) insertLogin(ctx context.Context, row *database.UserLogin) (*bridgev2.UserLogin, error) {
	c.loginLock.Lock()
	defer c.loginLock.Unlock()
	login, err := c.bridge.GetExistingUserLoginByID(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	if login != nil {
		if meta, ok := login.Metadata.(*mimiid.UserLoginMetadata); ok {
			meta.CopyFrom(row.Metadata)
		}
		return login, login.Save(ctx)
	}
	if err := c.bridge.DB.UserLogin.Insert(ctx, row); err != nil {
		return nil, err
	}
	if login, err = c.bridge.GetExistingUserLoginByID(ctx, row.ID); err == nil && login == nil {
		err = errors.New("the login is not there")
	}
	return login, err
}
