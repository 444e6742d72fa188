package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// job is one measurement, as the load generator is told of it.
type job struct {
	Address     string
	Admin       string // the gateway's admin port
	Profile     string // files that the gateway's profiles go to, but for their ends; empty: none
	PID         int    // of the proxy
	Connections int
	Rate        int // requests a second in all, open loop; 0: closed loop
	Warm        int // requests before the measurement begins
	Duration    time.Duration
	Limit       int // ends the measurement after so many requests; 0: only time does

	Tokens     string // file; empty: none are sent
	From, To   int    // lines of it that are sent in turn; To 0: all
	WarmTokens string // file for the warm-up
	Paths      int    // routes that are asked for in turn
	Body       int
	Status     int
	Streams    int    // under way at once on each connection, which is HTTP/2 then; 0: HTTP/1.1
	GRPC       bool   // unary calls
	Authority  string // file with the certificate to expect: TLS
	Idle       bool   // measure what open connections cost instead
	Settle     time.Duration
}

// sample is what one measurement gives.
type sample struct {
	Requests   int     `json:"requests"`
	Wrong      int     `json:"wrong"`   // answers that were not the expected one, and failed requests
	Redials    int     `json:"redials"` // connections that the proxy closed after a good answer
	Seconds    float64 `json:"seconds"`
	CPU        float64 `json:"cpu_seconds"` // of the proxy
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	Resident   int     `json:"rss_kib"` // after the measurement
	IdleKiB    float64 `json:"idle_connection_kib"`
	FirstFault string  `json:"first_fault,omitempty"`
}

// loadOnce is the load generator's process: a job in, a sample out.
func loadOnce(in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	s, err := j.do()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(s)
}

func (j job) do() (sample, error) {
	measured, err := j.source(j.Tokens, j.From, j.To)
	if err != nil {
		return sample{}, err
	}
	warming, err := j.source(j.WarmTokens, 0, 0)
	if err != nil {
		return sample{}, err
	}
	if j.Idle {
		return j.hold(measured)
	}
	clients, err := j.dial(j.Connections)
	if err != nil {
		return sample{}, err
	}
	defer hangUp(clients)
	// The warm-up has no time limit of its own: the clients' deadlines bound it.
	warming.limit = int64(j.Warm)
	s, err := j.phase(clients, warming, time.Now().Add(patience), 0)
	if err != nil || s.Wrong > 0 {
		return s, err
	}
	measured.limit = int64(j.Limit)
	profiles := j.profiled()
	s, err = j.phase(clients, measured, time.Now().Add(j.Duration), j.Rate)
	return s, errors.Join(err, profiles())
}

// source hands out what to send next, to all clients together.
type source struct {
	tokens []string
	paths  int
	limit  int64 // 0: none
	next   atomic.Int64
}

func (j job) source(file string, from, to int) (*source, error) {
	s := &source{paths: max(j.Paths, 1)}
	if file == "" {
		return s, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s.tokens = strings.Fields(string(text))
	if to > 0 {
		s.tokens = s.tokens[from:to]
	}
	if len(s.tokens) == 0 {
		return nil, errors.New("there are no tokens in " + file)
	}
	return s, nil
}

// take returns the next token and route, and whether there is another request to send.
func (s *source) take() (token string, path int, more bool) {
	n := s.next.Add(1) - 1
	if s.limit > 0 && n >= s.limit {
		return "", 0, false
	}
	if len(s.tokens) > 0 {
		token = s.tokens[n%int64(len(s.tokens))]
	}
	return token, int(n % int64(s.paths)), true
}

// phase lets every client send until the time or the source ends, and counts what the proxy
// spent from the first byte sent to the last answer read.
func (j job) phase(clients []*client, from *source, until time.Time, rate int) (sample, error) {
	before, err := cpuTime(j.PID)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	var sending sync.WaitGroup
	for i, c := range clients {
		c.reset()
		sending.Go(func() {
			if rate == 0 {
				c.closedLoop(from, until)
				return
			}
			step := time.Duration(len(clients)) * time.Second / time.Duration(rate)
			c.openLoop(from, start.Add(step*time.Duration(i)/time.Duration(len(clients))), step, until)
		})
	}
	sending.Wait()
	elapsed := time.Since(start)
	after, err := cpuTime(j.PID)
	if err != nil {
		return sample{}, err
	}
	s := collect(clients)
	s.Seconds, s.CPU = elapsed.Seconds(), (after - before).Seconds()
	s.Resident, err = resident(j.PID)
	return s, err
}

func collect(clients []*client) sample {
	var s sample
	var all []time.Duration
	for _, c := range clients {
		all = append(all, c.took...)
		s.Wrong += c.wrong
		s.Redials += c.redials
		if s.FirstFault == "" && c.fault != nil {
			s.FirstFault = c.fault.Error()
		}
	}
	slices.Sort(all)
	s.Requests = len(all)
	s.P50, s.P99 = quantile(all, 50), quantile(all, 99)
	return s
}

// quantile is the smallest duration that percent of all do not exceed, in microseconds.
func quantile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := (len(sorted)*percent + 99) / 100
	return float64(sorted[max(at, 1)-1]) / float64(time.Microsecond)
}

// hold measures memory before and after connections were opened, each of which has had
// one answer. What a proxy needs for its first requests at all is there before.
func (j job) hold(from *source) (sample, error) {
	first, err := j.dial(8)
	if err != nil {
		return sample{}, err
	}
	defer hangUp(first)
	from.limit = int64(j.Warm)
	if s, err := j.phase(first, from, time.Now().Add(patience), 0); err != nil || s.Wrong > 0 {
		return s, err
	}
	time.Sleep(j.Settle)
	before, err := resident(j.PID)
	if err != nil {
		return sample{}, err
	}
	held, err := j.dial(j.Connections)
	if err != nil {
		return sample{}, err
	}
	defer hangUp(held)
	from.limit = 0
	for _, c := range held {
		c.reset()
		token, path, _ := from.take()
		c.exchange(time.Now(), token, path)
	}
	time.Sleep(j.Settle)
	s := collect(held)
	if s.Resident, err = resident(j.PID); err != nil {
		return s, err
	}
	s.IdleKiB = float64(s.Resident-before) / float64(j.Connections)
	return s, nil
}
