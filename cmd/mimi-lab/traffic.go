package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
)

// scanTraffic looks for needles in what each provider received, headers included:
// requests that came to it and answers that it got. It returns how much it has
// read, and what it found.
//
// One thing names a person, and has to: who asks for a connection asks the person's
// own provider by address, and is answered with a package that is signed with the
// person's certificate (docs/mmr-profile.md, sections 4 and 10). What is found there
// is only counted, as named: a scanner that finds nothing there is broken.
func scanTraffic(all []*wiretap.Exchange, needles []scan.Needle) (octets, named int, hits []string) {
	for _, x := range all {
		asks := strings.Contains(x.Target, "/connectionPackage") || strings.Contains(x.Target, "/connectionRequest")
		var request, response bytes.Buffer
		fmt.Fprintf(&request, "%s %s\n", x.Method, x.Target)
		_ = x.RequestHeader.Write(&request)
		_ = x.ResponseHeader.Write(&response)
		for _, part := range []struct {
			receiver, what string
			data           []byte
		}{
			{x.To, "the head of a request", request.Bytes()},
			{x.To, "a request", x.Request},
			{x.From, "the head of an answer", response.Bytes()},
			{x.From, "an answer", x.Response},
		} {
			octets += len(part.data)
			found := scan.Find(part.data, needles...)
			if asks && !strings.HasPrefix(part.what, "the head") {
				named += len(found)
				continue
			}
			for _, hit := range found {
				hits = append(hits, fmt.Sprintf("%s received %s in %s (%s)", part.receiver, hit, part.what, x.Target))
			}
		}
	}
	return octets, named, hits
}

// collect copies what a run has left into a folder.
func (w *engines) collect(dir string) error {
	for _, e := range w.all {
		matches, err := filepath.Glob(filepath.Join(e.dir, "*"))
		if err != nil {
			return err
		}
		target := filepath.Join(dir, e.name)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		for _, name := range matches {
			if err := copyFile(filepath.Join(target, filepath.Base(name)), name); err != nil {
				return err
			}
		}
	}
	return w.log.Write(filepath.Join(dir, "traffic"))
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
