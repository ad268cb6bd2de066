package main

import "go.mau.fi/util/progver"

// baseVersion is the version of the next release.
const baseVersion = "0.1.0"

// Set by the linker; see the Makefile.
var (
	tag       = "unknown"
	commit    = "unknown"
	buildTime = "unknown"
)

const (
	name    = "mimi-gateway"
	homeURL = "https://github.com/mimi-gateway/mimi-gateway"
)

// programVersion says exactly what was built.
func programVersion() progver.ProgramVersion {
	return progver.ProgramVersion{Name: name, URL: homeURL, BaseVersion: baseVersion}.Init(tag, commit, buildTime)
}
