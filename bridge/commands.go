package bridge

import (
	"maunium.net/go/mautrix/bridgev2/commands"
)

// addCommands adds the bot's commands to those of bridgev2.
func (c *Connector) addCommands(proc *commands.Processor) {
	proc.AddHandler(&commands.FullHandler{
		Name: "version",
		Help: commands.HelpMeta{
			Section:     commands.HelpSectionGeneral,
			Description: "Get the version of the gateway.",
		},
		Func: func(ce *commands.Event) { ce.Reply("%s", c.opts.Version) },
	})
}
