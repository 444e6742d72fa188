// Package gate is the life of one request, from what a lane read off the wire
// to the verdict, and the one record that is left of it.
//
// A lane (packages fastlane and proxy) turns bytes into a [Request], begins an
// [Exchange] with it, and then does what the exchange says:
//
//	var x gate.Exchange
//	g.Begin(&x, request)
//	defer func() { x.End(outcome) }() // one record, whatever happens
//	if err := x.Admit(ctx); err != nil {
//		answer(x.Refuse(ctx, err)) // status, fields and body, from one table
//		return
//	}
//	forward(x) // method, host, path, query and fields come from x only, and
//	           // x.KeepAnswer and x.AddAnswer say what the client sees of the answer's fields
//
// The gate owns: which service and policy a request is for, in which order the
// questions are asked, what becomes of each header field, how each refusal
// looks, and what is recorded. It does not own: sockets, bodies, time limits,
// configuration files, metrics or log formats. It starts no goroutine and
// knows no server, so that several lanes can stand around one gate and cannot
// differ in what they allow.
package gate
