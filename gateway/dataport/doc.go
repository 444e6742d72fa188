// Package dataport is the data port: it accepts connections, within limits,
// speaks TLS, finds out which protocol a client speaks, and gives the
// connection to the lane that reads it.
//
// It owns sockets and the count of them, from accept on until the last one has
// ended: the listen queue, the TLS handshake, the first 24 bytes, the state of
// each connection, the order of a drain, and the takeover of the listening
// sockets by a new process. A connection gets its reader once,
// by its first bytes, and never changes it.
//
// It does not own a single byte behind those: requests, keep-alive, time limits
// of an exchange, tunnels and what clients are told are the lanes' business.
// Nor does it know certificates' renewal, metrics or logs.
package dataport
