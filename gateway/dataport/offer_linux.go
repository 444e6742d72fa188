package dataport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Offer is the predecessor's side of a takeover.
type Offer struct {
	listener *net.UnixListener
	sockets  []Socket
	patience time.Duration
	failed   func(error)
}

// patience is how long a successor may take until it is ready.
const patience = time.Minute

// NewOffer listens at path for a successor to which the sockets can be handed; failed is told of
// takeovers that came to nothing. The path's folder must belong to this process's user and have
// mode 0700. A socket that a dead process left there is replaced; an error says what else is wrong.
func NewOffer(path string, sockets []Socket, failed func(error)) (*Offer, error) {
	address, err := takeoverAddress(path)
	if err == nil {
		err = removeStale(address)
	}
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix(address.Net, address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address.Name, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return newOffer(l, sockets, failed), nil
}

func newOffer(l *net.UnixListener, sockets []Socket, failed func(error)) *Offer {
	return &Offer{l, append(sockets[:len(sockets):len(sockets)], Socket{Name: nameTakeover, Listener: l}), patience, failed}
}

// removeStale removes a socket on which nobody answers any more.
func removeStale(address *net.UnixAddr) error {
	info, err := os.Lstat(address.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and no socket", address.Name)
	}
	c, err := net.DialUnix(address.Net, nil, address)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("another process offers its sockets at %s", address.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(address.Name)
	}
	return err
}

// Successor is a process that has the sockets and waits for the word that it may use them.
type Successor struct {
	PID  int
	conn *net.UnixConn
}

// Yours tells the successor that this process accepts no more. If it cannot be told, it finds out
// by itself.
func (s *Successor) Yours() error {
	defer s.conn.Close()
	return say(s.conn, message{Say: sayYours})
}

// Wait hands the sockets to a successor and returns it when it is ready, or when ctx has ended
// while it has the sockets already: they must not be shut then, only closed. It returns nil when
// ctx ends and there is none. While one takeover runs, others are refused. The offer is over in
// any case, its own socket closed.
func (o *Offer) Wait(ctx context.Context) *Successor {
	calls, over := make(chan *net.UnixConn), make(chan struct{})
	go o.accept(calls, over)
	s := o.choose(ctx, calls)
	close(over)
	o.listener.SetUnlinkOnClose(s == nil)
	o.listener.Close()
	for c := range calls { // accepted in the last moment
		say(c, message{Say: sayNo, Why: "the offer has just ended"})
		c.Close()
	}
	return s
}

// Close ends an offer on which Wait was not called.
func (o *Offer) Close() error { return o.listener.Close() }

func (o *Offer) accept(calls chan<- *net.UnixConn, over <-chan struct{}) {
	defer close(calls)
	for {
		c, err := o.listener.AcceptUnix()
		switch {
		case err == nil:
			calls <- c
		case errors.Is(err, net.ErrClosed):
			return
		default:
			o.failed(err)
			select {
			case <-over:
			case <-time.After(time.Second): // no descriptor left: it may pass
			}
		}
	}
}

// choose talks to one caller at a time until one is ready.
func (o *Offer) choose(ctx context.Context, calls <-chan *net.UnixConn) *Successor {
	var talking *net.UnixConn
	type outcome struct {
		*Successor
		error
	}
	ended := make(chan outcome, 1)
	for {
		select {
		case c, open := <-calls:
			if !open {
				calls = nil // somebody closed the socket
				continue
			}
			if talking != nil {
				say(c, message{Say: sayNo, Why: "another takeover is under way"})
				c.Close()
				continue
			}
			talking = c
			go func() {
				s, err := o.talk(ctx, c)
				ended <- outcome{s, err}
			}()
		case end := <-ended:
			if end.error == nil {
				return end.Successor
			}
			talking = nil
			o.failed(end.error)
		case <-ctx.Done():
			if talking == nil {
				return nil
			}
			talking.SetReadDeadline(time.Now())
			return (<-ended).Successor
		}
	}
}

// talk is the conversation with one caller. An error means that it came to nothing, and that the
// caller has been told.
func (o *Offer) talk(ctx context.Context, c *net.UnixConn) (*Successor, error) {
	pid, err := trustPeer(c, os.Geteuid())
	if err == nil {
		err = o.hand(c)
	}
	var m message
	if err == nil {
		m, err = hearWithin(ctx, c, o.patience)
	}
	switch {
	case err == nil && m.Say == sayReady, ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return &Successor{pid, c}, nil
	case err == nil:
		err = fmt.Errorf("it says %q", m.Say)
	case errors.Is(err, io.EOF):
		err = errors.New("it ended")
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("it was not ready within %v", o.patience)
	}
	refuse(c, err.Error())
	return nil, fmt.Errorf("process %d: %w", pid, err)
}

// hand gives all sockets to the caller.
func (o *Offer) hand(c *net.UnixConn) error {
	m := message{Say: saySockets, Version: takeoverVersion, PID: os.Getpid()}
	var descriptors []int
	defer func() {
		for _, d := range descriptors {
			unix.Close(d)
		}
	}()
	for _, s := range o.sockets {
		d, err := duplicate(s.Listener)
		if err != nil {
			return fmt.Errorf("socket %s: %w", s.Name, err)
		}
		descriptors = append(descriptors, d)
		m.Sockets = append(m.Sockets, namedSocket{s.Name, s.Address})
	}
	return say(c, m, descriptors...)
}

// hearWithin reads one message, until the time is up or ctx has ended; choose wakes it then.
func hearWithin(ctx context.Context, c *net.UnixConn, d time.Duration) (message, error) {
	c.SetReadDeadline(time.Now().Add(d))
	if ctx.Err() != nil { // so that no deadline stands over the one of choose
		c.SetReadDeadline(time.Now())
	}
	m, files, err := hear(c)
	closeFiles(files)
	return m, err
}

// duplicate makes a descriptor that stays valid while it is sent. Not by File, whose Fd would make
// the socket block, for us too.
func duplicate(l net.Listener) (descriptor int, err error) {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("a %T has no descriptor", l)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		descriptor, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = failed
	}
	return descriptor, err
}

// refuse says no; a caller that is gone has no need of it. What the caller says at this moment is
// read before the end, which would be a reset otherwise, and look like that of this process.
func refuse(c *net.UnixConn, why string) {
	defer c.Close()
	if say(c, message{Say: sayNo, Why: why}) == nil && c.CloseWrite() == nil {
		hearWithin(context.Background(), c, time.Second)
	}
}
