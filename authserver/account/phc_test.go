package account

import (
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
)

const (
	salt16 = "c2FsdHNhbHRzYWx0c2FsdA"                      // 16 bytes
	key32  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" // 32 bytes
)

func TestPHCOneSpellingWithinBounds(t *testing.T) {
	for name, c := range map[string]struct {
		phc  string
		good bool
	}{
		"the default cost":                     {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, true},
		"a higher cost":                        {"$argon2id$v=19$m=65536,t=3,p=4$" + salt16 + "$" + key32, true},
		"argon2i":                              {"$argon2i$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, false},
		"bcrypt":                               {"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", false},
		"an older version of argon2":           {"$argon2id$v=16$m=19456,t=2,p=1$" + salt16 + "$" + key32, false},
		"no version":                           {"$argon2id$m=19456,t=2,p=1$" + salt16 + "$" + key32, false},
		"costs in another order":               {"$argon2id$v=19$t=2,m=19456,p=1$" + salt16 + "$" + key32, false},
		"a leading zero":                       {"$argon2id$v=19$m=019456,t=2,p=1$" + salt16 + "$" + key32, false},
		"a plus sign":                          {"$argon2id$v=19$m=+19456,t=2,p=1$" + salt16 + "$" + key32, false},
		"an extra parameter":                   {"$argon2id$v=19$m=19456,t=2,p=1,keyid=a$" + salt16 + "$" + key32, false},
		"padding":                              {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "==$" + key32, false},
		"trailing bits in the base64":          {"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdB$" + key32, false},
		"a line break in the base64":           {"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYW\nx0c2FsdA$" + key32, false},
		"an empty key, equal to any empty one": {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$", false},
		"a key of eight bytes":                 {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$AAECAwQFBgc", false},
		"an empty salt":                        {"$argon2id$v=19$m=19456,t=2,p=1$$" + key32, false},
		"memory for four gigabytes":            {"$argon2id$v=19$m=4194304,t=2,p=1$" + salt16 + "$" + key32, false},
		"memory beyond 32 bits":                {"$argon2id$v=19$m=4294986752,t=2,p=1$" + salt16 + "$" + key32, false},
		"a thousand passes":                    {"$argon2id$v=19$m=19456,t=1000,p=1$" + salt16 + "$" + key32, false},
		"no pass (argon2 panics on it)":        {"$argon2id$v=19$m=19456,t=0,p=1$" + salt16 + "$" + key32, false},
		"no lane (argon2 panics on it)":        {"$argon2id$v=19$m=19456,t=2,p=0$" + salt16 + "$" + key32, false},
		"257 lanes, one in eight bits":         {"$argon2id$v=19$m=19456,t=2,p=257$" + salt16 + "$" + key32, false},
		"something behind it":                  {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32 + "$", false},
		"nothing":                              {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := parsePHC(c.phc)
			if (err == nil) != c.good {
				t.Fatalf("error %v, want accepted %v", err, c.good)
			}
			if err == nil && h.String() != c.phc {
				t.Errorf("written again as %s", h)
			}
			if err != nil && c.phc != "" && strings.Contains(err.Error(), salt16) {
				t.Error("the error repeats the hash")
			}
		})
	}
}

// The expected key is computed by the reference call, so that what is stored
// stays readable by any other argon2id implementation.
func TestHashIsPlainArgon2id(t *testing.T) {
	p := newPasswords(Config{Password: Params{MemoryKiB: 64, Passes: 2, Lanes: 1}})
	h, err := parsePHC(p.fresh("test1234@"))
	if err != nil {
		t.Fatal(err)
	}
	if !h.matches(argon2.IDKey([]byte("test1234@"), h.salt, 2, 64, 1, 32)) {
		t.Error("not the argon2id of the password")
	}
	if h.matches(argon2.IDKey([]byte("test1234"), h.salt, 2, 64, 1, 32)) {
		t.Error("a prefix of the password matches")
	}
	if again, _ := parsePHC(p.fresh("test1234@")); string(again.salt) == string(h.salt) {
		t.Error("two hashes share a salt")
	}
}

func TestDefaultCost(t *testing.T) {
	got := newPasswords(Config{Password: Config{}.withDefaults().Password}).dummy
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(got, want) {
		t.Errorf("%s does not begin with %s", got, want)
	}
}

// FuzzPHC: what is accepted is written back byte for byte, and is cheap enough
// to be computed.
func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + key32)
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Errorf("%q is written back as %q", s, h)
		}
		if h.check() != nil || h.MemoryKiB > maxMemoryKiB {
			t.Errorf("%q is out of bounds", s)
		}
	})
}
