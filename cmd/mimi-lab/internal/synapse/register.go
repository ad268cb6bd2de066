package synapse

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// An Account is a registered user with a device.
type Account struct {
	// UserID is the full Matrix id.
	UserID string `json:"user_id"`
	// AccessToken authenticates its requests.
	AccessToken string `json:"access_token"`
	// DeviceID is that of the token.
	DeviceID string `json:"device_id"`
}

// Register makes an account by the shared-secret registration API of Synapse
// (docs/admin_api/register_api.md there).
func (s *Server) Register(ctx context.Context, localpart, displayname string) (*Account, error) {
	const path = "/_synapse/admin/v1/register"
	var nonce struct {
		Nonce string `json:"nonce"`
	}
	if err := s.call(ctx, http.MethodGet, path, nil, &nonce); err != nil {
		return nil, err
	}
	password := rand.Text()
	mac := hmac.New(sha1.New, []byte(s.secret))
	mac.Write([]byte(strings.Join([]string{nonce.Nonce, localpart, password, "notadmin"}, "\x00")))
	account := &Account{}
	err := s.call(ctx, http.MethodPost, path, map[string]any{
		"nonce":       nonce.Nonce,
		"username":    localpart,
		"displayname": displayname,
		"password":    password,
		"admin":       false,
		"mac":         hex.EncodeToString(mac.Sum(nil)),
	}, account)
	if err != nil {
		return nil, fmt.Errorf("synapse: failed to register %s: %w", localpart, err)
	}
	return account, nil
}

func (s *Server) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d: %s", method, path, resp.StatusCode, data)
	}
	return json.Unmarshal(data, out)
}
