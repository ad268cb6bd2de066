package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// ErrFailed reports that something that has to work does not.
var ErrFailed = errors.New("required cells failed")

// Options say what Run plays. The zero value is everything.
type Options struct {
	Peers     []string // names of implementations; none: all
	Suites    []uint16 // none: 1, 2 and 3
	Scenarios []string // none: all
	Verbose   bool     // show every error in full
}

// The scenarios and peers that have to work (in both roles).
var (
	requiredPeers     = []string{"openmls", "mls-rs", "ts-mls"}
	requiredScenarios = []string{
		"welcome", "application", "commit", "remove", "external commit", "aad", "unknown extension",
	}
	// These, and the other suites, have to work with two of the peers.
	requiredOfTwo = []string{"external psk", "custom credential"}
)

// Run builds the peers, plays the scenarios and writes the matrix. It fails with
// ErrFailed if a required cell does.
func Run(ctx context.Context, o Options, out io.Writer) error {
	source, err := sourceFolder()
	if err != nil {
		return err
	}
	cache, err := cacheFolder()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := builder{source: source, cache: cache}
	ours := &pool{name: "mimi-gateway", start: func() (client, error) { return startProgram("", []string{self, "mls-peer"}) }}
	defer ours.drop()
	suites := o.Suites
	if len(suites) == 0 {
		suites = []uint16{1, 2, 3}
	}
	var cells []Cell
	var missing []string
	for _, i := range implementations {
		if len(o.Peers) > 0 && !slices.Contains(o.Peers, i.name) {
			continue
		}
		if _, err := exec.LookPath(i.tool); err != nil {
			missing = append(missing, i.name)
			fmt.Fprintf(out, "%s cannot be built: %s is missing. It comes with %s\n", i.name, i.tool, i.install)
			continue
		}
		fmt.Fprintf(out, "building the peer of %s\n", i.name)
		command, err := i.build(b, ctx)
		if err != nil {
			return fmt.Errorf("failed to build the peer of %s: %w", i.name, err)
		}
		theirs := &pool{name: i.name, start: func() (client, error) { return startProgram(cache, command) }}
		played := playAll(ctx, o, suites, ours, theirs)
		theirs.drop()
		reproduce(ctx, i, b, played, out)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		writeMatrix(out, i.name, suites, played)
		writeErrors(out, played, o.Verbose)
		writeFaults(out, i.name)
		cells = append(cells, played...)
	}
	return judge(out, o, cells, missing)
}

// reproduce shows the faults of a library without us, and notes that in its cells.
func reproduce(ctx context.Context, i implementation, b builder, cells []Cell, out io.Writer) {
	if i.reproduce == nil {
		return
	}
	if err := i.reproduce(b, ctx); err != nil {
		fmt.Fprintf(out, "the known faults of %s do not show: %v\n", i.name, err)
		return
	}
	for n := range cells {
		cells[n].Reproduced = true
	}
}

func playAll(ctx context.Context, o Options, suites []uint16, ours, theirs *pool) []Cell {
	var cells []Cell
	for _, s := range scenarios {
		if len(o.Scenarios) > 0 && !slices.Contains(o.Scenarios, s.name) {
			continue
		}
		for _, id := range suites {
			for _, theyOpen := range []bool{false, true} {
				if ctx.Err() == nil {
					cells = append(cells, cell(ctx, s, id, ours, theirs, theyOpen))
				}
			}
		}
	}
	return cells
}

// writeMatrix shows the cells of one peer: a line per scenario, and two columns
// per suite, for who has created the group.
func writeMatrix(out io.Writer, peer string, suites []uint16, cells []Cell) {
	fmt.Fprintf(out, "\n%-26s", peer)
	for _, id := range suites {
		fmt.Fprintf(out, " | suite %d: %s", id, "we open  they open")
	}
	fmt.Fprintln(out)
	for _, s := range scenarios {
		var line strings.Builder
		for _, id := range suites {
			line.WriteString(" |         ")
			for _, theyOpen := range []bool{false, true} {
				i := slices.IndexFunc(cells, func(c Cell) bool {
					return c.Scenario == s.name && c.Suite == id && c.TheyOpen == theyOpen
				})
				if i >= 0 {
					fmt.Fprintf(&line, " %-9s", cells[i].mark())
				}
			}
		}
		if strings.Trim(line.String(), " |") != "" {
			fmt.Fprintf(out, "%-26s%s\n", s.name, line.String())
		}
	}
}

// mark is how a cell is shown.
func (c Cell) mark() string {
	switch {
	case c.Outcome == OK:
		return "ok"
	case c.Outcome == Unsupported:
		return "not supp."
	case c.excused():
		return "peer"
	default:
		return "FAIL"
	}
}

// writeErrors shows why cells failed, or what the peer does not support: each
// reason once.
func writeErrors(out io.Writer, cells []Cell, verbose bool) {
	seen := map[string]bool{}
	for _, c := range cells {
		if c.Outcome == OK || (c.excused() && !verbose) {
			continue
		}
		show := shorten
		if verbose {
			show = error.Error
		}
		text := fmt.Sprintf("%s: %s", c.Scenario, show(c.Err))
		if c.Outcome == Failed && c.FailedAlone {
			text += fmt.Sprintf("\n    %s alone fails, too: %s", c.Peer, show(c.Alone))
		}
		if !seen[text] {
			seen[text] = true
			fmt.Fprintf(out, "  %s (suite %d, %s)\n", text, c.Suite, c.opener())
		}
	}
}

func (c Cell) opener() string {
	if c.TheyOpen {
		return "they open"
	}
	return "we open"
}

// shorten makes an error one bounded line.
func shorten(err error) string {
	const most = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

// judge says which required cells failed. What was not asked for, and so was
// not played, is not missed.
func judge(out io.Writer, o Options, cells []Cell, missing []string) error {
	bad := 0
	report := func(format string, args ...any) {
		bad++
		fmt.Fprintf(out, "required: "+format+"\n", args...)
	}
	for _, name := range missing {
		if slices.Contains(requiredPeers, name) {
			report("%s was not built", name)
		}
	}
	// All of a peer's cells of a scenario are fine, and there are some.
	fine := func(peer, scenario string, id uint16) (played, ok bool) {
		ok = true
		for _, c := range cells {
			if c.Peer == peer && c.Scenario == scenario && c.Suite == id {
				played = true
				ok = ok && c.Outcome == OK
			}
		}
		return played, ok
	}
	for _, peer := range requiredPeers {
		for _, scenario := range requiredScenarios {
			if played, ok := fine(peer, scenario, 1); played && !ok && !excusedAll(cells, peer, scenario) {
				report("%s, suite 1, %s", peer, scenario)
			}
		}
	}
	if len(o.Peers) == 0 && len(o.Scenarios) == 0 {
		judgePairs(fine, o.Suites, report)
	}
	for _, c := range cells {
		if c.Outcome == Failed && !c.excused() {
			report("%s, suite %d, %s, %s: a failure that is not known as a fault of the peer", c.Peer, c.Suite, c.Scenario, c.opener())
		}
	}
	if bad > 0 {
		return fmt.Errorf("%w: %d", ErrFailed, bad)
	}
	fmt.Fprintln(out, "all required cells are fine")
	return nil
}

// excusedAll reports whether every failure of a scenario in suite 1 is excused.
func excusedAll(cells []Cell, peer, scenario string) bool {
	for _, c := range cells {
		if c.Peer == peer && c.Scenario == scenario && c.Suite == 1 && c.Outcome != OK && !c.excused() {
			return false
		}
	}
	return true
}

// judgePairs checks what has to work with two of the peers.
func judgePairs(
	fine func(peer, scenario string, id uint16) (played, ok bool), suites []uint16, report func(string, ...any),
) {
	count := func(id uint16, scenarios []string) (n int) {
		for _, peer := range requiredPeers {
			all := true
			for _, scenario := range scenarios {
				played, ok := fine(peer, scenario, id)
				all = all && played && ok
			}
			if all {
				n++
			}
		}
		return n
	}
	for _, id := range []uint16{2, 3} {
		if len(suites) > 0 && !slices.Contains(suites, id) {
			continue
		}
		if n := count(id, requiredScenarios); n < 2 {
			report("suite %d works with %d peers, and not 2", id, n)
		}
	}
	for _, scenario := range requiredOfTwo {
		if n := count(1, []string{scenario}); n < 2 {
			report("%s works with %d peers, and not 2", scenario, n)
		}
	}
}
