package token

import (
	"context"
	"fmt"
	"net/http"
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

// BenchmarkNewToken is a miss, beside the bare check of the same signature.
func BenchmarkNewToken(b *testing.B) {
	for _, c := range []struct{ alg, key string }{{"RS256", "rsa"}, {"ES256", "ec256"}, {"EdDSA", "ed25519"}} {
		config := IssuerConfig{Issuer: testIssuer, Inline: published(c.key), Audience: Audience{Mode: AudienceNone}, Algorithms: []string{c.alg}}
		v := must(New(Config{Issuers: []IssuerConfig{config}, CacheEntries: -1}, nil))
		raw := longLived(c.key, c.alg, nil)
		b.Run(c.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), raw, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.alg+"/signature", func(b *testing.B) {
			compact := must(parseCompact(raw))
			k := v.issuers[testIssuer].source.snapshot().set.keys[0]
			for b.Loop() {
				if !compact.verifiedBy(k) {
					b.Fatal("does not verify")
				}
			}
		})
	}
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
