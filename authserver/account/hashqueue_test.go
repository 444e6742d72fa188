package account

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// net24 is the i-th of many networks.
func net24(i int) netip.Prefix {
	return network(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
}

// hashFor stands for one hashing of a second in the queue.
func hashFor(q *hashQueue, net netip.Prefix) error {
	leave, err := q.enter(context.Background(), net)
	if err != nil {
		return err
	}
	time.Sleep(time.Second) // the bubble's clock
	leave()
	return nil
}

func lanes(workers, waiting int) Lanes {
	return Lanes{Workers: workers, Waiting: waiting, Longest: time.Minute}
}

func TestNoNetworkHoldsMoreThanAQuarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHashQueue(lanes(2, 40))
		var refused atomic.Int32
		for range 100 { // one network's flood
			go func() {
				if errors.Is(hashFor(q, net24(1)), errQueueFull) {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if got := refused.Load(); got != 90 {
			t.Errorf("%d of the flood refused, want 90: a quarter of 40 stays", got)
		}
		if q.depth() != 8 { // ten held, two of them hashing
			t.Errorf("depth %d, want 8", q.depth())
		}

		start := time.Now()
		if err := hashFor(q, net24(2)); err != nil {
			t.Fatalf("another network during the flood: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("another network waited %v behind the flood, want its turn after one hash", took-time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if q.depth() != 0 || q.busy != 0 || len(q.held) != 0 || len(q.lines) != 0 || len(q.turns) != 0 {
			t.Errorf("left behind: %+v", q)
		}
	})
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHashQueue(lanes(1, 8))
		for i := range 9 {
			go hashFor(q, net24(i))
		}
		synctest.Wait()
		start := time.Now()
		if err := hashFor(q, net24(100)); !errors.Is(err, errQueueFull) {
			t.Errorf("got %v, want a full queue", err)
		}
		if time.Since(start) != 0 {
			t.Error("the refusal waited")
		}
		if got := q.patience(); got < 0 {
			t.Errorf("patience %v", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestWaitingEndsWithTheRequestOrTheLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHashQueue(lanes(1, 8))
		leave, err := q.enter(t.Context(), net24(1))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.enter(ctx, net24(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request that ended: %v", err)
		}
		start := time.Now()
		if _, err := q.enter(t.Context(), net24(2)); !errors.Is(err, errQueueFull) {
			t.Errorf("the longest wait: %v", err)
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("waited %v", got)
		}
		leave()
		leave() // a second call gives nothing back twice
		if q.busy != 0 || q.depth() != 0 || len(q.held) != 0 {
			t.Errorf("left behind: %+v", q)
		}
	})
}

// arrival is one call in a random schedule.
type arrival struct {
	net      netip.Prefix
	patience time.Duration // after which the request ends
	pause    time.Duration // before the next one arrives
}

// TestQueueUnderAnySchedule: whatever arrives, gives up and leaves, no more hash
// at once than there are workers, nobody is forgotten, and nothing is left.
func TestQueueUnderAnySchedule(t *testing.T) {
	arrivals := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) arrival {
		return arrival{
			net:      net24(rapid.IntRange(0, 4).Draw(r, "net")),
			patience: time.Duration(rapid.IntRange(1, 9).Draw(r, "patience")) * 700 * time.Millisecond,
			pause:    time.Duration(rapid.IntRange(0, 1).Draw(r, "pause")) * 300 * time.Millisecond,
		}
	}), 1, 40)
	rapid.Check(t, func(r *rapid.T) {
		plan := arrivals.Draw(r, "arrivals")
		workers := rapid.IntRange(1, 3).Draw(r, "workers")
		q := newHashQueue(lanes(workers, rapid.IntRange(4, 20).Draw(r, "waiting")))
		var running, most, ended atomic.Int32
		synctest.Test(t, func(*testing.T) {
			for _, a := range plan {
				go func() {
					defer ended.Add(1)
					ctx, cancel := context.WithTimeout(context.Background(), a.patience)
					defer cancel()
					leave, err := q.enter(ctx, a.net)
					if err != nil {
						return
					}
					most.Store(max(most.Load(), running.Add(1)))
					time.Sleep(time.Second)
					running.Add(-1)
					leave()
				}()
				time.Sleep(a.pause)
			}
			time.Sleep(time.Hour)
		})
		if int(ended.Load()) != len(plan) || int(most.Load()) > workers {
			r.Fatalf("%d of %d ended, %d at once with %d workers", ended.Load(), len(plan), most.Load(), workers)
		}
		if q.busy != 0 || q.waiting != 0 || len(q.held) != 0 || len(q.lines) != 0 || len(q.turns) != 0 {
			r.Fatalf("left behind: %+v", q)
		}
	})
}
