package account

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// SignupMode says who may make an organization.
type SignupMode string

// The signup modes: anybody, or nobody without an invitation. There are no
// invitations yet: "invite" lets nobody in.
const (
	SignupOpen   SignupMode = "open"
	SignupInvite SignupMode = "invite"
)

// ClaimMode says how a service name gets its owner.
type ClaimMode string

// The claim modes: the first organization that makes a permission for a name
// owns it, or only the operator registers names (Service.RegisterService).
const (
	ClaimFirstCome ClaimMode = "first_come"
	ClaimOperator  ClaimMode = "operator"
)

// Config is what an operator may choose. The zero value of a field means its
// default; Signup and Claim have none, because their safe value depends on
// where the server listens.
type Config struct {
	Signup         SignupMode
	Claim          ClaimMode
	Reserved       []string // service names beyond the built-in ones that nobody may claim
	MaxClaims      int      // service names per organization, 20
	MaxPermissions int      // catalogue entries per organization, 1000

	Password Params // argon2id cost, DefaultParams
	Login    Lanes  // the hash queue of logins, 256 waiting
	Join     Lanes  // the smaller one of signups, 128 waiting

	AddressBudget Budget // failed logins per address: 100, then one a second
	AccountBudget Budget // failed logins per account and network: a network's quarter of Login, then one a minute
	SignupBudget  Budget // signups per address: 200, then one in two seconds

	// HashWait, when set, is told how long each hashing waited for its turn;
	// queue is "login" or "signup".
	HashWait func(queue string, wait time.Duration)
	Log      *slog.Logger // for what no caller can be told; default: nowhere
}

// Service is the rules over a Store. It is safe for concurrent use and has no
// goroutines of its own.
type Service struct {
	store    Store
	cfg      Config
	reserved map[string]bool
	words    map[string]bool // passwords that everybody tries first

	passwords passwords
	byAddress *budgets[netip.Prefix]
	byAccount *budgets[accountKey]
	bySignup  *budgets[netip.Prefix]
}

// New makes the rules over a store. It fails on a configuration that
// contradicts itself; it does not touch the store.
func New(store Store, cfg Config) (*Service, error) {
	if cfg.Signup != SignupOpen && cfg.Signup != SignupInvite {
		return nil, fmt.Errorf("account: signup must be open or invite, not %q", cfg.Signup)
	}
	if cfg.Claim != ClaimFirstCome && cfg.Claim != ClaimOperator {
		return nil, fmt.Errorf("account: services.claim must be first_come or operator, not %q", cfg.Claim)
	}
	cfg = cfg.withDefaults()
	if err := cfg.Password.check(); err != nil {
		return nil, fmt.Errorf("account: password cost: %w", err)
	}
	reserved := map[string]bool{}
	for _, name := range append(strings.Fields(reservedServices), cfg.Reserved...) {
		if !isName(name) {
			return nil, fmt.Errorf("account: reserved service name %q is no service name", name)
		}
		reserved[bare(name)] = true
	}
	return &Service{
		store:     store,
		cfg:       cfg,
		reserved:  reserved,
		words:     commonPasswords(),
		passwords: newPasswords(cfg),
		byAddress: newBudgets[netip.Prefix](cfg.AddressBudget),
		byAccount: newBudgets[accountKey](cfg.AccountBudget),
		bySignup:  newBudgets[netip.Prefix](cfg.SignupBudget),
	}, nil
}

// reservedServices are names whose scopes would be mistaken for the server's
// own, or for OAuth's.
const reservedServices = "auth oauth openid system admin internal"

func (c Config) withDefaults() Config {
	setInt(&c.MaxClaims, 20)
	setInt(&c.MaxPermissions, 1000)
	if c.Password == (Params{}) {
		c.Password = DefaultParams
	}
	c.Login = c.Login.withDefaults(256)
	c.Join = c.Join.withDefaults(128)
	c.AddressBudget = c.AddressBudget.withDefaults(100, time.Second)
	c.AccountBudget = c.AccountBudget.withDefaults(max(1, c.Login.Waiting/4), time.Minute)
	c.SignupBudget = c.SignupBudget.withDefaults(200, 2*time.Second)
	if c.HashWait == nil {
		c.HashWait = func(string, time.Duration) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func setInt(field *int, def int) {
	if *field == 0 {
		*field = def
	}
}
