// Package linkbench measures what identity links cost in large rooms: joining, opening
// all links, showing who is there, and messages before and after
// (docs/mmr-profile.md, section 11, "Links are opened later").
package linkbench
