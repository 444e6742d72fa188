package gate

// MayIgnoreContent reports a method for which RFC 9110 gives content no
// meaning (sections 9.3.1, 9.3.2, 9.3.5, 9.3.7), so that some services leave
// it on the connection unread, where it becomes their next request (CL.0,
// James Kettle 2022; CVE-2022-29361, Werkzeug). A lane sends it chunked,
// however it came: what such a service then finds begins with a chunk size,
// which is no request line.
func MayIgnoreContent(method string) bool {
	switch method {
	case "GET", "HEAD", "DELETE", "OPTIONS":
		return true
	}
	return false
}
