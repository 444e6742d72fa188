// Package decisions reads the gateway's decision log back: one JSON object a line, as package
// sidecar writes them (README, "What operators see").
//
// It owns the strict reading of a line, of files of any size in constant memory, compressed or
// not, and the counting of what is no decision. It knows no policy: what a recorded decision
// means today is for package replay, what can be learned from many is for package learn.
package decisions
