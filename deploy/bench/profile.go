package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profiled starts to collect a gateway's own profiles of what is measured from now on. wait
// waits until they are on disk, and for no longer than a profile takes: pprof knows whole
// seconds only, so that a measurement of less than one is profiled together with the
// silence behind it.
func (j job) profiled() (wait func() error) {
	if j.Profile == "" {
		return func() error { return nil }
	}
	seconds := int(max(j.Duration/time.Second, 1))
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second+patience)
	done := make(chan error, 2)
	for kind, end := range map[string]string{"profile": ".cpu", "allocs": ".allocs"} {
		go func() {
			done <- fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", j.Admin, kind, seconds), j.Profile+end)
		}()
	}
	return func() error {
		defer cancel()
		for range cap(done) {
			if err := <-done; err != nil {
				return fmt.Errorf("profile: %w", err)
			}
		}
		return nil
	}
}

// fetch writes what url answers into file.
func fetch(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, answer.Body); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
