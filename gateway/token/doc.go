// Package token decides whether a bearer token counts here, and whose it is.
//
// It owns everything between the characters of a token and its claims: the compact
// serialization, the strict JSON inside it, the signature, the claims that every
// token must have, the issuers' key sets with their refreshing, and the cache of
// tokens already verified. It is the only package of the gateway that imports jwx, and it
// uses jwx for one thing: to turn the members of a JWK into a public key and its
// thumbprint. Its key cache is not used, because it holds its lock during a fetch and is
// poisoned by a failed first one.
//
// It does not own where in a request the token stands, which scopes a route asks for, or
// which HTTP status a refusal becomes: it answers with a [Reason]. It knows no policy, no
// metrics library and no server.
//
// # The life of a token
//
// [Verifier.Verify] looks the token up in the cache. On a miss, and once for all requests
// that bring the same token at the same time: split, decode, parse, choose the issuer by the
// claim iss, check algorithm and typ, find the key, verify the signature, judge the claims,
// remember. Audience and issuer are then judged for the service that asks, on a hit as well.
//
// What is remembered is the token's own characters and its [Terms], which tokens of one client
// share. Its claims are not kept as a tree: [Token.Claims] reads them again.
//
// # Keys
//
// Each issuer has one source. Readers load its immutable snapshot from an atomic pointer and
// never wait. All fetching happens in one goroutine for each source, which [Verifier.Run] owns;
// requests that need a key which the snapshot lacks order a fetch from it within a budget.
package token
