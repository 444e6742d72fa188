package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/token"
)

// Config is what the process is told. Defaults returns one that serves the
// demo; fields without a word about zero must be set.
type Config struct {
	Listen string // public address; New only looks at its host and port
	Admin  string // admin address; New does not look at it
	Data   string // folder of the database and, if need be, the master key
	Issuer string // empty: http://localhost with the port of Listen

	// Signup and Claim may be empty only while Listen and Issuer are both
	// loopback; they are then open and first_come.
	Signup   account.SignupMode
	Claim    account.ClaimMode
	Reserved []string // service names that nobody may claim, beyond the built-in ones

	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts; none: nobody's
	TokenTTL       time.Duration  // life of an access token, 1s to token.MaxTTL
	DrainDelay     time.Duration  // how long to go on listening when asked to stop
	LogFormat      string         // auto, json or text; main makes the logger

	Master *token.Master // nil: master.key in Data, made if the store is empty
	Log    *slog.Logger  // nil: nowhere

	// Timetable is for tests of rotation; nil is token.DefaultTimetable.
	Timetable *token.Timetable
	// Password is the hashing cost; zero is account.DefaultParams.
	Password account.Params
}

// Defaults returns the configuration of a server that was told nothing.
func Defaults() Config {
	return Config{
		Listen:     "127.0.0.1:8000",
		Admin:      "127.0.0.1:9000",
		Data:       "data",
		TokenTTL:   10 * time.Minute,
		DrainDelay: 5 * time.Second,
		LogFormat:  "auto",
	}
}

// settings are the scalars that a file, the environment and flags can all set,
// by their path. Each function parses and judges one text.
var settings = map[string]func(*Config, string) error{
	"listen": func(c *Config, v string) error { return setAddress(&c.Listen, v) },
	"admin":  func(c *Config, v string) error { return setAddress(&c.Admin, v) },
	"data":   func(c *Config, v string) error { return setText(&c.Data, v) },
	"issuer": func(c *Config, v string) error { return setIssuer(&c.Issuer, v) },
	"signup": func(c *Config, v string) error {
		return setWord(&c.Signup, v, account.SignupOpen, account.SignupInvite)
	},
	"services.claim": func(c *Config, v string) error {
		return setWord(&c.Claim, v, account.ClaimFirstCome, account.ClaimOperator)
	},
	"token.ttl":   func(c *Config, v string) error { return setDuration(&c.TokenTTL, v, time.Second, token.MaxTTL) },
	"drain_delay": func(c *Config, v string) error { return setDuration(&c.DrainDelay, v, 0, 10*time.Minute) },
	"log.format":  func(c *Config, v string) error { return setWord(&c.LogFormat, v, "auto", "json", "text") },
}

// lists are the settings that only a file can set.
var lists = map[string]func(*Config, string) error{
	"services.reserved": func(c *Config, v string) error { c.Reserved = append(c.Reserved, v); return nil },
	"trusted_proxies":   func(c *Config, v string) error { return addPrefix(&c.TrustedProxies, v) },
}

func setText(field *string, value string) error {
	if strings.TrimSpace(value) == "" {
		return errors.New("must not be empty")
	}
	*field = value
	return nil
}

func setAddress(field *string, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return errors.New("must be host:port, or :port for every address")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return errors.New("must end in a port number")
	}
	*field = value
	return nil
}

// setIssuer keeps to the form that RFC 8414 section 2 gives an issuer, and
// refuses a slash at the end: verifiers compare byte for byte.
func setIssuer(field *string, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("must be an http or https URL")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(value, "#") {
		return errors.New("must have no user, query or fragment")
	}
	if strings.HasSuffix(value, "/") {
		return errors.New("must not end in a slash: verifiers compare it byte for byte")
	}
	*field = value
	return nil
}

func setWord[W ~string](field *W, value string, allowed ...W) error {
	if !slices.Contains(allowed, W(value)) {
		words := make([]string, len(allowed))
		for i, word := range allowed {
			words[i] = string(word)
		}
		return fmt.Errorf("must be %s", strings.Join(words, " or "))
	}
	*field = W(value)
	return nil
}

func setDuration(field *time.Duration, value string, least, most time.Duration) error {
	d, err := time.ParseDuration(value)
	if err != nil {
		return errors.New("must be a duration such as 10m or 1h30m")
	}
	if d < least || d > most {
		return fmt.Errorf("must be between %s and %s", least, most)
	}
	*field = d
	return nil
}

func addPrefix(field *[]netip.Prefix, value string) error {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return errors.New("must be an address or a network such as 10.0.0.0/8")
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	*field = append(*field, prefix.Masked())
	return nil
}

// resolve fills in what depends on other settings and judges the whole. Open
// signup and first-come names are for a machine of one's own: on a network a
// stranger could claim the name of a service before its owner does, so there
// somebody has to have written that they want it.
func (c Config) resolve() (Config, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return c, &ConfigError{[]string{"listen: must be host:port"}}
	}
	if c.Issuer == "" {
		if port == "0" {
			return c, &ConfigError{[]string{"issuer: must be set when the port of listen is 0"}}
		}
		c.Issuer = "http://localhost:" + port
	}
	if !loopbackHost(host) || !loopbackIssuer(c.Issuer) {
		var faults []string
		why := "must be set, because listen or issuer is not loopback: "
		if c.Signup == "" {
			faults = append(faults, "signup: "+why+"invite, or open to let strangers in")
		}
		if c.Claim == "" {
			faults = append(faults, "services.claim: "+why+"operator, or first_come to let strangers take service names")
		}
		if len(faults) > 0 {
			return c, &ConfigError{faults}
		}
	}
	if c.Signup == "" {
		c.Signup = account.SignupOpen
	}
	if c.Claim == "" {
		c.Claim = account.ClaimFirstCome
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func loopbackIssuer(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && loopbackHost(u.Hostname())
}

// ConfigError holds all faults of a configuration, one line each.
type ConfigError struct{ Faults []string }

func (e *ConfigError) Error() string { return strings.Join(e.Faults, "\n") }
