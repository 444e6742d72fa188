// Package replay puts recorded decisions to other policies: which requests of the decision log
// would be answered otherwise?
//
// It owns what a recorded line means to a policy of today (judge.go), down to saying that it
// cannot tell, and the sums and samples of many (tally.go, report.go). Decisions are made by
// package policy alone, lines are read by package decisions.
package replay
