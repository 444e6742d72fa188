package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/authserver/store"
)

// tenants is a database with two organizations, a and b, each with a user (ua,
// ub), an owner role (101, 102), a service (sa, sb) and an attached permission
// of it (201, 202).
const tenants = `
INSERT INTO organization (id, name, domain, type, created_at) VALUES ('a','a','','teams',0), ('b','b','','teams',0);
INSERT INTO account (id, org_id, username, username_ci, email, email_ci, password_phc, password_changed_at, active, created_at, created_by)
	VALUES ('ua','a','ua','ua','e','e','',0,1,0,''), ('ub','b','ub','ub','e','e','',0,1,0,'');
INSERT INTO service (name, owner_org, claimed_at, claimed_by) VALUES ('sa','a',0,''), ('sb','b',0,'');
INSERT INTO permission (id, service, resource, action, description, created_at, created_by)
	VALUES (201,'sa','r','x','',0,''), (202,'sb','r','x','',0,'');
INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by)
	VALUES ('a',201,'sa','owner',0,''), ('b',202,'sb','owner',0,'');
INSERT INTO role (id, org_id, name, name_ci, type, builtin, created_at, created_by)
	VALUES (101,'a','owner','owner','system','owner',0,''), (102,'b','owner','owner','system','owner',0,'');
INSERT INTO role_permission VALUES ('a',101,201,0,''), ('b',102,202,0,'');
INSERT INTO account_role VALUES ('a','ua',101,0,''), ('b','ub',102,0,'');`

// TestSchemaRefuses: what the rules refuse, SQL refuses as well, so that a bug
// in the rules is not a hole. (The attack: attach-permission with another
// organization's role_id, which the original server let through.)
func TestSchemaRefuses(t *testing.T) {
	for claim, query := range map[string]string{
		"a's permission on b's role, as a":        `INSERT INTO role_permission VALUES ('a',102,201,0,'')`,
		"a's permission on b's role, as b":        `INSERT INTO role_permission VALUES ('b',102,201,0,'')`,
		"b's permission on a's role, as a":        `INSERT INTO role_permission VALUES ('a',101,202,0,'')`,
		"moving an attachment to another role":    `UPDATE role_permission SET role_id = 102 WHERE org_id = 'a'`,
		"moving an attachment to another tenant":  `UPDATE role_permission SET org_id = 'b' WHERE org_id = 'a'`,
		"b's role for a's user, as a":             `INSERT INTO account_role VALUES ('a','ua',102,0,'')`,
		"b's role for a's user, as b":             `INSERT INTO account_role VALUES ('b','ua',102,0,'')`,
		"a's role for b's user":                   `INSERT INTO account_role VALUES ('a','ub',101,0,'')`,
		"moving a role to another tenant":         `UPDATE role SET org_id = 'b' WHERE id = 101`,
		"moving a user to another tenant":         `UPDATE account SET org_id = 'b' WHERE id = 'ua'`,
		"b as owner of a's permission":            `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by) VALUES ('b',201,'sa','owner',0,'')`,
		"b as owner, with its own service named":  `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by) VALUES ('b',201,'sb','owner',0,'')`,
		"a's permission as a system one":          `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by) VALUES ('b',201,'sa','system',0,'')`,
		"a's permission as a system one, as auth": `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by) VALUES ('b',201,'auth','system',0,'')`,
		"auth as a grant":                         `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by) VALUES ('b',1,'auth','grant',0,'')`,
		"turning a service over under its owner":  `UPDATE service SET owner_org = 'b' WHERE name = 'sa'`,
		"a service without an owner":              `INSERT INTO service (name, owner_org, claimed_at, claimed_by) VALUES ('sc',NULL,0,'')`,
		"a second owner of a name":                `INSERT INTO service (name, owner_org, claimed_at, claimed_by) VALUES ('sa','b',0,'')`,
		"deleting a claimed name":                 `DELETE FROM service WHERE name = 'sa'`,
		"a permission of no service":              `INSERT INTO permission (service, resource, action, description, created_at, created_by) VALUES ('sx','r','x','',0,'')`,
		"one slug twice":                          `INSERT INTO permission (service, resource, action, description, created_at, created_by) VALUES ('sa','r','x','',0,'')`,
		"a slug with two readings":                `INSERT INTO permission (service, resource, action, description, created_at, created_by) VALUES ('sa','r.x','y','',0,'')`,
		"a second owner role":                     `INSERT INTO role (org_id, name, name_ci, type, builtin, created_at, created_by) VALUES ('a','o2','o2','system','owner',0,'')`,
		"a custom role as built-in":               `INSERT INTO role (org_id, name, name_ci, type, builtin, created_at, created_by) VALUES ('a','o2','o2','custom','admin',0,'')`,
		"a system role that is none":              `INSERT INTO role (org_id, name, name_ci, type, builtin, created_at, created_by) VALUES ('a','o2','o2','system',NULL,0,'')`,
		"a username in use":                       `UPDATE account SET username_ci = 'ub' WHERE id = 'ua'`,
		"text for a time":                         `UPDATE account SET created_at = 'yesterday'`,
		"a key that signs before it is published": `INSERT INTO signing_key VALUES ('k','RS256',x'00',NULL,10,5,20,30,NULL)`,
		"a key that is retired while it may sign": `INSERT INTO signing_key VALUES ('k','RS256',x'00',NULL,1,5,20,19,NULL)`,
		"a second generation of the ring":         `INSERT INTO key_ring VALUES (2, 0)`,
	} {
		t.Run(claim, func(t *testing.T) {
			path := newPath(t)
			open(t, path)
			db := raw(t, path)
			run(t, db, tenants)
			if _, err := db.Exec(query); err == nil || !strings.Contains(err.Error(), "constraint") {
				t.Errorf("got %v, want a broken constraint", err)
			}
		})
	}
}

// The same file must accept what is right, or the test above proves nothing.
func TestSchemaAccepts(t *testing.T) {
	path := newPath(t)
	open(t, path)
	db := raw(t, path)
	run(t, db, tenants)
	run(t, db, `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by) VALUES ('b',201,'sa','grant',0,'')`)
	run(t, db, `INSERT INTO role_permission VALUES ('b',102,201,0,'')`)
	run(t, db, `DELETE FROM entitlement WHERE org_id = 'b' AND permission_id = 201`) // a grant taken back takes its attachments along
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM role_permission WHERE org_id = 'b'`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d attachments left, %v", n, err)
	}
}

// TestEveryTableIsStrict: a table that is not takes text for a number.
func TestEveryTableIsStrict(t *testing.T) {
	path := newPath(t)
	open(t, path)
	rows, err := raw(t, path).Query(`SELECT name FROM pragma_table_list
		WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version'`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		t.Errorf("%s is not STRICT", name)
	}
	must(t, rows.Err())
}

// TestMigrationsGoForward: numbered without a gap, nothing to undo, and each
// engine has the same numbers.
func TestMigrationsGoForward(t *testing.T) {
	engines, err := os.ReadDir("migrations")
	must(t, err)
	form := regexp.MustCompile(`^(0000[1-9]|000[1-9]\d)_[a-z_]+\.sql$`)
	var first []string
	for _, engine := range engines {
		files, err := fs.Glob(os.DirFS(filepath.Join("migrations", engine.Name())), "*")
		must(t, err)
		for i, name := range files {
			body, err := os.ReadFile(filepath.Join("migrations", engine.Name(), name))
			must(t, err)
			if !form.MatchString(name) || !strings.HasSuffix(name[:5], string(rune('1'+i))) {
				t.Errorf("%s/%s is out of line", engine.Name(), name)
			}
			if strings.Contains(string(body), "+goose Down") {
				t.Errorf("%s/%s goes backward", engine.Name(), name)
			}
		}
		if first == nil {
			first = files
		}
		if strings.Join(files, " ") != strings.Join(first, " ") {
			t.Errorf("%s has %v, another engine %v", engine.Name(), files, first)
		}
	}
	if len(first) == 0 {
		t.Error("no migrations")
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	path := made(t)
	s, err := store.OpenSQLite(t.Context(), path)
	must(t, err)
	defer s.Close()
	if empty, err := s.Empty(t.Context()); empty || err != nil {
		t.Errorf("empty %v, %v", empty, err)
	}
}
