package token

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMasterKeySpellings(t *testing.T) {
	raw := []byte("0123456789abcdef0123456789abcdeF")
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"hex":              {hex.EncodeToString(raw), true},
		"base64":           {base64.StdEncoding.EncodeToString(raw), true},
		"base64url bare":   {base64.RawURLEncoding.EncodeToString(raw), true},
		"newline behind":   {base64.RawURLEncoding.EncodeToString(raw) + "\n", true},
		"empty":            {"", false},
		"a password":       {"correct horse battery staple", false},
		"31 bytes":         {base64.StdEncoding.EncodeToString(raw[1:]), false},
		"33 bytes":         {base64.StdEncoding.EncodeToString(append([]byte{1}, raw...)), false},
		"raw, not spelled": {string(raw), false},
	} {
		_, err := ParseMaster([]byte(c.text))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && c.text != "" && strings.Contains(err.Error(), strings.TrimSpace(c.text)) {
			t.Errorf("%s: the message holds the key", name)
		}
	}
}

func TestMasterFileIsMadeOnceAndPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	made, err := CreateMasterFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := CreateMasterFile(path); err == nil {
		t.Error("an existing master key was overwritten")
	}
	read, err := ReadMasterFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	row, err := newRow(made, pool()[0], DefaultTimetable().First(start))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := row.open(read); err != nil {
		t.Errorf("the key read back differs: %v", err)
	}
}

func TestMasterFileThatOthersControlIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	if _, err := CreateMasterFile(path); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.key")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMasterFile(link, true); err == nil {
		t.Error("symbolic link followed")
	}
	if _, err := ReadMasterFile(link, false); err != nil {
		t.Errorf("an operator's own file may be a link (mounted secrets are): %v", err)
	}
	if _, err := CreateMasterFile(link + "2"); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling.key")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateMasterFile(dangling); err == nil {
		t.Error("a dangling link was written through")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMasterFile(path, true); err == nil {
		t.Error("a file that the group may read was accepted")
	}
	if _, err := ReadMasterFile(dir, false); err == nil {
		t.Error("a folder was accepted")
	}
	pipe := filepath.Join(dir, "pipe.key")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMasterFile(pipe, true); err == nil { // and does not wait for a writer
		t.Error("a named pipe was accepted")
	}
}
