// Package deploy holds how Scopegate runs elsewhere (images, compose) and the tests of
// what no single binary can see: that the walls between packages stand, that the
// manifests keep the service behind its gateway, and that README says what is there.
//
// It has no code of its own; the demo is package demo, below.
package deploy
