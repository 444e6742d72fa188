package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a finding keeps a policy from being used.
type Severity uint8

const (
	// SeverityError keeps the policy from being used.
	SeverityError Severity = iota
	// SeverityWarning comes along with a usable policy.
	SeverityWarning
)

// String returns `error` or `warning`.
func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// MarshalText writes the severity's name, so that JSON shows it.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one fault of a policy file, or one remark about it. Line and
// Column count from 1.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint"`
}

// String writes the finding on one line, as a compiler would.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s %s: %s", f.File, f.Line, f.Column, f.Severity, f.ID, f.Message)
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// Findings are all findings of one file, sorted by line, column and id. As an
// error it lists every one of them on a line of its own.
type Findings []Finding

// Error lists the findings, one a line.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Errors returns those findings that keep the policy from being used.
func (fs Findings) Errors() Findings { return fs.withSeverity(SeverityError) }

// Warnings returns the remarks.
func (fs Findings) Warnings() Findings { return fs.withSeverity(SeverityWarning) }

// HasErrors reports whether the policy cannot be used.
func (fs Findings) HasErrors() bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Severity == SeverityError })
}

func (fs Findings) withSeverity(s Severity) Findings {
	var out Findings
	for _, f := range fs {
		if f.Severity == s {
			out = append(out, f)
		}
	}
	return out
}

func (fs Findings) sort() {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.ID, b.ID))
	})
}

// The ids of findings. An id keeps its meaning for ever; a new kind of finding
// gets a new number. Errors count from SG001, warnings from SG101.
const (
	idSyntax      = "SG001"
	idTooLarge    = "SG002"
	idDocuments   = "SG003"
	idReference   = "SG004"
	idDuplicate   = "SG005"
	idUnknownKey  = "SG006"
	idMissingKey  = "SG007"
	idType        = "SG008"
	idTrapWord    = "SG009"
	idVersion     = "SG010"
	idService     = "SG011"
	idScopeName   = "SG012"
	idUndeclared  = "SG013"
	idCircle      = "SG014"
	idPattern     = "SG015"
	idSameShape   = "SG016"
	idMethod      = "SG017"
	idNoMethods   = "SG018"
	idRequirement = "SG019"
	idBareList    = "SG020"
	idNest        = "SG021"
	idClaim       = "SG022"
	idDuration    = "SG023"
	idCondition   = "SG024"
	idAccept      = "SG025"
	idUpgrade     = "SG026"
	idPersona     = "SG027"
	idExpectation = "SG028"
	idRepeated    = "SG029"
	idTooMany     = "SG030"
	idDeceptive   = "SG031"
	idNoPolicy    = "SG032"

	idPublicWrite    = "SG101"
	idUnusedScope    = "SG102"
	idUnreachable    = "SG103"
	idAccepted       = "SG104"
	idAnyToken       = "SG105"
	idForeignImplies = "SG106"
	idWeakerTwin     = "SG107"
	idPublicTail     = "SG108"
	idIdleUpgrade    = "SG109"
	idColonName      = "SG110"
	idIdlePersona    = "SG111"
	idImpossible     = "SG112"
	idIdlePart       = "SG113"
	idOvertaken      = "SG114"
	idWeakerHead     = "SG115"
	idIdleAccept     = "SG116"
	idLikeScopes     = "SG117"
	idLikeService    = "SG118"
	idContradiction  = "SG119"
	idTwiceExpected  = "SG120"
	warningPrefix    = "SG1"
)

// Kind describes one id of the table of findings, for documentation.
type Kind struct {
	ID  string
	Doc string
}

// Kinds lists every id that Load can report, with what it means.
func Kinds() []Kind { return slices.Clone(kinds) }

var kinds = []Kind{
	{idSyntax, "the file is not UTF-8, or not YAML"},
	{idTooLarge, "the file, or its nesting, is larger than a policy may be"},
	{idDocuments, "the file holds no document, or more than one"},
	{idReference, "an anchor, an alias, a merge key or a tag: what stands there is not what is meant there"},
	{idDuplicate, "a key stands twice in one mapping"},
	{idUnknownKey, "a key that the language does not have"},
	{idMissingKey, "a key that must be written is missing"},
	{idType, "a value of the wrong type"},
	{idTrapWord, "an unquoted word that readers of YAML 1.1 and 1.2 take differently"},
	{idVersion, "a version of the language that this program does not speak"},
	{idService, "a service name that cannot be a label"},
	{idScopeName, "a scope that is not an RFC 6749 scope-token, is too long, or is a reserved word"},
	{idUndeclared, "a scope that `scopes:` does not declare"},
	{idCircle, "implications that lead back to where they began"},
	{idPattern, "a path that is not a pattern of literals, {names} and a final /**, or that no request can match"},
	{idSameShape, "two patterns of one shape, which match the same paths"},
	{idMethod, "a method that is not an upper-case token, or that is never let through"},
	{idNoMethods, "a path that lists no method"},
	{idRequirement, "a requirement that says nothing, or two things"},
	{idBareList, "a bare list of scopes, which could mean all or any"},
	{idNest, "public, authenticated or nobody inside any: or all:"},
	{idClaim, "a claims: condition that cannot be compared, or names no segment of the path"},
	{idDuration, "a duration that is not Go's, or not positive"},
	{idCondition, "an acr: or issuer: condition that is empty or no URL"},
	{idAccept, "an exception to the ambiguity guard that does not exist"},
	{idUpgrade, "a protocol that is never switched to"},
	{idPersona, "a persona that is neither anonymous nor the holder of a token"},
	{idExpectation, "an expectation that is no `METHOD /path`, or a reason that does not exist"},
	{idRepeated, "an entry that stands twice in one list"},
	{idTooMany, "more conditions in one rule, more routes, or more findings than a policy may have"},
	{idDeceptive, "a character by which the file reads otherwise than it looks"},
	{idNoPolicy, "a test file whose policy cannot be read"},

	{idPublicWrite, "public on a method that writes"},
	{idUnusedScope, "a declared scope that opens nothing"},
	{idUnreachable, "a route that more specific ones cover whole"},
	{idAccepted, "an exception to the ambiguity guard"},
	{idAnyToken, "any valid token of any accepted issuer will do"},
	{idForeignImplies, "an implication that crosses service names"},
	{idWeakerTwin, "a wider route that catches the twin of a stricter one, with a weaker requirement"},
	{idPublicTail, "a public /** around routes that are not public"},
	{idIdleUpgrade, "an upgrade: on a path that does not answer GET"},
	{idColonName, "a literal segment that looks like a placeholder of another router"},
	{idIdlePersona, "a persona that expects nothing"},
	{idImpossible, "a requirement that no token can meet"},
	{idIdlePart, "a part of a requirement that makes no difference"},
	{idOvertaken, "a wider route that takes paths from a stricter one, because it is more specific further left"},
	{idWeakerHead, "a rule for HEAD that asks for less than the one for GET"},
	{idIdleAccept, "an exception to the ambiguity guard that lets nothing through"},
	{idLikeScopes, "two scopes that differ in case or punctuation alone"},
	{idLikeService, "a scope that begins with a misspelt name of the service"},
	{idContradiction, "a persona that must and must not reach one request"},
	{idTwiceExpected, "a request that a persona lists twice"},
}

func severityOf(id string) Severity {
	if strings.HasPrefix(id, warningPrefix) {
		return SeverityWarning
	}
	return SeverityError
}
