// Command conformance compares the table of what RFC 9420 demands with the text
// of the RFC. The table, mimi/mls/testdata/rfc9420.txt, does not repeat the
// text: a row has the section, the ordinal in that section, and the SHA-256 of
// the sentence, beside our own words.
//
//	go -C tools run ./conformance -table ../mimi/mls/testdata/rfc9420.txt rfc9420.txt
//
// extracts the sentences of sections 5 to 13 again and fails unless each one has
// its row, and each row its sentence. The text is the RFC as it is published, or
// the Markdown it is made from: both lead to the same sums. With -skeleton it
// prints empty rows instead, with -text the sentences, to write a table from.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	table := flag.String("table", "mimi/mls/testdata/rfc9420.txt", "`file` with the rows")
	skeleton := flag.Bool("skeleton", false, "print empty rows")
	text := flag.Bool("text", false, "print the sentences")
	flag.Parse()
	if err := run(os.Stdout, *table, *skeleton, *text, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "conformance: %v\n", err)
		os.Exit(1)
	}
}

func run(out io.Writer, table string, skeleton, text bool, args []string) error {
	if len(args) != 1 {
		return errors.New("the text of RFC 9420 is the one argument")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	sentences := extract(string(data))
	switch {
	case len(sentences) == 0:
		return fmt.Errorf("%s: no sections 5 to 13 with a MUST in them", args[0])
	case text:
		for _, s := range sentences {
			fmt.Fprintf(out, "%s %s\n\t%s\n", s.id(), s.kind, s.text)
		}
		return nil
	case skeleton:
		for _, s := range sentences {
			fmt.Fprintf(out, "%s %s %s\n\n\tmissing\n\n", s.id(), s.kind, s.sum())
		}
		return nil
	}
	f, err := os.Open(table)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := readRows(f)
	if err != nil {
		return err
	}
	return compare(out, rows, sentences)
}

// rowHead is the first line of a row: section:ordinal, kind and sum.
var rowHead = regexp.MustCompile(`^\d+(\.\d+)*:\d+ (must|step) [0-9a-f]{64}$`)

// readRows returns the heads of the rows of a table.
func readRows(r io.Reader) ([]string, error) {
	var rows []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if rowHead.MatchString(lines.Text()) {
			rows = append(rows, lines.Text())
		}
	}
	return rows, lines.Err()
}

// compare reports every difference, and then how many sentences each section
// has.
func compare(out io.Writer, rows []string, sentences []sentence) error {
	var want []string
	counts := map[string][2]int{}
	var sections []string
	for _, s := range sentences {
		want = append(want, s.head())
		top, _, _ := strings.Cut(s.section, ".")
		if !slices.Contains(sections, top) {
			sections = append(sections, top)
		}
		c := counts[top]
		if s.kind == must {
			c[0]++
		} else {
			c[1]++
		}
		counts[top] = c
	}
	bad := 0
	for _, w := range want {
		if !slices.Contains(rows, w) {
			fmt.Fprintf(out, "in the text, not in the table: %s\n", w)
			bad++
		}
	}
	for _, r := range rows {
		if !slices.Contains(want, r) {
			fmt.Fprintf(out, "in the table, not in the text: %s\n", r)
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d differences", bad)
	}
	if !slices.Equal(rows, want) {
		return errors.New("the rows are not in the order of the text")
	}
	for _, s := range sections {
		fmt.Fprintf(out, "section %-2s  %3d MUST  %3d steps\n", s, counts[s][0], counts[s][1])
	}
	return nil
}
