package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// longLived is a token that outlives a benchmark.
func longLived(key, alg string, members map[string]any) string {
	all := claims(members)
	all["exp"] = time.Now().Add(24 * time.Hour).Unix()
	return pair(key).token(alg, all)
}

func BenchmarkCachedToken(b *testing.B) {
	v := inlineVerifier(b, nil, "rsa")
	raw := longLived("rsa", "RS256", nil)
	accept := &Acceptance{Issuers: []string{testIssuer}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), raw, accept); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCachedTokensParallel(b *testing.B) {
	v := inlineVerifier(b, nil, "ec256")
	var raws []string
	for i := range 1000 {
		raws = append(raws, longLived("ec256", "ES256", map[string]any{"jti": fmt.Sprint(i)}))
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			if _, err := v.Verify(context.Background(), raws[i%len(raws)], nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// signed are the algorithms that the benchmarks compare, with a key for each, and how the standard
// library alone checks a signature of theirs.
var signed = []struct {
	alg, key string
	check    func(public crypto.PublicKey, signed, signature []byte) bool
}{
	{"RS256", "rsa", func(public crypto.PublicKey, signed, signature []byte) bool {
		sum := sha256.Sum256(signed)
		return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, sum[:], signature) == nil
	}},
	{"ES256", "ec256", func(public crypto.PublicKey, signed, signature []byte) bool {
		sum := sha256.Sum256(signed)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(public.(*ecdsa.PublicKey), sum[:], r, s)
	}},
	{"EdDSA", "ed25519", func(public crypto.PublicKey, signed, signature []byte) bool {
		return ed25519.Verify(public.(ed25519.PublicKey), signed, signature)
	}},
}

// serial is a token of about 900 bytes as deploy/bench makes them: many of one client, with
// the same scopes.
func serial(key, alg string, n int) string {
	now := time.Now()
	return pair(key).token(alg, map[string]any{
		"iss": testIssuer, "sub": fmt.Sprintf("3f8a6c1e-user-%08d", n), "client_id": "bench-client",
		"iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"jti": fmt.Sprintf("0b9f4a52-7c1d-4e7e-9d55-%012d", n), "org_id": "0f0e7c9a-organisation",
		"scope": "bench.read bench.write openid profile orders.read orders.write invoices.read invoices.write",
	})
}

// BenchmarkNewToken is a miss in a cache that is full, beside the bare check of the same signature.
// The ratio comes from medians of checks that take turns, since machines are shared.
func BenchmarkNewToken(b *testing.B) {
	for _, c := range signed {
		config := IssuerConfig{Issuer: testIssuer, Inline: published(c.key), Audience: Audience{Mode: AudienceNone}, Algorithms: []string{c.alg}}
		v := must(New(Config{Issuers: []IssuerConfig{config}, CacheEntries: 1}, nil))
		raws := []string{serial(c.key, c.alg, 0), serial(c.key, c.alg, 1)}
		public := pair(c.key).private.Public()
		dot := strings.LastIndexByte(raws[0], '.')
		text, signature := []byte(raws[0][:dot]), must(base64.RawURLEncoding.DecodeString(raws[0][dot+1:]))
		n := 0
		miss := func() {
			n++
			must(v.Verify(b.Context(), raws[n%2], nil))
		}
		bare := func() {
			if !c.check(public, text, signature) {
				b.Fatal("does not verify")
			}
		}
		b.Run(c.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				miss()
			}
		})
		b.Run(c.alg+"/signature", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bare()
			}
		})
		b.Run(c.alg+"/ratio", func(b *testing.B) {
			var misses, bares []time.Duration
			for b.Loop() {
				misses, bares = append(misses, took(miss)), append(bares, took(bare))
			}
			slices.Sort(misses)
			slices.Sort(bares)
			b.ReportMetric(float64(misses[len(misses)/2])/float64(bares[len(bares)/2]), "x-signature")
			b.ReportMetric(float64(misses[len(misses)/2]-bares[len(bares)/2]), "ns-beside-it")
		})
		if n > 1 && v.Stats().Hits > 0 {
			b.Fatal("a token was remembered")
		}
	}
}

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// BenchmarkHeapOfToken tells what a remembered token takes, characters and all, beside what the
// cache thinks.
func BenchmarkHeapOfToken(b *testing.B) {
	const n = 10_000
	raws := make([]string, n)
	for i := range raws {
		raws[i] = serial("rsa", "RS256", i)
	}
	v := inlineVerifier(b, nil, "rsa")
	for b.Loop() {
		v = inlineVerifier(b, nil, "rsa")
		before := heap()
		for _, raw := range raws {
			must(v.Verify(b.Context(), raw, nil))
		}
		b.ReportMetric(float64(heap()-before)/n, "heap-bytes/token")
	}
	b.ReportMetric(float64(v.Stats().Bytes)/n, "counted-bytes/token")
	b.ReportMetric(float64(len(raws[0])), "characters/token")
}

// heap is what is in use after all garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkCachedTokenDuringRefreshes reads while keys are loaded again and again.
func BenchmarkCachedTokenDuringRefreshes(b *testing.B) {
	server := &issuerServer{}
	server.set(func(*http.Request) (*http.Response, error) { return reply(200, published("rsa")), nil })
	config := IssuerConfig{Issuer: testIssuer, JWKSURI: keysURI, Audience: Audience{Mode: AudienceNone},
		JWKS: JWKSConfig{MinRefresh: time.Microsecond, MaxRefresh: time.Microsecond}}
	v := must(New(Config{Issuers: []IssuerConfig{config}, Transport: server}, nil))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = v.Run(ctx) }()
	raw := longLived("rsa", "RS256", nil)
	if _, err := v.Verify(ctx, raw, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := v.Verify(ctx, raw, nil); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	<-done
	b.ReportMetric(float64(server.fetches.Load()), "refreshes")
}

// TestCachedTokenAllocatesNothing holds the promise of the benchmark in every run.
func TestCachedTokenAllocatesNothing(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	raw := longLived("ec256", "ES256", nil)
	accept := &Acceptance{Issuers: []string{testIssuer}, Audience: &Audience{Mode: AudienceNone}}
	ctx := t.Context()
	must(v.Verify(ctx, raw, accept))
	if n := testing.AllocsPerRun(1000, func() { must(v.Verify(ctx, raw, accept)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
