// Package policy is the policy language: what a policy file means, and what it
// says to one request.
//
// It owns the reading of a received request target (one reading or none), the
// strict loader of policy files, the compiled index, and the one decision
// function that the data path, the commands and the tests all call.
//
// It is pure: bytes and values in, values out. It opens no file and no socket,
// reads no clock, writes no log and starts no goroutine. Verifying tokens,
// choosing HTTP status codes and forwarding belong to other packages; this one
// is told who the caller is.
package policy
