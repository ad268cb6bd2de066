package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const markdown = `---
title: test
---

# One
# Two
# Three
# Four

It MUST NOT count.

# Five

A client MUST look (see {{six}}), e.g., twice.  This is optional.

The list is invalid if any of the following
occurs:

* It is too long.  This explains.
* It is empty.

~~~ pseudocode
# code MUST be left out
~~~

## Six

* Verify that ` + "`x`" + ` is true, and
  return.
`

const text = `
   5.  not a heading

4.  Four

   It MUST NOT count.

5.  Five

   A client MUST look (see Section 5.1), e.g.,
   twice.  This is optional.

   The list is invalid if any of the following occurs:

   *  It is too long.  This explains.

   *  It is empty.

   # code MUST be left out

5.1.  Six

   *  Verify that x is true, and return.
`

// TestExtract: both forms of a text lead to the same rows.
func TestExtract(t *testing.T) {
	var heads [2][]string
	for i, rfc := range []string{markdown, text} {
		for _, s := range extract(rfc) {
			heads[i] = append(heads[i], s.head())
		}
	}
	if !slices.Equal(heads[0], heads[1]) {
		t.Errorf("from Markdown:\n%s\nfrom text:\n%s", strings.Join(heads[0], "\n"), strings.Join(heads[1], "\n"))
	}
	var ids []string
	for _, h := range heads[0] {
		id, _, _ := strings.Cut(h, " ")
		ids = append(ids, id)
	}
	if want := []string{"5:1", "5:2", "5:3", "5.1:1"}; !slices.Equal(ids, want) {
		t.Errorf("rows %v, want %v", ids, want)
	}
}

// TestCompare: a missing row, a foreign one, and a changed order.
func TestCompare(t *testing.T) {
	sentences := extract(markdown)
	var rows []string
	for _, s := range sentences {
		rows = append(rows, s.head())
	}
	var out bytes.Buffer
	if err := compare(&out, rows, sentences); err != nil || !strings.Contains(out.String(), "1 MUST    3 steps") {
		t.Errorf("%v: %s", err, out.String())
	}
	changed := slices.Clone(rows)
	slices.Reverse(changed)
	for _, bad := range [][]string{rows[1:], append(slices.Clone(rows), "5:9 must 00"), changed} {
		if compare(&out, bad, sentences) == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}
