package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ErrPrivacyScan reports recordings about which the second scanner does not agree.
var ErrPrivacyScan = errors.New("interop: the second scanner does not agree")

// PrivacyScan lets the program in interop/privacyscan search the recordings of
// "mimi-lab privacy" in a folder, and plant an identifier that many times in each
// encoding. It needs Python and nothing else.
func PrivacyScan(ctx context.Context, folder string, plants int, out io.Writer) error {
	source, err := sourceFolder()
	if err != nil {
		return err
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return fmt.Errorf("the recordings cannot be searched a second time: python3 is missing. It comes with %s", installPython)
	}
	cmd := exec.CommandContext(ctx, python, "-B", filepath.Join(source, "privacyscan"), folder, "--plant", strconv.Itoa(plants)) //nolint:gosec // our own program
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %w", ErrPrivacyScan, err)
	}
	return nil
}
