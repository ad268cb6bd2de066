package content_test

import (
	"crypto/rand"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

func Example() {
	origin := content.Origin{
		Sender: mimi.URI{Domain: "alpha.example", Kind: mimi.KindUser, ID: "alice"},
		Room:   mimi.URI{Domain: "alpha.example", Kind: mimi.KindRoom, ID: "lunch"},
	}
	alice := content.Author{Origin: origin, Random: rand.Reader}
	sent, err := alice.Compose(content.Text(content.MarkdownPart("Pizza *today*?")))
	if err != nil {
		fmt.Println(err)
		return
	}

	// sent.Data travels as an MLS application message.
	got, err := content.Receive(sent.Data, origin, content.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := got.Message.Part.Body.(*content.Single).Text()
	fmt.Println(content.Classify(got.Message).Kind, text, got.ID == sent.ID)
	// Output: text Pizza *today*? true
}
