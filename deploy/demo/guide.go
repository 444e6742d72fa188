package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The walk-through is demo.md's, whose user, organization and service must be
// the newcomer's to take: a name that the demo took first would answer 409 or
// 403. So the demo has a user of its own for looking around, who owns no
// service, and fills in the rest as soon as the newcomer has signed up.
const (
	ownUser, ownPassword = "guide", "look-around-first"
	walker, walkerSecret = "test_user", "test1234@"
	permission           = "example_service.billing.read"
)

// guide prints what to type next.
type guide struct {
	*demo
	out  io.Writer
	seen *witness
}

func newGuide(d *demo, out io.Writer, seen *witness) *guide { return &guide{d, out, seen} }

func (g *guide) say(format string, args ...any) { fmt.Fprintf(g.out, format+"\n", args...) }

// walk introduces the three, then follows the newcomer until ctx ends.
func (g *guide) walk(ctx context.Context) error {
	token, err := g.ownToken(ctx)
	if err != nil {
		return fmt.Errorf("sign up the demo's own user: %w", err)
	}
	g.introduce(token)
	next := signedUp
	if _, err := g.login(ctx, walker, walkerSecret); err == nil { // kept from an earlier run
		g.seen.steps <- signedUp
	} else {
		g.sayFirst()
	}
	for {
		select {
		case <-ctx.Done():
			g.say("\nStopping: what was accepted is answered first.")
			return nil
		case step := <-g.seen.steps:
			if step == next && g.sayNext(ctx, step) {
				next = attached
			}
		}
	}
}

func (g *guide) introduce(token string) {
	keeps := g.data + " (removed at the end; --data keeps one)"
	if g.kept {
		keeps = g.data
	}
	g.say(`Scopegate is running.

  auth server  %-24s admin %s
  gateway      %-24s admin %s
  billing      %-24s admin %s   behind the gateway
  policy       %s   (change it: it is reloaded at once)
  data, log    %s

To look around at once, here is the token of a user called %q, good for ten minutes.
It may do nothing on billing, so the second command is refused with 403:

  curl %s/billing/whoami -H 'Authorization: Bearer %s'

  curl %s/billing/ -H 'Authorization: Bearer %s'
`,
		local(g.auth), g.authAdmin.Addr(), local(g.gateway), g.gatewayAdmin.Addr(), local(g.billing), g.billingAdmin.Addr(),
		g.named, keeps, ownUser, local(g.gateway), token, local(g.gateway), token)
}

func (g *guide) sayFirst() {
	g.say(`The walk-through. Type this in another terminal; the next steps appear here, filled in.

1. Sign up. This makes an organization, and you its owner:

  curl --location '%s/user/signup' \
    --header 'Content-Type: application/json' \
    --header 'Accept: application/json' \
    --data '{
      "user": {"username": "%s", "password": "%s", "primary_email": "example@example.com"},
      "org": {"name": "test_org", "domain": "example.example.come", "type": "teams", "mfa_enabled": false}
    }'
`, local(g.auth), walker, walkerSecret)
}

// sayNext prints what follows a step, if the walker took it.
func (g *guide) sayNext(ctx context.Context, step string) bool {
	token, err := g.login(ctx, walker, walkerSecret)
	if err != nil {
		return false // somebody else's step
	}
	if step == signedUp {
		role, err := g.ownerRole(ctx, token)
		if err != nil {
			return false
		}
		g.sayPermission(token, role)
		return true
	}
	if !holds(token, permission) {
		return false
	}
	g.sayCall(token)
	return true
}

func (g *guide) sayPermission(token string, role int64) {
	auth := local(g.auth)
	g.say(`2. Log in. The answer holds your token; this is one, good for ten minutes:

  curl --location '%s/user/login' \
    --header 'Content-Type: application/x-www-form-urlencoded' \
    --header 'Accept: application/json' \
    --data-urlencode 'username=%s' --data-urlencode 'password=%s' \
    --data-urlencode 'grant_type=password' --data-urlencode 'scope='

  TOKEN='%s'

3. Create a permission. The first one claims the service's name for your organization:

  curl --location '%s/permission/' \
    --header 'accept: application/json' --header 'Content-Type: application/json' \
    --header 'Authorization: Bearer %s' \
    --data '{"service": "example_service", "resource": "billing", "action": "read", "description": "Example service read"}'

4. Attach it to your role, owner, which is number %d in %s/role/ :

  curl --location '%s/role/attach-permission' \
    --header 'accept: application/json' --header 'Content-Type: application/json' \
    --header 'Authorization: Bearer %s' \
    --data '{"role_id": %d, "permission_slug": "%s"}'
`, auth, walker, walkerSecret, token, auth, token, role, auth, auth, token, role, permission)
}

func (g *guide) sayCall(token string) {
	gateway := local(g.gateway)
	g.say(`5. Log in again: a token keeps the scopes that it was made with. With this new one the
   gateway lets you read, and answers a POST with 403, since nobody gave you the scope for it:

  curl -X GET '%s/billing/' -H 'accept: application/json' \
    -H 'Authorization: Bearer %s'

  curl -X POST '%s/billing/' -H 'accept: application/json' \
    -H 'Authorization: Bearer %s'

6. Ask why, without any token:

  go run ./gateway explain %s "POST /billing/" --scopes %s

Then create and attach example_service.billing.write in the same way. Ctrl-C ends the demo.
`, gateway, token, gateway, token, g.named, permission)
}

// ownToken logs the demo's own user in, and signs it up before if need be.
func (g *guide) ownToken(ctx context.Context) (string, error) {
	if token, err := g.login(ctx, ownUser, ownPassword); err == nil {
		return token, nil
	}
	body := fmt.Sprintf(`{"user":{"username":%q,"password":%q,"primary_email":"guide@localhost.localdomain"},"org":{"name":"guide","domain":"localhost"}}`, ownUser, ownPassword)
	if err := g.call(ctx, "/user/signup", "application/json", body, "", nil); err != nil {
		return "", err
	}
	<-g.seen.steps // its own signup is no step of the walk-through
	return g.login(ctx, ownUser, ownPassword)
}

func (g *guide) login(ctx context.Context, user, password string) (string, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	form := url.Values{"username": {user}, "password": {password}}.Encode()
	err := g.call(ctx, "/user/login", "application/x-www-form-urlencoded", form, "", &answer)
	return answer.Token, err
}

func (g *guide) ownerRole(ctx context.Context, token string) (int64, error) {
	var roles []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	if err := g.call(ctx, "/role/", "", "", token, &roles); err != nil {
		return 0, err
	}
	for _, r := range roles {
		if r.Name == "owner" {
			return r.ID, nil
		}
	}
	return 0, fmt.Errorf("no role called owner among %d", len(roles))
}

// call asks the auth server as any client would: POST with a body, GET without.
func (g *guide) call(ctx context.Context, path, contentType, body, token string, answer any) error {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+g.auth.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s answered %s", path, res.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(answer)
}
