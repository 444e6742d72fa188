package main

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/scopegate/scopegate/gateway/seal"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gateway": main})
}

// Every subcommand and every exit code, as a shell sees them. Scripts have commands of their
// own:
//
//	code N gateway …        runs the gateway and wants exit code N
//	json PATH VALUE         wants a member of the JSON object on standard output
//	admin-port STATUS BODY  answers every request so on an address that it puts into $ADMIN
//	paste PATH FILE         appends a string of the JSON object on standard output to a file
//	loose-service PATH…     answers these paths without regard to case on an address that it puts into $SERVICE
//	pack FILE GZIP          packs a file with gzip
//	seal KEYFILE TEXT FILE  seals a text with a sealing key as a gateway does, into a file
//	mint CLAIMS TOKEN JWKS  writes a signed token with these claims, and its key, into two files
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":       wantCode,
			"json":       wantJSON,
			"paste":      paste,
			"admin-port": adminPort,
			"mint":       mint,
			"pack":       pack,

			"loose-service": looseService,
			"seal":          sealText,
		},
	})
}

func wantCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func wantJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json path value")
	}
	if got := member(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

// member is a member of the JSON object on standard output: a string as it is, else JSON.
func member(ts *testscript.TestScript, path string) string {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("standard output is no JSON: %v", err)
	}
	for _, name := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			member, ok := at[name]
			if !ok {
				ts.Fatalf("there is no member %s of %s", name, path)
			}
			v = member
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(at) {
				ts.Fatalf("there is no element %s of %s", name, path)
			}
			v = at[i]
		default:
			ts.Fatalf("%s has no members at %s", path, name)
		}
	}
	got, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		ts.Check(err)
		got = string(b)
	}
	return got
}

func paste(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[1])
	src, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file, append(src, member(ts, args[0])...), 0o600))
}

func adminPort(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(r.URL.Path + " " + args[1] + "\n"))
	}))
	ts.Defer(server.Close)
	ts.Setenv("ADMIN", server.Listener.Addr().String())
}

func looseService(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(args, strings.ToLower(r.URL.Path)) {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("here\n"))
	}))
	ts.Defer(server.Close)
	ts.Setenv("SERVICE", server.URL)
}

func pack(ts *testscript.TestScript, _ bool, args []string) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), packed.Bytes(), 0o600))
}

func mint(ts *testscript.TestScript, _ bool, args []string) {
	token, jwks, err := signed(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(token+"\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), jwks, 0o600))
}

func sealText(ts *testscript.TestScript, _ bool, args []string) {
	s, err := seal.NewSealer([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), s.Append(nil, []byte(args[1]), time.Now()), 0o600))
}

// signed makes a token with these claims, and the key set that verifies it.
func signed(claims string) (token string, jwks []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", nil, err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"one"}`)) + "." + b64([]byte(claims))
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", nil, err
	}
	jwks, err = json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one",
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
	}}})
	return text + "." + b64(signature), jwks, err
}
