package account

import (
	"strings"
	"time"
)

// OrgID names an organization, a UUIDv7 in text form. The empty OrgID is no
// organization: it is the owner of the built-in service "auth".
type OrgID string

// UserID names a user, a UUIDv7 in text form.
type UserID string

// RoleID names a role. It is a number because the API sends role_id unquoted.
type RoleID int64

// PermissionID names a permission in the catalogue.
type PermissionID int64

// OrgType is what an organization signed up as; nothing depends on it yet.
type OrgType string

// The organization types that are accepted at signup; Teams is the default.
const (
	Enterprise OrgType = "enterprise"
	Teams      OrgType = "teams"
)

// Org is a tenant. Names are free text and not unique: whoever signs up first
// must not be able to keep a company's name from it.
type Org struct {
	ID        OrgID
	Name      string
	Domain    string
	Type      OrgType
	CreatedAt time.Time
}

// User is a person in exactly one organization. The password's hash is not part
// of it, so that no answer can contain one.
type User struct {
	ID           UserID
	OrgID        OrgID
	Username     string // unique over the whole server, without regard to case
	PrimaryEmail string // unique inside the organization, without regard to case
	Active       bool
	CreatedAt    time.Time
}

// Credential is a user together with what a login needs to judge it.
type Credential struct {
	User   User
	PHC    string // the password's hash in PHC form
	Locked bool   // closed by an administrator; wrong passwords never lock
}

// RoleType tells roles that every organization is born with from those it made.
type RoleType string

// The two types of role.
const (
	SystemRole RoleType = "system"
	CustomRole RoleType = "custom"
)

// Builtin says which of the system roles a role is. It, and never a role's
// name, decides who is an owner.
type Builtin string

// The system roles; NotBuiltin marks a custom role.
const (
	NotBuiltin Builtin = ""
	Owner      Builtin = "owner"
	Admin      Builtin = "admin"
	Member     Builtin = "user"
)

// Role is a named set of permissions inside one organization.
type Role struct {
	ID      RoleID
	OrgID   OrgID
	Name    string // unique inside the organization, without regard to case
	Type    RoleType
	Builtin Builtin
}

// Permission is one entry of the catalogue: service.resource.action.
type Permission struct {
	ID          PermissionID
	Service     string
	Resource    string
	Action      string
	Description string
	OrgID       OrgID // the owner of the service; empty for "auth"
}

// Slug is the permission as a scope word.
func (p Permission) Slug() string { return p.Service + "." + p.Resource + "." + p.Action }

// All reports whether the permission stands for every action of its resource.
func (p Permission) All() bool { return p.Action == actionAll }

// Source says why an organization may use a permission.
type Source string

// The sources of an entitlement: the organization owns the service, its owner
// granted exactly this permission, or it is one of the server's own "auth".
const (
	FromOwner  Source = "owner"
	FromGrant  Source = "grant"
	FromSystem Source = "system"
)

// Entitlement is a permission that an organization may attach to its roles.
type Entitlement struct {
	Permission Permission
	Source     Source
}

// Claim is a service name and who holds it. A claimed name is never free again:
// resource servers go on trusting it, so a retired one keeps its row.
type Claim struct {
	Service string
	Owner   OrgID // empty for "auth"
	Retired bool
}

// Stamp is who did something and when; every row that grants a right keeps one.
type Stamp struct {
	At time.Time
	By UserID // empty when the server or its operator did it
}

const (
	authService = "auth"
	actionAll   = "all"
)

// fold maps names that differ in case only to one spelling. Names are ASCII by
// their grammar; e-mail addresses may hold more, and there this is lower case.
func fold(name string) string { return strings.ToLower(name) }
