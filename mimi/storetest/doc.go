// Package storetest checks implementations of the Store interfaces that the
// packages below mimi/ declare, and has implementations in memory for their
// tests.
//
// Each suite, such as [Hub] and [Client], goes through the contract of one
// interface sentence by sentence. The stores in memory pass them, roll back
// like a database, and fail where [Faults] tell them to: a test that runs its
// story once for each point at which a store can fail has seen every crash.
package storetest
