package msgconv_test

import (
	"fmt"

	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge/msgconv"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

func Example() {
	var converter msgconv.Converter
	m, err := converter.Message(&event.MessageEventContent{
		MsgType: event.MsgText, Body: "Pizza *today*?",
		Format: event.FormatHTML, FormattedBody: "Pizza <em>today</em>?",
	}, content.MessageID{})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := m.Part.Body.(*content.Single).Text()
	fmt.Println(text)

	got := converter.ToMatrix(m)
	fmt.Println(got.Kind, got.Parts[0].Content.FormattedBody)
	// Output:
	// Pizza _today_?
	// text Pizza <em>today</em>?
}
