// Package vectors pins the module that carries the official MLS test vectors.
// Its code is not used.
package vectors
