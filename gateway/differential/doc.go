// Package differential holds the lanes against each other and against net/http.
//
// It has no code of its own but tests. FuzzLanes sends bytes of a client to the
// fast lane and asks the standard lane about every request that net/http's
// parser finds in them; FuzzAnswers lets a service answer with bytes, and asks
// net/http's client what they say. Both lanes stand behind real sockets and
// before a real gate, and what they send is read by readers that are stricter
// than RFC 9112 asks for.
//
// What fuzzing finds becomes a named case in the table of the target.
package differential
