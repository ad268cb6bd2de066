package attack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// Run plays attacks one after the other against one gateway, and says of each
// whether its check has refused it. After each, everybody still has to be able to
// write. It fails unless all are refused and nothing is broken.
func Run(ctx context.Context, open Open, attacks []Attack, out io.Writer) error {
	w, err := newWorld(ctx, open)
	if err != nil {
		return err
	}
	defer func() { w.pair.Close() }()
	var failed []string
	for _, a := range attacks {
		v := a.verdict(ctx, w)
		if v.Err == nil && v.Reached == "" {
			v.Err = w.alive(ctx)
		}
		fmt.Fprintln(out, v.Line())
		if v.Err == nil && v.Refused && v.Reached == "" {
			continue
		}
		failed = append(failed, a.Group+"/"+a.Name)
		// What comes after is judged in a world that is whole.
		w.pair.Close()
		if w, err = newWorld(ctx, open); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d attacks on %d checks, %d refused\n", len(attacks), Checks(attacks), len(attacks)-len(failed))
	if len(failed) > 0 {
		return fmt.Errorf("not as it should be: %s", strings.Join(failed, ", "))
	}
	return nil
}

// switchVariable is the environment variable with the code of the check that a
// build with switches leaves out (tools/mutate).
const switchVariable = "MUTANT"

// RunRemoved plays each attack in a process and a world of its own, from which its
// check has been removed. It fails unless the attack then succeeds, or meets another
// check, and unless attacks succeed on at least a number of checks. command is how to run [One] for the attack with a name.
func RunRemoved(ctx context.Context, command func(ctx context.Context, name string) *exec.Cmd, attacks []Attack, atLeast int, out io.Writer) error {
	results := make([]string, len(attacks))
	var workers sync.WaitGroup
	next := make(chan int)
	for range 4 { // a world waits more than it works
		workers.Go(func() {
			for i := range next {
				results[i] = removed(ctx, command, attacks[i])
			}
		})
	}
	for i := range attacks {
		next <- i
	}
	close(next)
	workers.Wait()
	count, shown := map[string]int{}, map[string]bool{}
	var failed []string
	for i, a := range attacks {
		kind, what, _ := strings.Cut(results[i], " ")
		count[kind]++
		if kind == succeeds {
			shown[a.Check] = true
		}
		if kind == stillRefused {
			failed = append(failed, a.Group+"/"+a.Name)
		}
		fmt.Fprintf(out, "%-9s %-40s without %-27s %s\n", kind, a.Group+"/"+a.Name, a.Check, what)
	}
	fmt.Fprintf(out, "%d attacks on %d checks: without its check, %d succeed (on %d checks), %d crash the gateway, %d meet another check\n",
		len(attacks), Checks(attacks), count[succeeds], len(shown), count[crashes], count[meetsNext])
	if len(shown) < atLeast {
		return fmt.Errorf("attacks succeed without %d checks, want %d: is this the build of \"make attack-mutate\"?", len(shown), atLeast)
	}
	if len(failed) > 0 {
		return fmt.Errorf("it makes no difference whether the check is there: %s", strings.Join(failed, ", "))
	}
	return nil
}

// What becomes of an attack without its check.
const (
	succeeds     = "succeeds"
	crashes      = "crashes"
	meetsNext    = "next"
	stillRefused = "REFUSED"
)

// removed runs a process for an attack and returns its last line.
func removed(ctx context.Context, command func(ctx context.Context, name string) *exec.Cmd, a Attack) string {
	cmd := command(ctx, a.Group+"/"+a.Name)
	b, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if err == nil {
		return lines[len(lines)-1]
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") {
			return crashes + " it: " + strings.TrimPrefix(line, "panic: ")
		}
	}
	return stillRefused + " " + err.Error() + ": " + lines[len(lines)-1]
}

// One plays one attack without its check, in this process, and writes what became
// of it in one line.
func One(ctx context.Context, open Open, a Attack, out io.Writer) error {
	w, err := newWorld(ctx, open)
	if err != nil {
		return err
	}
	defer w.pair.Close()
	// From here on: people had to meet under all rules.
	if err := os.Setenv(switchVariable, a.Check); err != nil {
		return err
	}
	defer os.Unsetenv(switchVariable)
	v := a.verdict(ctx, w)
	switch {
	case v.Crashed:
		fmt.Fprintln(out, crashes, "it:", v.Err)
	case v.Reached != "":
		fmt.Fprintln(out, succeeds, v.Reached)
	case v.Err == nil && !v.Refused && len(v.Next) > 0:
		fmt.Fprintln(out, meetsNext, strings.Join(v.Next, ", "))
	default:
		fmt.Fprintf(out, "%s refused=%t %v\n", stillRefused, v.Refused, v.Err)
	}
	return nil
}
