package openapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The ids of findings about OpenAPI documents count from SG401. An id keeps its meaning for ever.
const (
	idUnsecured  = "SG401"
	idScheme     = "SG402"
	idNoScheme   = "SG403"
	idScope      = "SG404"
	idUndeclared = "SG405"
	idPath       = "SG406"
	idSameShape  = "SG407"
	idMethod     = "SG408"
	idServers    = "SG409"
	idMalformed  = "SG410"
	idMatrix     = "SG411"

	idUndocumented = "SG421"
	idUnrouted     = "SG422"
	idLooser       = "SG423"
	idStricter     = "SG424"
	idDifferent    = "SG425"
	idPublic       = "SG426"
	idSecured      = "SG427"
	idAnyForAll    = "SG428"
	idAllForAny    = "SG429"
	idUndecided    = "SG430"
	idWords        = "SG431"
)

// Kinds lists every id of this package with what it means, for documentation.
func Kinds() []policy.Kind { return slices.Clone(kinds) }

var kinds = []policy.Kind{
	{ID: idUnsecured, Doc: "operations about whose security the document says nothing"},
	{ID: idScheme, Doc: "a security scheme that is no Bearer token: what asks for it is closed"},
	{ID: idNoScheme, Doc: "a security scheme that the document does not have: what asks for it is closed"},
	{ID: idScope, Doc: "a scope that no policy can name: what asks for it is closed"},
	{ID: idUndeclared, Doc: "a scope that its security scheme does not declare"},
	{ID: idPath, Doc: "a path that no policy can name: it is left out, or widened by --widen"},
	{ID: idSameShape, Doc: "two paths that match the same requests"},
	{ID: idMethod, Doc: "a method that is never let through, or is none"},
	{ID: idServers, Doc: "operations with servers of their own"},
	{ID: idMalformed, Doc: "a `security:` that says nothing: it is taken as closed"},
	{ID: idMatrix, Doc: "a parameter that is sent with semicolons, which the ambiguity guard refuses"},

	{ID: idUndocumented, Doc: "undocumented: the policy lets in what the document does not have"},
	{ID: idUnrouted, Doc: "unrouted: an operation of the document for which the policy has no rule"},
	{ID: idLooser, Doc: "looser: the policy lets callers in of whom the document asks more"},
	{ID: idStricter, Doc: "stricter: the policy refuses callers who have what the document asks for"},
	{ID: idDifferent, Doc: "different: looser for some callers, stricter for others"},
	{ID: idPublic, Doc: "public: the policy asks for no token where the document asks for something"},
	{ID: idSecured, Doc: "secured: the policy asks for a token where the document does not"},
	{ID: idAnyForAll, Doc: "any_for_all: the policy takes any one of the scopes of which the document asks for all"},
	{ID: idAllForAny, Doc: "all_for_any: the policy asks for all of the scopes of which any one does in the document"},
	{ID: idUndecided, Doc: "undecided: the two could not be compared"},
	{ID: idWords, Doc: "a scope that only one of the two declares"},
}

// visible keeps a text from a document to what a terminal shows and does not act on.
func visible(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case !unicode.IsPrint(c):
			return unicode.ReplacementChar
		}
		return c
	}, s)
	if len(s) > 600 {
		s = strings.ToValidUTF8(s[:600], "") + "…"
	}
	return s
}

// warning is a finding with which the draft can still be used.
func warning(at Place, id, hint, message string) policy.Finding {
	return policy.Finding{ID: id, Severity: policy.SeverityWarning, File: at.File, Line: at.Line, Column: at.Column,
		Message: visible(message), Hint: visible(hint)}
}

func (im *importer) report(at Place, id, hint, format string, args ...any) {
	im.found = append(im.found, warning(at, id, hint, fmt.Sprintf(format, args...)))
}

func sortFindings(found policy.Findings) {
	slices.SortStableFunc(found, func(a, b policy.Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Message, b.Message))
	})
}
