package bridge

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"github.com/skip2/go-qrcode"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

const (
	commandVerify   = "verify"
	commandVerified = "verified"
	// pictureSize is the width of the picture of a safety code, in pixels.
	pictureSize = 512
)

// shownCodes are the safety codes that people were shown last: "verified" is about
// what somebody has seen, and not about what may have changed since. They are in memory
// alone: after a restart the code is shown again.
type shownCodes struct {
	mu    sync.Mutex
	codes map[[2]mimi.URI][sha256.Size]byte
}

func (s *shownCodes) put(account, peer mimi.URI, digest [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.codes == nil {
		s.codes = map[[2]mimi.URI][sha256.Size]byte{}
	}
	s.codes[[2]mimi.URI{account, peer}] = digest
}

func (s *shownCodes) get(account, peer mimi.URI) (digest [sha256.Size]byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest, ok = s.codes[[2]mimi.URI{account, peer}]
	return digest, ok
}

// addSafetyCommands adds the commands about safety codes.
func (c *Connector) addSafetyCommands(proc *commands.Processor) {
	verify := c.aboutPerson(commandVerify, "Get the safety code that you and somebody can compare, or compare it with what they tell you.", c.verifyCommand)
	verify.Help.Args = "<_address_> [_code_]"
	verify.Aliases = []string{"safety-code"}
	proc.AddHandlers(
		verify,
		c.aboutPerson(commandVerified, "Note that you have compared the safety code with somebody, and that it is the same.", c.verifiedCommand),
		c.aboutPerson("unverify", "Take back that you have compared safety codes with somebody.", c.unverifyCommand),
	)
}

func (c *Connector) verifyCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	safety, err := c.backend.Engine.Safety(ce.Ctx, login.account, peer)
	if err != nil {
		c.answerAfter(ce, err, "")
		return
	}
	if len(ce.Args) > 1 {
		c.compare(ce, login, peer, safety, strings.Join(ce.Args[1:], " "))
		return
	}
	c.shown.put(login.account, peer, safety.Code.Digest())
	ce.Reply("%s", safetyText(peer, safety))
	if err := c.sendPicture(ce, safety.Code); err != nil {
		ce.Log.Err(err).Msg("Failed to send the picture of a safety code")
		ce.Reply("The picture could not be sent; the number says the same.")
	}
}

// safetyText explains a safety code.
func safetyText(peer mimi.URI, safety *client.Safety) string {
	state := "You have not compared it yet."
	switch {
	case safety.Verified:
		state = "You have compared it before, and it is still the same."
	case safety.KeyChanged:
		state = "You have compared another one before: their keys have changed since."
	}
	groups := strings.Fields(safety.Code.String())
	var lines []string
	for len(groups) > 0 {
		lines = append(lines, strings.Join(groups[:4], " "))
		groups = groups[4:]
	}
	return fmt.Sprintf("The safety code of you and %s is\n\n```\n%s\n```\n\n%s Compare it with what they see, in person or in a call, number or picture: "+
		"if it is the same, nobody stands between your gateway and theirs, and you can say `%s %s`. If it is not, do not trust what you read, and tell your administrator.",
		peer.Handle(), strings.Join(lines, "\n"), state, commandVerified, peer.Handle())
}

// compare compares what somebody was told with the code.
func (c *Connector) compare(ce *commands.Event, login *Client, peer mimi.URI, safety *client.Safety, text string) {
	same, err := safety.Code.Matches(text)
	switch {
	case err != nil:
		ce.Reply("%s", explain(err))
	case !same:
		ce.Reply("**This is not the same code.** Check whether all of it is right. If it is, somebody may stand between you and %s: "+
			"do not trust what you read, and tell your administrator.", peer.Handle())
	default:
		c.markVerified(ce, login, peer, safety.Code.Digest())
	}
}

func (c *Connector) verifiedCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	digest, ok := c.shown.get(login.account, peer)
	if !ok {
		ce.Reply("You have not been shown the safety code yet, so you can't have compared it: say `%s %s` first.", commandVerify, peer.Handle())
		return
	}
	c.markVerified(ce, login, peer, digest)
}

func (c *Connector) markVerified(ce *commands.Event, login *Client, peer mimi.URI, digest [sha256.Size]byte) {
	c.answerAfter(ce, c.backend.Engine.Verify(ce.Ctx, login.account, peer, digest), fmt.Sprintf(
		"%s is verified. If their keys change, you are told, and nothing is sent to your chat with them until you have compared again.", peer.Handle()))
}

func (c *Connector) unverifyCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	c.answerAfter(ce, c.backend.Engine.Unverify(ce.Ctx, login.account, peer), fmt.Sprintf(
		"%s is not verified any more. If their keys change, you are told, and messages are sent all the same.", peer.Handle()))
}

// sendPicture answers with the picture of a safety code.
func (c *Connector) sendPicture(ce *commands.Event, code identity.SafetyCode) error {
	png, err := qrcode.Encode(code.Picture(), qrcode.Medium, pictureSize)
	if err != nil {
		return fmt.Errorf("bridge: failed to draw a safety code: %w", err)
	}
	const name, kind = "safety-code.png", "image/png"
	uri, file, err := c.bridge.Bot.UploadMedia(ce.Ctx, ce.RoomID, png, name, kind)
	if err != nil {
		return fmt.Errorf("bridge: failed to upload a picture: %w", err)
	}
	content := &event.MessageEventContent{
		MsgType: event.MsgImage, Body: name, URL: uri, File: file,
		Info: &event.FileInfo{MimeType: kind, Size: len(png), Width: pictureSize, Height: pictureSize},
	}
	if _, err = c.bridge.Bot.SendMessage(ce.Ctx, ce.RoomID, event.EventMessage, &event.Content{Parsed: content}, nil); err != nil {
		return fmt.Errorf("bridge: failed to send a picture: %w", err)
	}
	return nil
}
