package account

import (
	"context"
	"time"
)

// Store keeps what this package decides about. An implementation promises, and
// package storetest checks:
//
//   - Update is serializable and all or nothing: of two Updates, one sees all
//     that the other wrote, or nothing; when fn or the commit fails, nothing
//     stays. fn may be run again after a conflict, so it has no other effects.
//   - When Update returns nil, the write survives the death of the process.
//   - View is one consistent snapshot, and sees every Update that returned
//     before it began: an attached permission is in the next login's token.
//   - A foreign organization's role, permission or user cannot be tied to one's
//     own, whatever ids are passed: the schema refuses it, not only the code.
//
// A Tx is good until its fn returns and belongs to one goroutine.
type Store interface {
	// Both return ctx's error when ctx ended them, and ErrStoreUnavailable for a
	// fault that may pass by itself.
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Tx) error) error
	KeyStore

	// Ping fails when the store cannot answer a query now.
	Ping(ctx context.Context) error
	// Close waits for running transactions and lets go of all files.
	Close() error
}

// Tx is one transaction. Rows that a method does not find are a sentinel of
// this package, named at each method; any other error is the store's own.
type Tx interface {
	Reader
	Writer
}

// Reader is what both View and Update may ask.
type Reader interface {
	// Credential finds a user by name without regard to case: ErrUserNotFound.
	Credential(ctx context.Context, username string) (Credential, error)
	// User finds a user inside an organization: ErrUserNotFound.
	User(ctx context.Context, org OrgID, id UserID) (User, error)
	// Role finds a role inside an organization: ErrRoleNotFound.
	Role(ctx context.Context, org OrgID, id RoleID) (Role, error)
	// Roles lists an organization's roles by id.
	Roles(ctx context.Context, org OrgID) ([]Role, error)
	// UserRoles lists the roles that a user has, by id.
	UserRoles(ctx context.Context, org OrgID, id UserID) ([]Role, error)
	// RolePermissions lists what is attached to a role, by id.
	RolePermissions(ctx context.Context, org OrgID, id RoleID) ([]Entitlement, error)
	// Holdings lists what is attached to any role of a user, and the
	// entitlements of the organization on the resources of which one of those
	// is "all": what that "all" can stand for. Both by id, without deleted
	// permissions and retired services.
	Holdings(ctx context.Context, org OrgID, id UserID) (attached, siblings []Entitlement, err error)
	// Entitlement finds what an organization may use by slug: ErrPermissionNotFound.
	Entitlement(ctx context.Context, org OrgID, slug string) (Entitlement, error)
	// Claim finds a service name's holder: ErrServiceNotFound.
	Claim(ctx context.Context, service string) (Claim, error)
	// CountClaims counts the names an organization ever claimed, retired ones too.
	CountClaims(ctx context.Context, org OrgID) (int, error)
	// CountPermissions counts an organization's own permissions.
	CountPermissions(ctx context.Context, org OrgID) (int, error)
	// BuiltinPermissions lists the catalogue of the service "auth" by id.
	BuiltinPermissions(ctx context.Context) ([]Permission, error)
}

// Writer is what only Update may ask; in a View each method fails.
type Writer interface {
	InsertOrg(ctx context.Context, org Org) error
	// InsertUser adds a user with a hash: ErrUsernameTaken, ErrEmailTaken.
	InsertUser(ctx context.Context, user User, phc string, by Stamp) error
	// SetPassword replaces a hash if it still is old: ErrConflict.
	SetPassword(ctx context.Context, id UserID, old, phc string, at time.Time) error
	// SetActive switches a user on or off: ErrUserNotFound.
	SetActive(ctx context.Context, org OrgID, id UserID, active bool) error
	// InsertRole adds a role and returns its id: ErrRoleExists.
	InsertRole(ctx context.Context, role Role, by Stamp) (RoleID, error)
	// AssignRole gives a role to a user; repeating it changes nothing.
	// ErrRoleNotFound when either is not of the organization.
	AssignRole(ctx context.Context, org OrgID, user UserID, role RoleID, by Stamp) error
	// InsertClaim takes a service name: ErrServiceForeign when it has a row.
	InsertClaim(ctx context.Context, claim Claim, by Stamp) error
	// InsertPermission adds to the catalogue and returns the id:
	// ErrPermissionExists, ErrServiceNotFound.
	InsertPermission(ctx context.Context, p Permission, by Stamp) (PermissionID, error)
	// Entitle lets an organization use a permission; repeating it changes
	// nothing. ErrServiceForeign when the source is FromOwner and the
	// organization does not own the service.
	Entitle(ctx context.Context, org OrgID, p Permission, source Source, by Stamp) error
	// AttachPermission ties a permission to a role; repeating it changes
	// nothing. ErrRoleNotFound when the role is not of the organization,
	// ErrPermissionNotFound when the organization may not use the permission.
	AttachPermission(ctx context.Context, org OrgID, role RoleID, p PermissionID, by Stamp) error
}

// SigningKey is a row of the key ring. Times have the precision of a
// millisecond. This package does not look inside: package token does.
type SigningKey struct {
	KID       string
	Alg       string
	PublicJWK []byte    // the public part, JSON
	Sealed    []byte    // the private part under the master key; nil once erased
	PublishAt time.Time // in the JWKS from here
	SignFrom  time.Time
	SignUntil time.Time
	RetireAt  time.Time // out of the JWKS from here
	RevokedAt time.Time // zero unless withdrawn early
}

// KeyStore keeps signing keys. Every change raises the generation by one.
type KeyStore interface {
	// Keys lists all rows, oldest SignFrom first, and the generation, which
	// belong together.
	Keys(ctx context.Context) (keys []SigningKey, generation int64, err error)
	// AddKey inserts a row if the generation still is the one that was read:
	// ErrKeyGeneration otherwise, so that of two replicas which both miss a key
	// one makes it. ErrKeyExists for a kid that has a row.
	AddKey(ctx context.Context, generation int64, key SigningKey) error
	// EraseKey forgets the private part for good, in the file too:
	// ErrKeyNotFound. Erasing twice is no error.
	EraseKey(ctx context.Context, kid string) error
	// RevokeKey withdraws a key from now on and erases it: ErrKeyNotFound.
	RevokeKey(ctx context.Context, kid string, at time.Time) error
}
