package account

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func fullSignup() Signup {
	return Signup{Username: "test_user", Password: "test1234@", PrimaryEmail: "example@example.com",
		OrgName: "test_org", Domain: "example.example.come", OrgType: Teams}
}

// The demo's own signup is the one input that must never be refused.
func TestSignupFields(t *testing.T) {
	s := &Service{words: commonPasswords()}
	for name, c := range map[string]struct {
		change func(*Signup)
		want   []string // path kind, in order
	}{
		"the demo's signup":                     {func(*Signup) {}, nil},
		"no type means teams":                   {func(in *Signup) { in.OrgType = "" }, nil},
		"enterprise":                            {func(in *Signup) { in.OrgType = Enterprise }, nil},
		"no domain":                             {func(in *Signup) { in.Domain = "" }, nil},
		"another type":                          {func(in *Signup) { in.OrgType = "TEAMS" }, []string{"org.type not_one_of"}},
		"a second factor that does not exist":   {func(in *Signup) { in.MFAEnabled = true }, []string{"org.mfa_enabled unavailable"}},
		"a name that is a path":                 {func(in *Signup) { in.Username = "Me" }, []string{"user.username not_allowed"}},
		"signup":                                {func(in *Signup) { in.Username = "signup" }, []string{"user.username not_allowed"}},
		"login":                                 {func(in *Signup) { in.Username = "LOGIN" }, []string{"user.username not_allowed"}},
		"digits only":                           {func(in *Signup) { in.Username = "4711" }, []string{"user.username not_allowed"}},
		"digits and a letter":                   {func(in *Signup) { in.Username = "4711a" }, nil},
		"an e-mail address as name":             {func(in *Signup) { in.Username = "a.b+c@example.com" }, nil},
		"a slash":                               {func(in *Signup) { in.Username = "a/b" }, []string{"user.username bad_form"}},
		"dots only":                             {func(in *Signup) { in.Username = ".." }, []string{"user.username bad_form"}},
		"a blank":                               {func(in *Signup) { in.Username = "a b" }, []string{"user.username bad_form"}},
		"a Cyrillic look-alike":                 {func(in *Signup) { in.Username = "\u0430dmin" }, []string{"user.username bad_form"}},
		"no name":                               {func(in *Signup) { in.Username = "" }, []string{"user.username too_short"}},
		"a long name":                           {func(in *Signup) { in.Username = strings.Repeat("a", 65) }, []string{"user.username too_long"}},
		"seven characters":                      {func(in *Signup) { in.Password = "tést12@" }, []string{"user.password too_short"}},
		"eight characters of any kind":          {func(in *Signup) { in.Password = "éééééééé" }, nil},
		"1,024 bytes":                           {func(in *Signup) { in.Password = strings.Repeat("x", 1024) }, nil},
		"1,025 bytes":                           {func(in *Signup) { in.Password = strings.Repeat("x", 1025) }, []string{"user.password too_long"}},
		"a common password":                     {func(in *Signup) { in.Password = "PassWord123" }, []string{"user.password not_allowed"}},
		"the username as password":              {func(in *Signup) { in.Password = "Test_User" }, []string{"user.password not_allowed"}},
		"the address as password":               {func(in *Signup) { in.Password = "example@example.com" }, []string{"user.password not_allowed"}},
		"the username inside the password":      {func(in *Signup) { in.Password = "test_user-and-more" }, nil},
		"no address":                            {func(in *Signup) { in.PrimaryEmail = "" }, []string{"user.primary_email bad_form"}},
		"no organization":                       {func(in *Signup) { in.OrgName = "" }, []string{"org.name too_short"}},
		"a forged log line in the organization": {func(in *Signup) { in.OrgName = "a\nb" }, []string{"org.name bad_form"}},
		"a domain that is no UTF-8":             {func(in *Signup) { in.Domain = "\xff" }, []string{"org.domain bad_form"}},
		"all faults are told at once, field by field": {func(in *Signup) { *in = Signup{OrgType: "x", MFAEnabled: true} },
			[]string{"user.username too_short", "user.password too_short", "user.primary_email bad_form",
				"org.name too_short", "org.type not_one_of", "org.mfa_enabled unavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := fullSignup()
			c.change(&in)
			if got := faults(invalid(s.SignupFaults(in))); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// faults is an InvalidError as "path kind" lines.
func faults(err error) (lines []string) {
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		return nil
	}
	for _, f := range invalid.Faults {
		lines = append(lines, strings.Join(f.Path, ".")+" "+string(f.Kind))
	}
	return lines
}

// An input's faults go to the client and the log: never with the password.
func TestFaultsDoNotRepeatTheInput(t *testing.T) {
	s := &Service{words: commonPasswords()}
	in := Signup{Username: "s3cr et", Password: "s3cret", PrimaryEmail: "s3cret", OrgName: "\x00s3cret"}
	if err := invalid(s.SignupFaults(in)); err == nil || strings.Contains(err.Error(), "s3cr") {
		t.Errorf("got %v", err)
	}
}

func TestCommonPasswordsLeaveTheDemoAlone(t *testing.T) {
	words := commonPasswords()
	if words["test1234@"] {
		t.Error("the demo's password is on the list")
	}
	if len(words) < 500 || !words["password123"] || !words["12345678"] {
		t.Errorf("the list has %d words", len(words))
	}
	for w := range words {
		if len([]rune(w)) < minPassword {
			t.Errorf("%q is refused for its length already", w)
		}
	}
}

func TestEmailForm(t *testing.T) {
	for email, want := range map[string]bool{
		"example@example.com": true, "a.b+c@example.co.uk": true, "o'hara@example.com": true,
		"user@localhost": true, "jörg@müller.de": true, "संपर्क@डाटामेल.भारत": true, "a@1.2.3.4": true,
		"": false, "a": false, "@": false, "a@": false, "@b": false, "a@b@c": false, "a b@c": false,
		".a@b": false, "a.@b": false, "a..b@c": false, "a@b..c": false, "a@.b": false, "a@b.": false,
		"a@-b": false, "a@b-": false, "a@b_c": false, "a\n@b": false, "a@b\r\nBcc: x": false,
		"Ann <a@b>": false, `"a"@b`: false, "a@[127.0.0.1]": false, "a,b@c": false, "\xff@b": false,
		strings.Repeat("a", 65) + "@b": false, "a@" + strings.Repeat("b", 64): false,
		"a@" + strings.Repeat("b.", 130) + "c": false,
	} {
		if got := isEmail(email); got != want {
			t.Errorf("%q: %v, want %v", email, got, want)
		}
	}
}

// FuzzName holds the hand-written grammar to the one that is documented, and
// checks what it is for: one slug has one reading.
func FuzzName(f *testing.F) {
	for _, s := range []string{"a", "example_service", "a.b", "A", "1a", "a-b", "", "é", "a\n", strings.Repeat("a", 64)} {
		f.Add(s)
	}
	grammar := regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := isName(s); got != grammar.MatchString(s) {
			t.Errorf("%q: %v", s, got)
		}
		if isName(s) && len(strings.Split(Permission{Service: s, Resource: s, Action: s}.Slug(), ".")) != 3 {
			t.Errorf("%q has several readings in a slug", s)
		}
	})
}

func TestNewIDIsUUIDv7(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("%s is no fresh UUIDv7", id)
		}
		seen[id] = true
	}
}
