package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/scopegate/scopegate/authserver/server"
	"github.com/scopegate/scopegate/authserver/token"
)

// defaultFile is read if it is there and no other file is named.
const defaultFile = "config/authserver.yaml"

// commandLine is every command and flag. Without a command it serves.
type commandLine struct {
	settings

	Serve   serveCommand   `cmd:"" default:"1" help:"Serve until told to stop."`
	Migrate migrateCommand `cmd:"" help:"Make or upgrade the database, and stop."`
	Keys    struct {
		List   keysListCommand   `cmd:"" default:"1" help:"List signing keys and their times."`
		Rotate keysRotateCommand `cmd:"" help:"Make a signing key that takes over as soon as every verifier can know it."`
		Revoke keysRevokeCommand `cmd:"" help:"Withdraw a signing key at once; its tokens stop working."`
	} `cmd:"" help:"Look at and change signing keys."`
	User struct {
		Disable userDisableCommand `cmd:"" help:"Switch a user off: no login, and no token of theirs works here."`
		Enable  userEnableCommand  `cmd:"" help:"Switch a user on again."`
	} `cmd:"" help:"Change users as the operator."`
	Service struct {
		Register serviceRegisterCommand `cmd:"" help:"Give a service name to a user's organization."`
	} `cmd:"" help:"Change services as the operator."`
	Health  healthCommand  `cmd:"" help:"Ask the admin port whether the server is ready."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// settings are the flags that every command understands. Their environment
// variables begin with SCOPEGATE_AUTHSERVER_. There is none for a secret:
// arguments are visible to every user of a machine.
type settings struct {
	Config        string  `help:"Configuration file; default config/authserver.yaml if it is there." placeholder:"FILE"`
	Listen        *string `help:"Public address (127.0.0.1:8000)." placeholder:"HOST:PORT"`
	Admin         *string `help:"Admin address (127.0.0.1:9000)." placeholder:"HOST:PORT"`
	Data          *string `help:"Folder of the database (data)." placeholder:"FOLDER"`
	Issuer        *string `help:"Issuer in tokens (http://localhost with the public port)." placeholder:"URL"`
	Signup        *string `help:"Who may sign up: open or invite." placeholder:"MODE"`
	ServicesClaim *string `help:"Who names services: first_come or operator." placeholder:"MODE"`
	TokenTTL      *string `name:"token-ttl" help:"Life of an access token (10m)." placeholder:"DURATION"`
	DrainDelay    *string `help:"How long to go on listening when told to stop (5s)." placeholder:"DURATION"`
	LogFormat     *string `help:"auto, json or text." placeholder:"FORMAT"`
}

func (s *settings) paths() map[string]string {
	set := map[string]string{}
	for path, value := range map[string]*string{
		"listen": s.Listen, "admin": s.Admin, "data": s.Data, "issuer": s.Issuer, "signup": s.Signup,
		"services.claim": s.ServicesClaim, "token.ttl": s.TokenTTL, "drain_delay": s.DrainDelay, "log.format": s.LogFormat,
	} {
		if value != nil {
			set[path] = *value
		}
	}
	return set
}

// load reads the configuration, the master key if one is given, and makes the
// logger.
func (p *program) load() (server.Config, error) {
	file := p.flags.Config
	if named, ok := p.env(server.Variable("config")); ok && file == "" {
		file = named
	}
	if file == "" {
		if _, err := os.Stat(defaultFile); err == nil {
			file = defaultFile
		} else if !errors.Is(err, fs.ErrNotExist) {
			return server.Config{}, &usageError{fmt.Errorf("read config: %w", err)}
		}
	}
	cfg, err := server.Load(file, p.env, p.flags.paths())
	if err != nil {
		return cfg, err
	}
	if cfg.Master, err = p.master(); err != nil {
		return cfg, &usageError{err}
	}
	cfg.Log = p.logger(cfg.LogFormat)
	return cfg, nil
}

// master reads the master key that the environment gives or names; nil if it
// does neither.
func (p *program) master() (*token.Master, error) {
	name := server.Variable("master_key")
	text, given := p.env(name)
	file, named := p.env(name + "_FILE")
	switch {
	case given && named:
		return nil, fmt.Errorf("%s and %s_FILE are both set; set one", name, name)
	case given:
		m, err := token.ParseMaster([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return m, nil
	case named:
		return token.ReadMasterFile(file, false)
	}
	return nil, nil
}

func (p *program) logger(format string) *slog.Logger {
	if format == "text" || format == "auto" && terminal(p.stderr) {
		return slog.New(slog.NewTextHandler(p.stderr, nil))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, nil))
}

func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
