package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestBenchMLS(t *testing.T) {
	var out strings.Builder
	args := []string{"bench", "mls", "-sizes", "2,10", "-peers", "none", "-time", "1ms", "-ops", "protect;load"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n2 members, fresh", "\n2 members, filled", "\n10 members, fresh", "\n10 members, filled", "\nprotect  ", "\nload  "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// TestBenchMLSHelp: the help explains every operation and flag.
func TestBenchMLSHelp(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"bench", "mls", "-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range []string{"hub stage+apply", "floor", "-sizes", "-suites", "-peers", "-peer-sizes", "-quick", "-json", "-cpuprofile", "-ops", "-time"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help says nothing about %s", want)
		}
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range []string{"bench", "bench matrix", "bench mls -sizes 1", "bench mls -sizes x", "bench mls -suites x", "bench mls -peer-sizes 3", "bench mls more"} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestBenchLinks: a small run shows everything, and the second start opens nothing.
func TestBenchLinks(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"bench", "links", "-sizes", "10,70", "-messages", "3"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n10 members:", "\n70 members:", "the floor of one link", "Welcome to invitation shown", "with 2 links opened",
		" links open ", "with names", "times the floor", "70 members, 0 closed, 0 links opened again", "by a link, until it is shown",
		"for which all 71 links were opened (0 closed)", "times what it does with 10 members",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	for _, args := range []string{"-sizes 5", "-messages 0", "more"} {
		if err := run(t.Context(), append([]string{"bench", "links"}, strings.Fields(args)...), io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
