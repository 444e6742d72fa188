// Package account owns the rules of who may do what: organizations, users,
// roles, permissions and the services that permissions belong to; who may sign
// up, how a password is judged, which scopes a login yields and who may hand
// which permission to whom.
//
// It knows no HTTP, no SQL and no JOSE. Callers get values and errors: a
// *InvalidError lists every fault of an input, a *Refusal carries one of the
// sentinels of errors.go and the sentence that a client may read. Rows are kept
// behind the Store interface; package store has its SQL, package store/storetest
// its contract as tests.
//
// Every id and every name is looked up inside the organization of the caller.
// What belongs to somebody else is answered as if it did not exist.
package account
