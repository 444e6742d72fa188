package decisions

import (
	"encoding/json"
	"testing"
)

// BenchmarkLine is one line, as it is read and as encoding/json would read it.
func BenchmarkLine(b *testing.B) {
	b.Run("scanner", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(good) + 1))
		var r Record
		var s scanner
		for b.Loop() {
			if err := r.parse(&s, good); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(good) + 1))
		for b.Loop() {
			var line gatewayLine
			if err := json.Unmarshal([]byte(good), &line); err != nil {
				b.Fatal(err)
			}
		}
	})
}
