// Package openapi reads OpenAPI documents, drafts a policy from what they say about security, and
// tells where such a document and a policy disagree.
//
// It owns what OpenAPI's words mean in the policy language, and where they mean nothing there. What
// cannot be said becomes a closed rule, or no rule, with a finding: only a person opens more. It
// decides nothing about requests: package policy compiles the draft, and compares.
//
// The library's types stay in this package.
package openapi
