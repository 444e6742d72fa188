package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/store"
)

// writerEnv makes this test binary a process that writes to the store named in
// it, says each write once it is acknowledged, and never stops by itself.
const writerEnv = "SCOPEGATE_TEST_CRASH_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeForever(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeForever(path string) error {
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return err
	}
	for {
		id := account.NewID()
		err := s.Update(ctx, func(tx account.Tx) error {
			org := account.OrgID(id)
			if err := tx.InsertOrg(ctx, account.Org{ID: org, Name: "n", Type: account.Teams}); err != nil {
				return err
			}
			by := account.Stamp{At: time.Now()}
			user := account.User{ID: account.UserID(id), OrgID: org, Username: id, PrimaryEmail: id, Active: true}
			if err := tx.InsertUser(ctx, user, "x", by); err != nil {
				return err
			}
			return tx.InsertClaim(ctx, account.Claim{Service: "s" + id, Owner: org}, by)
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Println(id); err != nil { // unbuffered: acknowledged from here
			return err
		}
	}
}

// TestAcknowledgedWriteSurvivesKill kills a real process in the middle of its
// writing, several times over one database, and looks for each write that it
// had acknowledged, and for halves of one that it had not.
func TestAcknowledgedWriteSurvivesKill(t *testing.T) {
	path := newPath(t)
	var acknowledged []string
	for round := range 6 {
		got := killedWriter(t, path, 20+13*round)
		acknowledged = append(acknowledged, got...)
		checkAll(t, path, acknowledged)
	}
	t.Logf("%d acknowledged writes survived", len(acknowledged))
}

// killedWriter runs the writer until it has acknowledged n writes, kills it and
// returns all that it acknowledged.
func killedWriter(t *testing.T, path string, n int) (ids []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ids = append(ids, lines.Text())
		if len(ids) == n {
			must(t, cmd.Process.Kill()) // SIGKILL; what is in the pipe was acknowledged too
		}
	}
	cmd.Wait()
	if len(ids) < n {
		t.Fatalf("the writer ended after %d writes: %s", len(ids), stderr.String())
	}
	if last := len(ids) - 1; len(ids[last]) != 36 { // a line cut by the kill
		ids = ids[:last]
	}
	return ids
}

func checkAll(t *testing.T, path string, ids []string) {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path)
	must(t, err)
	defer s.Close()
	err = s.View(t.Context(), func(tx account.Tx) error {
		for _, id := range ids {
			_, errUser := tx.User(t.Context(), account.OrgID(id), account.UserID(id))
			_, errClaim := tx.Claim(t.Context(), "s"+id)
			if errUser != nil || errClaim != nil {
				t.Errorf("acknowledged write %s is lost: %v, %v", id, errUser, errClaim)
			}
		}
		return nil
	})
	must(t, err)
	var halves int
	db := raw(t, path)
	must(t, db.QueryRow(`SELECT count(*) FROM organization o
		WHERE NOT EXISTS (SELECT 1 FROM account WHERE org_id = o.id)
		   OR NOT EXISTS (SELECT 1 FROM service WHERE owner_org = o.id)`).Scan(&halves))
	var intact string
	must(t, db.QueryRow(`PRAGMA integrity_check`).Scan(&intact))
	if halves != 0 || intact != "ok" {
		t.Errorf("%d half-written transactions; integrity %s", halves, intact)
	}
	must(t, db.Close())
}

// TestKilledWhileMakingTheDatabase: a start that dies at any moment leaves
// nothing that stops the next one.
func TestKilledWhileMakingTheDatabase(t *testing.T) {
	path := newPath(t)
	for range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		must(t, cmd.Start())
		waitFor(t, filepath.Dir(path)) // it has begun
		must(t, cmd.Process.Kill())
		cmd.Wait()
		if _, err := os.Stat(path); err != nil {
			continue // died before the link: the next start begins again
		}
		must(t, os.RemoveAll(filepath.Dir(path)))
	}
	open(t, path)
}

// waitFor returns once a file stands in the folder.
func waitFor(t *testing.T, dir string) {
	t.Helper()
	for t.Context().Err() == nil {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return
		}
	}
}
