package fastlane

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
)

// closeGrace is how long the second direction of a tunnel may take to end after
// the first.
const closeGrace = 5 * time.Second

// errParted ends a tunnel whose client has said its last word.
var errParted = errors.New("the client has closed its direction")

// tunnel answers the client's handshake and moves bytes both ways until one end
// closes, or the right to the tunnel is gone. What flows is no HTTP any more.
func (t *turn) tunnel() error {
	t.closes, t.tunnels = true, true
	t.begun(http.StatusSwitchingProtocols, http.StatusText(http.StatusSwitchingProtocols))
	for i := range t.answer.lines {
		if f := &t.answer.lines[i]; t.x.KeepAnswer(f.name) && !strings.EqualFold(f.name, "Content-Length") {
			t.appendField(f.name, f.value)
		}
	}
	t.x.AddAnswer(t.add)
	t.out = append(t.out, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...)
	t.answered, t.outcome.Status = true, http.StatusSwitchingProtocols
	t.c.Become(dataport.StateTunnel)
	t.pace.Answering(gate.Streaming)
	t.judged = time.Time{}
	if err := t.write(t.out); err != nil {
		return err
	}
	t.startMoving()
	err := t.moveBack()
	if t.c.Cut() {
		err = gate.ErrDrained // the service's end may have been quicker: it follows on the client's
	}
	t.stopMoving(err)
	return tunnelFault(err)
}

// tunnelFault is what the record says of a tunnel's end: that one of its ends
// closed is how tunnels end.
func tunnelFault(err error) error {
	var named *gate.Refusal
	if errors.As(err, &named) && named.Reason != gate.ReasonClientClosed {
		return named
	}
	return nil
}

// startMoving moves what the client sends, and what it sent behind its
// handshake, on a goroutine of its own.
func (t *turn) startMoving() {
	f, u := t.far, &t.upload
	f.SetWriteDeadline(time.Time{})
	f.write.forget()
	t.c.plain.SetReadDeadline(time.Time{})
	t.c.read.forget()
	u.done = make(chan struct{})
	go func() {
		defer close(u.done)
		defer contain(func(failure *gate.Refusal) {
			u.failure.Store(failure)
			f.SetReadDeadline(longAgo)
		})
		buf := bodyBuffers.Get().(*[bodyBuffer]byte)
		defer bodyBuffers.Put(buf)
		n, err := copy(buf[:], t.in.rest()), error(nil)
		for ; n > 0 || err == nil; n, err = t.c.plain.Read(buf[:]) { // TLS may give the last bytes with the end
			t.pace.Touch()
			if _, err := f.Write(buf[:n]); err != nil {
				break
			}
			u.bytes.Add(int64(n))
		}
		halfClose(f.Conn)
		f.SetReadDeadline(longAgo) // for whoever reads there to look at the time that is left
	}()
}

// moveBack moves what the service sends, beginning with what came behind its
// handshake. Between reads it looks whether the tunnel may go on.
func (t *turn) moveBack() error {
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for piece := t.back.rest(); ; {
		if len(piece) > 0 {
			if err := t.relayed(piece, len(piece)); err != nil {
				return err
			}
		}
		n, err := t.fill(buf[:])
		if err != nil {
			return err
		}
		piece = buf[:n]
	}
}

// parted reports that the client's direction has been over for long enough.
func (t *turn) parted() bool {
	select {
	case <-t.upload.done:
	default:
		return false
	}
	if t.partedAt.IsZero() {
		t.partedAt = time.Now()
	}
	return time.Since(t.partedAt) >= closeGrace
}

// stopMoving ends the client's direction: at once where the tunnel was cut, and
// after a moment for its last words where the service has closed.
func (t *turn) stopMoving(err error) {
	limit := time.Now()
	if tunnelFault(err) == nil && !errors.Is(err, errParted) && t.c.CloseWrite() == nil {
		limit = limit.Add(closeGrace)
	}
	t.c.plain.SetReadDeadline(limit)
	t.far.SetWriteDeadline(limit)
	<-t.upload.done
	t.in.r = t.in.w
}
