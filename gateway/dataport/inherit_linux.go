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
)

// Predecessor is the successor's side of a takeover: a running process whose listening sockets
// this one has, and may not accept from yet.
type Predecessor struct {
	PID     int
	Sockets []Socket

	conn     *net.UnixConn
	takeover *net.UnixListener
}

// TakeOver asks the process that offers its sockets at path for them. It returns [ErrNobody] if
// there is none, and an error if it refuses, or is of another user.
func TakeOver(path string) (*Predecessor, error) {
	address, err := takeoverAddress(path)
	if err != nil {
		return nil, nobody(err)
	}
	c, err := net.DialUnix(address.Net, nil, address)
	if err != nil {
		return nil, nobody(err)
	}
	p := &Predecessor{conn: c}
	if _, err = trustPeer(c, os.Geteuid()); err == nil {
		err = p.receive()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func nobody(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return ErrNobody
	}
	return err
}

// receive gets the sockets.
func (p *Predecessor) receive() error {
	p.conn.SetReadDeadline(time.Now().Add(talkTime))
	m, files, err := hear(p.conn)
	defer closeFiles(files)
	switch {
	case err != nil:
		return fmt.Errorf("the running process does not hand its sockets over: %w", err)
	case m.Say == sayNo:
		return refused(m.Why)
	case m.Version != takeoverVersion:
		return fmt.Errorf("the running process speaks version %d of the takeover, this one %d", m.Version, takeoverVersion)
	case m.Say != saySockets || len(m.Sockets) != len(files):
		return fmt.Errorf("the running process says %q with %d sockets", m.Say, len(files))
	}
	p.PID = m.PID
	for i, s := range m.Sockets {
		l, err := net.FileListener(files[i])
		if err != nil {
			return fmt.Errorf("socket %s: %w", s.Name, err)
		}
		if u, ok := l.(*net.UnixListener); ok && s.Name == nameTakeover && p.takeover == nil {
			p.takeover = u
			continue
		}
		p.Sockets = append(p.Sockets, Socket{s.Name, s.Address, l})
	}
	if p.takeover == nil {
		return errors.New("the running process keeps its takeover socket")
	}
	return p.conn.SetReadDeadline(time.Time{})
}

func refused(why string) error { return fmt.Errorf("the running process refused: %s", why) }

// answerTime is how long a predecessor may take to stop accepting.
const answerTime = 10 * time.Second

// Release waits until ready says that this process can serve, tells the predecessor, and returns
// nil when that accepts no more, or has ended: the sockets are this process's then. An error
// means that they are not, because the predecessor changed its mind or ctx ended.
func (p *Predecessor) Release(ctx context.Context, ready func() bool) error {
	answer := make(chan error, 1)
	go func() { answer <- p.answer() }()
	defer p.conn.Close() // ends answer
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	free := false
	for !ready() {
		select {
		case err := <-answer:
			if err != nil {
				return err
			}
			free, answer = true, nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	if !free {
		say(p.conn, message{Say: sayReady}) // if it has ended, answer knows
		select {
		case err := <-answer:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(answerTime):
			return errors.New("the running process does not answer")
		}
	}
	p.own()
	return nil
}

// answer reads the last word: nil means that the sockets are ours.
func (p *Predecessor) answer() error {
	m, files, err := hear(p.conn)
	closeFiles(files)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil // it has ended
	case err != nil:
		return err
	case m.Say == sayYours:
		return nil
	case m.Say == sayNo:
		return refused(m.Why)
	}
	return fmt.Errorf("the running process says %q", m.Say)
}

// own makes the names of unix sockets end with this process.
func (p *Predecessor) own() {
	for _, s := range p.Sockets {
		if u, ok := s.Listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(true)
		}
	}
	p.takeover.SetUnlinkOnClose(true)
}

// Offer offers the sockets to the next one, at the same path.
func (p *Predecessor) Offer(sockets []Socket, failed func(error)) *Offer {
	return newOffer(p.takeover, sockets, failed)
}

// Close closes all that came from the predecessor. It goes on as if nothing had been, unless
// Release has succeeded.
func (p *Predecessor) Close() {
	p.conn.Close()
	for _, s := range p.Sockets {
		s.Close()
	}
	if p.takeover != nil {
		p.takeover.Close()
	}
}
