package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/mimi-gateway/mimi-gateway/config"
)

// options are the flags of the command line.
type options struct {
	config, registration     string
	example, register        bool
	version                  bool
	ignoreUnsupportedServer  bool
	ignoreForeignTables      bool
	ignoreUnsupportedVersion bool
	lab                      labOptions
}

// parseFlags reads the flags that bridges built on mautrix-go share. Usage is
// written to stdout if it was asked for.
func parseFlags(args []string, stdout io.Writer) (*options, error) {
	opts := &options{}
	set := flag.NewFlagSet("mimi-gateway", flag.ContinueOnError)
	set.SetOutput(stdout)
	text := func(p *string, short, long, value, usage string) {
		set.StringVar(p, short, value, usage)
		set.StringVar(p, long, value, "same as -"+short)
	}
	yes := func(p *bool, short, long, usage string) {
		set.BoolVar(p, short, false, usage)
		set.BoolVar(p, long, false, "same as -"+short)
	}
	text(&opts.config, "c", "config", "config.yaml", "`path` of the configuration file")
	text(&opts.registration, "r", "registration", "registration.yaml", "`path` to write the registration to")
	yes(&opts.example, "e", "generate-example-config", "write an example configuration to the path of -c (- for stdout), and exit")
	yes(&opts.register, "g", "generate-registration", "write the registration and the tokens in the configuration, and exit")
	yes(&opts.version, "v", "version", "print the version, and exit")
	var noUpdate bool
	yes(&noUpdate, "n", "no-update", "accepted for the sake of scripts: only -g ever writes to the configuration")
	set.BoolVar(&opts.ignoreUnsupportedServer, "ignore-unsupported-server", false, "run with a homeserver that is too old")
	set.BoolVar(&opts.ignoreForeignTables, "ignore-foreign-tables", false, "run with tables of other programs in the database")
	set.BoolVar(&opts.ignoreUnsupportedVersion, "ignore-unsupported-database", false, "run with a database of a newer version")
	opts.lab.register(set)
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, &exitError{code: exitUsage, err: err}
	}
	if set.NArg() > 0 {
		return nil, fail(exitUsage, "unexpected argument %q", set.Arg(0))
	}
	if opts.register && noUpdate {
		return nil, fail(exitUsage, "-g writes tokens to the configuration, which -n forbids")
	}
	return opts, nil
}

// run does what args say and returns when it is done, or when ctx is and the
// daemon has stopped cleanly.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	// All files of this process hold secrets.
	syscall.Umask(0o077)
	opts, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case opts.version:
		_, err := fmt.Fprintln(stdout, programVersion().VersionDescription)
		return err
	case opts.lab.list:
		return opts.lab.print(stdout)
	case opts.example:
		return writeExample(opts.config, stdout)
	case opts.register:
		return generateRegistration(opts, stdout)
	}
	if err := opts.lab.validate(); err != nil {
		return err
	}
	return runDaemon(ctx, opts)
}

// writeExample writes the example file, and never over another.
func writeExample(path string, stdout io.Writer) error {
	if path == "-" {
		_, err := io.WriteString(stdout, config.Example())
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fail(exitFailed, "%s exists: remove it first if you want a new example", path)
	} else if err != nil {
		return err
	}
	if _, err := io.WriteString(f, config.Example()); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "Wrote an example configuration to %s. Edit it, then run mimi-gateway -g.\n", path)
	return err
}
