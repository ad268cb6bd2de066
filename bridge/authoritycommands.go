package bridge

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2/commands"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

const commandAcceptCA = "accept-identity-ca"

// addAuthorityCommands adds the commands about identity CAs, for administrators of the
// gateway.
func (c *Connector) addAuthorityCommands(proc *commands.Processor) {
	admin := func(name, args, description string, f func(ce *commands.Event)) *commands.FullHandler {
		return &commands.FullHandler{
			Name: name, RequiresAdmin: true, Func: f,
			Help: commands.HelpMeta{Section: commands.HelpSectionAdmin, Description: description, Args: args},
		}
	}
	proc.AddHandlers(
		admin("identity-cas", "", "Get the fingerprint of your identity CA, and list the providers that have changed theirs.", c.listAuthorities),
		admin(commandAcceptCA, "<_domain_> [_fingerprint_]", "Believe the other identity CA that a provider publishes.", c.acceptAuthority),
	)
}

// fingerprint returns a fingerprint as people compare it.
func fingerprint(f [32]byte) string {
	digits := hex.EncodeToString(f[:])
	var groups []string
	for i := 0; i < len(digits); i += 4 {
		groups = append(groups, digits[i:i+4])
	}
	return strings.Join(groups, " ")
}

// errFingerprint reports a text that is no fingerprint.
var errFingerprint = errors.New("bridge: no fingerprint")

// parseFingerprint reads a fingerprint, in groups or not.
func parseFingerprint(s string) (f [32]byte, err error) {
	b, err := hex.DecodeString(strings.ToLower(strings.NewReplacer(" ", "", ":", "").Replace(s)))
	if err != nil || copy(f[:], b) != len(f) || len(b) != len(f) {
		return f, errFingerprint
	}
	return f, nil
}

func (c *Connector) listAuthorities(ce *commands.Event) {
	changes, err := c.backend.Engine.IdentityCAChanges(ce.Ctx)
	own, _, ownErr := c.backend.Engine.IdentityCA()
	if err = errors.Join(err, ownErr); err != nil {
		c.answerAfter(ce, err, "")
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Your own identity CA has the fingerprint `%s`: tell it to administrators who ask.\n\n", fingerprint(own.Fingerprint()))
	for _, change := range changes {
		fmt.Fprintf(&b, "* %s: another one since %s\n", change.Domain, change.FirstSeen.Format("2006-01-02 15:04 MST"))
	}
	if len(changes) == 0 {
		b.WriteString("No provider publishes another one than is known.")
	} else {
		fmt.Fprintf(&b, "\nSay `%s <domain>` to see both fingerprints.", commandAcceptCA)
	}
	ce.Reply("%s", b.String())
}

func (c *Connector) acceptAuthority(ce *commands.Event) {
	if len(ce.Args) == 0 {
		ce.Reply("Usage: `$cmdprefix %s <domain> [fingerprint]`", commandAcceptCA)
		return
	}
	domain := strings.ToLower(ce.Args[0])
	change, err := c.changeOf(ce, domain)
	if err != nil {
		c.answerAfter(ce, err, "")
		return
	}
	if len(ce.Args) == 1 {
		ce.Reply("%s", changeText(change))
		return
	}
	candidate, err := parseFingerprint(strings.Join(ce.Args[1:], ""))
	if err == nil && candidate != change.Candidate {
		err = identity.ErrNoPin
	}
	if err == nil {
		err = c.backend.Engine.AcceptIdentityCA(ce.Ctx, domain, candidate)
	}
	c.answerAfter(ce, err, fmt.Sprintf("The identity CA of %s with the fingerprint `%s` is believed from now on. Those who know people there are told.", domain, fingerprint(candidate)))
}

// changeOf returns the change of a domain's identity CA.
func (c *Connector) changeOf(ce *commands.Event, domain string) (identity.PinChange, error) {
	changes, err := c.backend.Engine.IdentityCAChanges(ce.Ctx)
	if err != nil {
		return identity.PinChange{}, err
	}
	for _, change := range changes {
		if change.Domain == domain {
			return change, nil
		}
	}
	return identity.PinChange{}, identity.ErrNoPin
}

func changeText(change identity.PinChange) string {
	const day = "2006-01-02 15:04 MST"
	return fmt.Sprintf("%s publishes another identity CA than the one that is known.\n\n* known since %s: `%s`\n* published since %s: `%s`\n\n"+
		"Whoever holds the other one can pass for everybody of %s. Ask its administrator, in another way, which fingerprint is right. "+
		"If it is the published one, say\n\n`%s %s %s`\n\nUntil then the known one counts: nobody can be added from there, and people whose certificates are of the other one are not believed.",
		change.Domain, change.PinnedSince.Format(day), fingerprint(change.Pinned), change.FirstSeen.Format(day), fingerprint(change.Candidate),
		change.Domain, commandAcceptCA, change.Domain, "<fingerprint that you were told>")
}
