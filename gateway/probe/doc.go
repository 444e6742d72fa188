// Package probe asks a running service, past the gateway, how it reads paths:
// whether spellings that a policy tells apart lead it to the same place.
//
// A gateway and a service that read one path in two ways are the largest
// family of bypasses in this field. The ambiguity guard refuses what somebody
// might read otherwise; this package finds out what this one service does, and
// whether the policy is weaker there than it looks.
//
// Reading order: twins (the spellings), wire (one request, one answer),
// reading (which answers are the same), probe (the run and its report). It
// sends GET only, but for what Options.Post adds.
package probe
