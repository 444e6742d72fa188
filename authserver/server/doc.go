// Package server is the auth server's process as a value: configuration,
// listeners, routes, admin port, metrics, log and drain.
//
// It owns everything that is visible on a socket: which path leads where, what
// a body must look like, which error becomes which status, and the answers'
// exact shapes, which are those of the FastAPI service that the demo was
// written against. Echo and Prometheus stay in this package.
//
// It owns no rules: who may do what is package account's, what a token says
// and which key signs it is package token's, and rows are package store's.
package server
