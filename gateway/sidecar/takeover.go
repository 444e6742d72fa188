package sidecar

import (
	"context"
	"fmt"
	"net"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// ErrNobody is returned by [Sidecar.TakeOver] when there is no process to take over from.
var ErrNobody = dataport.ErrNobody

// The sockets that are handed over, by their keys in gateway.yaml.
const (
	socketData  = "listen"
	socketAdmin = "admin"
)

// TakeOver is Serve on the sockets of the gateway that runs with the same `takeover:`. That one
// goes on until this one is ready, accepts no more from then on, and drains; so at any time one of
// the two answers on the data port, and the same one on the admin port. An error that comes
// before this one is ready has changed nothing.
func (s *Sidecar) TakeOver(ctx context.Context) error {
	from, err := dataport.TakeOver(s.began.Takeover)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	defer from.Close()
	data, err := inherited(from, socketData, s.began.Listen)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	admin, err := inherited(from, socketAdmin, s.began.Admin)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	return s.serve(ctx, data, admin, from)
}

// inherited finds the socket for a key, which must say the same for both processes.
func inherited(from *dataport.Predecessor, key, address string) (net.Listener, error) {
	for _, socket := range from.Sockets {
		switch {
		case socket.Name != key:
		case socket.Address != address:
			return nil, fmt.Errorf("%s is %s here and %s for the running gateway: with other addresses one is stopped and the other started", key, address, socket.Address)
		default:
			return socket.Listener, nil
		}
	}
	return nil, fmt.Errorf("the running gateway has no socket for %s", key)
}

// succeed waits until this process is ready and its predecessor, if there is one, accepts no more.
func (s *Sidecar) succeed(ctx context.Context, from *dataport.Predecessor) error {
	if from == nil {
		return nil
	}
	s.log.Info("taking over", "from_pid", from.PID)
	if err := from.Release(ctx, func() bool { return s.ready() == "" }); err != nil {
		if why := s.ready(); why != "" {
			return fmt.Errorf("%w (%s)", err, why)
		}
		return err
	}
	s.log.Info("taken over", "from_pid", from.PID)
	return nil
}

// offer offers the sockets to a successor; nil if the configuration does not.
func (s *Sidecar) offer(data, admin net.Listener, from *dataport.Predecessor) (*dataport.Offer, error) {
	if s.began.Takeover == "" {
		return nil, nil
	}
	sockets := []dataport.Socket{
		{Name: socketData, Address: s.began.Listen, Listener: data},
		{Name: socketAdmin, Address: s.began.Admin, Listener: admin},
	}
	failed := func(err error) { s.log.Warn("nobody took over", "error", err.Error()) }
	if from != nil {
		return from.Offer(sockets, failed), nil
	}
	return dataport.NewOffer(s.began.Takeover, sockets, failed)
}

// ending says once when serving has to end: with the successor that is ready, or nil after ctx.
func ending(ctx context.Context, offer *dataport.Offer) <-chan *dataport.Successor {
	end := make(chan *dataport.Successor, 1)
	go func() {
		if offer != nil {
			end <- offer.Wait(ctx)
			return
		}
		<-ctx.Done()
		end <- nil
	}()
	return end
}

// handOver stops accepting on both ports without closing the sockets, and tells the successor.
func (s *Sidecar) handOver(to *dataport.Successor, admin *adminPort) {
	if to == nil {
		return
	}
	s.port.HandOver()
	admin.handOver()
	err := to.Yours()
	admin.endClients()
	s.log.Info("handed over", "to_pid", to.PID)
	if err != nil {
		s.log.Warn("the successor could not be told", "error", err.Error()) // it finds out
	}
}
