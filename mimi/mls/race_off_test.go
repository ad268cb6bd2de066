//go:build !race

package mls_test

const raceFactor = 1
