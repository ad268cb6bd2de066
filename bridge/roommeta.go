package bridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/gif" // pictures of rooms may be one
	"image/jpeg"
	_ "image/png" // or one

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

const (
	// avatarSide is how many pixels wide and high a room's picture is at most when
	// it is sent.
	avatarSide = 256
	// maxPixels bounds the pictures that are read at all: 4 octets each in memory.
	maxPixels = 16 << 20
	// maxPicture bounds their files, in octets.
	maxPicture = 8 << 20
)

// errPicture reports a picture that cannot be made small enough, or not be read.
var errPicture = errors.New("bridge: the room's picture can't be used")

// HandleMatrixRoomTopic implements [bridgev2.RoomTopicHandlingNetworkAPI].
func (c *Client) HandleMatrixRoomTopic(ctx context.Context, msg *bridgev2.MatrixRoomTopic) (bool, error) {
	if msg.Portal.Receiver != "" {
		return false, nil // a direct chat has none in MIMI
	}
	room, err := roomOf(msg.Portal)
	if err == nil {
		err = c.main.backend.Engine.SetTopic(ctx, c.account, room, msg.Content.Topic)
	}
	if err != nil {
		return false, explain(err).status()
	}
	msg.Portal.Topic, msg.Portal.TopicSet = msg.Content.Topic, true
	return true, nil
}

// HandleMatrixRoomAvatar implements [bridgev2.RoomAvatarHandlingNetworkAPI].
func (c *Client) HandleMatrixRoomAvatar(ctx context.Context, msg *bridgev2.MatrixRoomAvatar) (bool, error) {
	if msg.Portal.Receiver != "" {
		return false, nil
	}
	if err := c.setAvatar(ctx, msg.Portal, msg.Content); err != nil {
		return false, explain(err).status()
	}
	return true, nil
}

func (c *Client) setAvatar(ctx context.Context, portal *bridgev2.Portal, content *event.RoomAvatarEventContent) error {
	room, err := roomOf(portal)
	if err != nil {
		return err
	}
	if content.URL == "" {
		if err := c.main.backend.Engine.SetAvatar(ctx, c.account, room, nil); err != nil {
			return err
		}
		portal.AvatarID, portal.AvatarMXC, portal.AvatarHash, portal.AvatarSet = "", "", [32]byte{}, true
		return nil
	}
	if content.Info != nil && content.Info.Size > maxPicture {
		return fmt.Errorf("%w: a file of %d octets", errPicture, content.Info.Size)
	}
	data, err := c.main.bridge.Bot.DownloadMedia(ctx, content.URL, nil)
	if err != nil {
		return fmt.Errorf("bridge: failed to download a room's picture: %w", err)
	}
	avatar, err := smallPicture(data)
	if err != nil {
		return err
	}
	if err := c.main.backend.Engine.SetAvatar(ctx, c.account, room, avatar); err != nil {
		return err
	}
	portal.AvatarID, portal.AvatarMXC = avatarID(avatar), content.URL
	portal.AvatarHash, portal.AvatarSet = sha256.Sum256(data), true
	return nil
}

// firstAvatar gives a new group the picture that its Matrix room has. The group is there
// without it as well; people are told why.
func (c *Client) firstAvatar(ctx context.Context, room mimi.URI, content *event.RoomAvatarEventContent) error {
	if content == nil || content.URL == "" {
		return nil
	}
	info, err := c.main.backend.Engine.Room(ctx, room)
	if err != nil {
		return err
	}
	return c.main.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		if err := c.setAvatar(ctx, p.portal, content); err != nil {
			return c.main.say(ctx, p.portal.MXID, nil, explain(err).String())
		}
		if err := p.portal.Save(ctx); err != nil {
			return fmt.Errorf("bridge: failed to save the portal: %w", err)
		}
		return nil
	})
}

// smallPicture makes a picture that fits into a room's metadata. It is always encoded
// anew: what else the file says, such as where a photograph was taken, stays here.
func smallPicture(data []byte) (*rules.Avatar, error) {
	if len(data) > maxPicture {
		return nil, fmt.Errorf("%w: a file of %d octets", errPicture, len(data))
	}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPicture, err)
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > maxPixels/cfg.Height {
		return nil, fmt.Errorf("%w: %d by %d pixels", errPicture, cfg.Width, cfg.Height)
	}
	source, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPicture, err)
	}
	for side := avatarSide; side >= avatarSide/4; side /= 2 {
		small := shrink(source, side)
		for _, quality := range []int{85, 60} {
			var b bytes.Buffer
			if err := jpeg.Encode(&b, small, &jpeg.Options{Quality: quality}); err != nil {
				return nil, fmt.Errorf("%w: %w", errPicture, err)
			}
			if b.Len() <= rules.MaxAvatar {
				return &rules.Avatar{MediaType: "image/jpeg", Data: b.Bytes()}, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: too large", errPicture)
}

// shrink returns a picture of at most side pixels in each direction, on white, each of
// which is the mean of those that it stands for.
func shrink(source image.Image, side int) *image.RGBA {
	bounds := source.Bounds()
	flat := image.NewRGBA(image.Rect(0, 0, bounds.Dx(), bounds.Dy()))
	draw.Draw(flat, flat.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), source, bounds.Min, draw.Over)
	longest := max(bounds.Dx(), bounds.Dy())
	if longest <= side {
		return flat
	}
	width, height := max(1, bounds.Dx()*side/longest), max(1, bounds.Dy()*side/longest)
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			box := image.Rect(x*bounds.Dx()/width, y*bounds.Dy()/height, (x+1)*bounds.Dx()/width, (y+1)*bounds.Dy()/height)
			out.SetRGBA(x, y, mean(flat, box))
		}
	}
	return out
}

// mean returns the mean colour of a part of an opaque picture, which is not empty.
func mean(p *image.RGBA, box image.Rectangle) color.RGBA {
	var r, g, b, n int
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			c := p.RGBAAt(x, y)
			r, g, b, n = r+int(c.R), g+int(c.G), b+int(c.B), n+1
		}
	}
	return color.RGBA{uint8(r / n), uint8(g / n), uint8(b / n), 0xff} //nolint:gosec // means of octets
}

// avatarID names a picture to bridgev2.
func avatarID(a *rules.Avatar) networkid.AvatarID {
	sum := sha256.Sum256(a.Data)
	return networkid.AvatarID(hex.EncodeToString(sum[:]))
}

// addMetadata adds topic and picture of a group to what bridgev2 is told of it. What
// the group does not have is taken away only where it was set before.
func addMetadata(out *bridgev2.ChatInfo, info *client.RoomInfo, portal *bridgev2.Portal) {
	if info.Kind != client.RoomGroup {
		return
	}
	if info.Topic != "" || portal.Topic != "" {
		out.Topic = &info.Topic
	}
	switch a := info.Avatar; {
	case a != nil:
		out.Avatar = &bridgev2.Avatar{ID: avatarID(a), Get: func(context.Context) ([]byte, error) { return a.Data, nil }}
	case portal.AvatarID != "":
		out.Avatar = &bridgev2.Avatar{Remove: true}
	}
}
