package account

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths that inputs are held to. A password's upper limit is in bytes,
// because that is what hashing costs; everything else counts characters.
const (
	minPassword    = 8
	maxPassword    = 1024
	maxUsername    = 64
	maxOrgName     = 200
	maxDomain      = 253
	maxDescription = 500
	maxName        = 63
)

// isName is the grammar of service, resource and action: [a-z][a-z0-9_-]{0,62}.
// No dots, because ("a.b","c") and ("a","b.c") would be one slug; no upper case
// and no Unicode, because look-alikes would be two.
func isName(s string) bool {
	if s == "" || len(s) > maxName || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// bare is a name without its separators. Reserved names are compared by it: a
// reader takes "o_auth" and "admin-" for the names that they imitate.
func bare(name string) string { return strings.NewReplacer("_", "", "-", "").Replace(name) }

func badName(path ...string) Fault {
	return Fault{Path: path, Kind: BadForm,
		Message: "must start with a letter and hold only a-z, 0-9, _ and -, at most 63 characters"}
}

// Faults lists what CreatePermission would refuse the input for, in the order of
// its fields.
func (in NewPermission) Faults() []Fault {
	var faults []Fault
	for _, f := range []struct{ field, value string }{
		{"service", in.Service}, {"resource", in.Resource}, {"action", in.Action},
	} {
		if !isName(f.value) {
			faults = append(faults, badName(f.field))
		}
	}
	return append(faults, freeText(in.Description, 0, maxDescription, "description")...)
}

// SignupFaults lists what Signup would refuse the input for, in the order of its
// fields.
func (s *Service) SignupFaults(in Signup) []Fault {
	var faults []Fault
	faults = append(faults, checkUsername(in.Username)...)
	faults = append(faults, s.checkPassword(in.Password, in.Username, in.PrimaryEmail)...)
	faults = append(faults, checkEmail(in.PrimaryEmail)...)
	faults = append(faults, freeText(in.OrgName, 1, maxOrgName, "org", "name")...)
	faults = append(faults, freeText(in.Domain, 0, maxDomain, "org", "domain")...)
	if in.OrgType != "" && in.OrgType != Teams && in.OrgType != Enterprise {
		faults = append(faults, Fault{Path: []string{"org", "type"}, Kind: NotOneOf,
			Message: "must be enterprise or teams", Allowed: []string{string(Enterprise), string(Teams)}})
	}
	if in.MFAEnabled {
		faults = append(faults, Fault{Path: []string{"org", "mfa_enabled"}, Kind: Unavailable,
			Message: "Second factors are not available yet"})
	}
	return faults
}

// takenWords are usernames that would be read as a path of the API.
var takenWords = map[string]bool{"me": true, "signup": true, "login": true, "logout": true, "refresh": true, "invite": true}

// checkUsername keeps names that a path or an eye could take for another: ASCII
// only, and no digits-only name, because /role/7 is a role's place.
func checkUsername(name string) []Fault {
	path := []string{"user", "username"}
	if name == "" {
		return []Fault{{Path: path, Kind: TooShort, Message: "must not be empty", Limit: 1}}
	}
	if len(name) > maxUsername {
		return []Fault{{Path: path, Kind: TooLong, Message: "must have at most 64 characters", Limit: maxUsername}}
	}
	digits := true
	for i := range len(name) {
		c := name[i]
		digit := '0' <= c && c <= '9'
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !digit && !letter && (i == 0 || !strings.ContainsRune("._@+-", rune(c))) && c != '_' {
			return []Fault{{Path: path, Kind: BadForm,
				Message: "must hold only letters, digits and . _ @ + -, and start with a letter, a digit or _"}}
		}
		digits = digits && digit
	}
	if digits {
		return []Fault{{Path: path, Kind: NotAllowed, Message: "must not be digits only"}}
	}
	if takenWords[fold(name)] {
		return []Fault{{Path: path, Kind: NotAllowed, Message: "is a reserved name"}}
	}
	return nil
}

// checkPassword asks for length and for not being what is tried first. It asks
// for no digits, capitals or signs (ASVS 6.2.5), and compares whole identifiers
// only: "test1234@" is fine for "test_user".
func (s *Service) checkPassword(password, username, email string) []Fault {
	path := []string{"user", "password"}
	if utf8.RuneCountInString(password) < minPassword {
		return []Fault{{Path: path, Kind: TooShort, Message: "must have at least 8 characters", Limit: minPassword}}
	}
	if len(password) > maxPassword {
		return []Fault{{Path: path, Kind: TooLong, Message: "must have at most 1024 bytes", Limit: maxPassword}}
	}
	if s.words[fold(password)] {
		return []Fault{{Path: path, Kind: NotAllowed, Message: "is one of the most common passwords"}}
	}
	local, _, _ := strings.Cut(email, "@")
	for _, own := range []string{username, email, local} {
		if own != "" && strings.EqualFold(password, own) {
			return []Fault{{Path: path, Kind: NotAllowed, Message: "must not be the username or the e-mail address"}}
		}
	}
	return nil
}

//go:embed common_passwords.txt
var commonList string

// commonPasswords is the embedded list as a set: of the words that are tried
// first, those long enough to pass the length rule.
func commonPasswords() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonList) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			words[fold(line)] = true
		}
	}
	return words
}

// checkEmail is about form only: whether mail arrives is not ours to know.
func checkEmail(email string) []Fault {
	if isEmail(email) {
		return nil
	}
	return []Fault{{Path: []string{"user", "primary_email"}, Kind: BadForm, Message: "must be an e-mail address"}}
}

// isEmail takes a dot-atom and a domain name (RFC 5321 4.1.2), with letters of
// any script (RFC 6531); no quoted local part, no address literal, no comment.
func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || len(local) > 64 || !utf8.ValidString(s) {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, notAtom) {
			return false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, notLabel) {
			return false
		}
	}
	return true
}

func notAtom(r rune) bool { return notLabel(r) && !strings.ContainsRune("!#$%&'*+/=?^_`{|}~", r) }

func notLabel(r rune) bool {
	return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// freeText holds a text to a length and keeps control characters out, which
// would forge lines in a log or a terminal.
func freeText(s string, least, most int, path ...string) []Fault {
	switch n := utf8.RuneCountInString(s); {
	case n < least:
		return []Fault{{Path: path, Kind: TooShort, Message: "must not be empty", Limit: least}}
	case n > most:
		return []Fault{{Path: path, Kind: TooLong, Message: fmt.Sprintf("must have at most %d characters", most), Limit: most}}
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return []Fault{{Path: path, Kind: BadForm, Message: "must not hold control characters"}}
	}
	return nil
}

func invalid(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &InvalidError{Faults: faults}
}
