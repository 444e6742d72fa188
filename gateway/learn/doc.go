// Package learn drafts a policy from recorded decisions: the paths that were called, as templates,
// and for each method the least scopes that all allowed calls had in common.
//
// It owns what is gathered of a log in bounded memory (tree.go, use.go, scopes.go), what of a path
// is a name and what varies (segment.go, shape.go), and what a rule has to ask for (need.go). The
// draft is for a person to edit: it says what the log shows, and cannot know what was meant.
package learn
