// Package token decides what a token of the auth server is: which claims it
// carries, which key signs it, and which public keys the world is shown.
//
// It owns the claim profile of /user/login, the ring of signing keys with its
// timetable, the sealing of private keys under the master key, the body of the
// JWKS document, and the verification of the server's own tokens when they
// come back as credentials. It is the only package of the auth server that
// knows JOSE.
//
// It does not know HTTP, SQL, users or permissions, and it reads no clock:
// every function that depends on time is given the time, so that a year can be
// simulated in a test.
package token
