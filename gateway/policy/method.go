package policy

import "strings"

// maxMethod bounds a method's length in bytes (the longest registered one, UPDATEREDIRECTREF,
// has 17).
const maxMethod = 32

// checkMethod accepts 1 to 32 of A-Z, '-' and '_'. Lower case is refused, since some stacks
// fold it and others treat get as a method of its own; bytes like '.' or '~' begin aliases of
// the same kind.
func checkMethod(m string) *GuardError {
	if !methodToken(m) {
		return broken(RuleMethod)
	}
	if neverServed(m) {
		return errNotImplemented
	}
	return nil
}

// ValidMethod reports whether a request with the method could be judged at all, for methods that
// stand elsewhere than in a request line.
func ValidMethod(m string) bool { return checkMethod(m) == nil }

func methodToken(m string) bool {
	if len(m) == 0 || len(m) > maxMethod {
		return false
	}
	for i := 0; i < len(m); i++ {
		if c := m[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// neverServed lists the methods that even ANY does not cover: TRACE and its alias echo the
// request with its credentials, CONNECT opens a tunnel behind the gate, PRI is the HTTP/2
// preface and no request.
func neverServed(m string) bool {
	switch m {
	case "TRACE", "TRACK", "CONNECT", "PRI":
		return true
	}
	return false
}

// overrideOf collects what method-override headers and, for POST, the query's _method ask for.
// It returns "" when nothing asks for another method. Two values that differ from each other
// have no single reading, and neither has a value that is no method: both are refused outright,
// since accept: could not say which of them is meant.
func overrideOf(method string, headers []string, query string, marked bool) (string, *GuardError) {
	asked := ""
	for _, v := range headers {
		if err := foldOverride(&asked, strings.Trim(v, " \t")); err != nil {
			return "", err
		}
	}
	// A GET that a header turns into a POST is one to whoever reads _method behind us.
	if marked && (method == "POST" || asked == "POST") {
		for rest := query; rest != ""; {
			var pair string
			pair, rest = nextPair(rest)
			if paramOf(pair) != paramMethod {
				continue
			}
			_, value, _ := strings.Cut(pair, "=")
			if err := foldOverride(&asked, decodeForm(value)); err != nil {
				return "", err
			}
		}
	}
	if asked == method {
		return "", nil
	}
	return asked, nil
}

// foldOverride adds one value to what is asked for.
func foldOverride(asked *string, value string) *GuardError {
	value = strings.ToUpper(value)
	if !methodToken(value) || neverServed(value) || *asked != "" && *asked != value {
		return broken(RuleMethodOverride)
	}
	*asked = value
	return nil
}
