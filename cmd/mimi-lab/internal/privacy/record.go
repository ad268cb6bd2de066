//go:build lab

package privacy

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
)

// A Recording says what lies in a folder of recordings: recording.json there. A
// scanner of somebody else can search the same and compare.
type Recording struct {
	// Needles are what was looked for: identifiers and texts of T1.
	Needles []Needle `json:"needles"`
	// Secrets are the wrapper keys and link secrets of T10, in base64.
	Secrets []Needle `json:"secrets"`
	// Hub lists the files that the hub has, by their names in the folder; All the
	// files of everybody.
	Hub []string `json:"hub"`
	All []string `json:"all"`
	// Found has, by file, the names of the needles and secrets that were found in it.
	Found map[string][]string `json:"found"`
}

// A Needle is something to look for.
type Needle struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// record writes all that was recorded, and what the scanner finds in each file.
func (s *story) record(dir string) {
	check(s.world.Log.Write(filepath.Join(dir, "traffic")))
	r := Recording{Found: map[string][]string{}}
	needles, secrets := s.needles(), s.secrets()
	for _, n := range needles {
		r.Needles = append(r.Needles, Needle{n.Name, n.Text})
	}
	for _, n := range secrets {
		r.Secrets = append(r.Secrets, Needle{n.Name, base64.StdEncoding.EncodeToString([]byte(n.Text))})
	}
	for _, p := range s.hubParts() {
		r.Hub = append(r.Hub, p.name)
	}
	for _, p := range s.allParts() {
		r.All = append(r.All, p.name)
		path := filepath.Join(dir, filepath.FromSlash(p.name))
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		check(os.WriteFile(path, p.data, 0o644))
		names := map[string]bool{}
		for _, hit := range scan.Find(p.data, append(needles, secrets...)...) {
			names[hit.Needle.Name] = true
		}
		for _, n := range append(needles, secrets...) {
			if names[n.Name] {
				r.Found[p.name] = append(r.Found[p.name], n.Name)
				names[n.Name] = false
			}
		}
	}
	check(os.WriteFile(filepath.Join(dir, "recording.json"), must(json.MarshalIndent(&r, "", " ")), 0o644))
}
