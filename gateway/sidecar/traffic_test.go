package sidecar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scopegate/scopegate/gateway/gate"
)

// count observes one request as the recorder does.
func (t *traffic) count(p place, stripe int, f fate, took, upstream time.Duration) {
	t.observe(t.at(p), stripe, f, &gate.Outcome{Upstream: upstream}, time.Now(), took)
}

// Whatever is counted, in whatever stripes, a scrape shows what the library's own vectors
// would: names, help, labels, buckets, creation times.
func TestTrafficIsShownAsTheLibraryWouldShowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := prometheus.NewPedanticRegistry(), prometheus.NewPedanticRegistry()
		traffic := &traffic{stripes: 3, routes: map[place]*routeCounts{}}
		ours.MustRegister(traffic)
		requests := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "scopegate_gateway", Name: "requests_total",
			Help: "Requests that came to an end, by what became of them."}, []string{"service", "route", "method", "code", "reason"})
		duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "scopegate_gateway", Name: "request_duration_seconds",
			Help: "Time from a request's head to the end of its answer.", Buckets: buckets[:]}, []string{"service", "route"})
		upstream := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "scopegate_gateway", Name: "upstream_duration_seconds",
			Help: "Time from sending a request's head to the service to the head of its answer.", Buckets: buckets[:]}, []string{"service", "route"})
		theirs.MustRegister(requests, duration, upstream)

		random := rand.New(rand.NewPCG(1, 2))
		pick := func(of ...string) string { return of[random.IntN(len(of))] }
		for range 20_000 {
			p := place{pick("a", "b", unmatched), pick("/x", "/y/{z}", unmatched)}
			f := fate{pick("GET", "POST", other), pick("allowed", "no_route"), 200 + random.IntN(3)}
			took := dyadic(random)
			waited := max(0, dyadic(random)-time.Second)
			traffic.count(p, random.IntN(3), f, took, waited)
			requests.WithLabelValues(p.service, p.route, f.method, strconv.Itoa(f.status), f.reason).Inc()
			duration.WithLabelValues(p.service, p.route).Observe(took.Seconds())
			if waited > 0 {
				upstream.WithLabelValues(p.service, p.route).Observe(waited.Seconds())
			}
		}
		if d := cmp.Diff(gathered(t, theirs), gathered(t, ours)); d != "" {
			t.Error(d)
		}
	})
}

// dyadic is a duration whose seconds, and sums of them, are exact in binary.
func dyadic(random *rand.Rand) time.Duration {
	const unit = time.Second / 512
	return unit * time.Duration(random.IntN([]int{8, 512, 64 * 512}[random.IntN(3)]))
}

// gathered are the families as text, creation times included.
func gathered(t *testing.T, g prometheus.Gatherer) (out []string) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out = append(out, fmt.Sprint(f.GetName(), f.GetHelp(), f.GetType(), m))
		}
	}
	return out
}

func TestBucketsHoldTheirBounds(t *testing.T) {
	for i, bound := range buckets {
		at := time.Duration(bound * float64(time.Second))
		for d, want := range map[time.Duration]int{at - 1: i, at: i, at + 1: i + 1} {
			h := &histogram{cells: make([]histogramCell, 1)}
			h.observe(0, d)
			if h.cells[0].counts[want].Load() != 1 {
				t.Errorf("%v is not counted in bucket %d", d, want)
			}
		}
	}
}

// Every request is counted once, however many goroutines count, also while their series are
// new, and while others scrape and reload.
func TestTrafficLosesNothing(t *testing.T) {
	const clients, each = 8, 3000
	r := prometheus.NewPedanticRegistry()
	traffic := &traffic{stripes: 2, routes: map[place]*routeCounts{}}
	r.MustRegister(traffic)
	pens := newPens(2)
	places := []place{{"s", "/a"}, {"s", "/b"}, {"s", unmatched}}
	slots := make([]slot, len(places))
	for i := range slots {
		slots[i].place = places[i]
	}
	var counting, scraping sync.WaitGroup
	for c := range clients {
		counting.Go(func() {
			for i := range each {
				pn := pens.take()
				at := &slots[(c+i)%len(slots)]
				f := fate{"GET", "allowed", 200 + i%7}
				traffic.observe(at.in(traffic), pn.stripe, f, &gate.Outcome{Upstream: 1}, time.Now(), time.Millisecond)
				pens.back(pn)
			}
		})
	}
	stop := make(chan struct{})
	scraping.Go(func() {
		for last := 0.0; ; {
			traffic.keep(map[place]bool{places[0]: true}, time.Now())
			now := totals(t, r)["requests_total"]
			if now < last {
				t.Errorf("the counter went from %v to %v", last, now)
			}
			last = now
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	counting.Wait()
	close(stop)
	scraping.Wait()
	want := map[string]float64{"requests_total": clients * each, "request_duration_seconds": clients * each, "upstream_duration_seconds": clients * each}
	if d := cmp.Diff(want, totals(t, r)); d != "" {
		t.Error(d)
	}
}

// totals are the sums over all series of a family; of histograms, the counts.
func totals(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[strings.TrimPrefix(f.GetName(), namespace+"_")] += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// A configuration that changes for ever must not fill the memory: the series of what is gone
// are shown for ten more minutes. What comes back by then goes on counting where it was.
func TestSeriesOfGoneRoutesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := newTraffic()
		shown := func() (names []string) {
			for _, c := range traffic.shown(time.Now()) {
				names = append(names, c.service)
			}
			slices.Sort(names)
			return names
		}
		for i := range 100 { // a new service every minute
			p := place{fmt.Sprintf("s%02d", i), "/"}
			traffic.keep(map[place]bool{p: true}, time.Now())
			traffic.count(p, 0, fate{}, 1, 1)
			time.Sleep(time.Minute)
		}
		if d := cmp.Diff([]string{"s90", "s91", "s92", "s93", "s94", "s95", "s96", "s97", "s98", "s99"}, shown()); d != "" {
			t.Error(d)
		}
		traffic.keep(map[place]bool{{"s95", "/"}: true}, time.Now())
		time.Sleep(keptFor)
		traffic.count(place{"s95", "/"}, 0, fate{}, 1, 1)
		if d := cmp.Diff([]string{"s95"}, shown()); d != "" {
			t.Error(d)
		}
		if n := (*traffic.at(place{"s95", "/"}).requests.Load())[fate{}].total(); n != 2 {
			t.Errorf("a service that came back has %d requests, want both", n)
		}
	})
}

// What labels a series must not be the buffer that the request stood in.
func TestLabelsAreCopied(t *testing.T) {
	traffic := newTraffic()
	buffer := []byte("PATCH")
	traffic.count(place{"s", "/"}, 0, fate{unsafe.String(&buffer[0], len(buffer)), "allowed", 200}, 1, 0)
	copy(buffer, "xxxxx")
	for f := range *traffic.at(place{"s", "/"}).requests.Load() {
		if f.method != "PATCH" {
			t.Errorf("the label is %q", f.method)
		}
	}
}
