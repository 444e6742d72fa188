package fastlane

import (
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// bodyBuffer is what is moved of a body at once, in bytes. room is left before
// and behind the content for its chunk's framing.
const (
	bodyBuffer  = 64 << 10
	chunkBefore = 10 // a size of up to eight digits, and CRLF
	chunkBehind = 2
)

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}

// upload is the client's body on its way to the service. One that arrived with
// its head is whole at once; every other is carried by a goroutine of its own,
// since a service may answer before the body has ended.
type upload struct {
	begun   bool
	stopped bool
	done    chan struct{}
	whole   atomic.Bool // read to its end
	sent    atomic.Bool // and written to the service
	bytes   atomic.Int64
	failure atomic.Pointer[gate.Refusal] // what the client did wrong
	chunks  chunks
	buf     *[bodyBuffer]byte
	behind  []byte // what came behind the body, in buf; what came with the head has stayed in the turn
}

func (u *upload) reset() {
	u.begun, u.stopped, u.done, u.behind = false, false, nil, nil
	u.whole.Store(false)
	u.sent.Store(false)
	u.bytes.Store(0)
	u.failure.Store(nil)
}

// destination is where a body goes.
type destination struct {
	io.Writer
	frame bool   // it wants chunks
	end   func() // called behind the last byte
	wake  func() // makes whoever waits for the answer look at what the client did wrong
}

// startUpload begins to carry the body.
func (t *turn) startUpload(to destination) {
	u := &t.upload
	u.begun = true
	u.done = make(chan struct{})
	u.chunks.reset()
	u.buf = bodyBuffers.Get().(*[bodyBuffer]byte)
	t.c.plain.SetReadDeadline(time.Time{}) // the pace is judged by whoever waits for the answer
	t.c.read.forget()
	go func() {
		fail := func(failure *gate.Refusal) {
			u.failure.Store(failure)
			to.wake()
		}
		defer close(u.done)
		defer contain(fail)
		if failure := t.carry(to); failure != nil {
			fail(failure)
		}
	}()
}

// contain makes of a panic on a goroutine beside the connection's own what it is
// on that one: the end of an exchange, not of the process.
func contain(end func(*gate.Refusal)) {
	if fault := recover(); fault != nil {
		end(&gate.Refusal{Reason: gate.ReasonInternal, Err: fmt.Errorf("panic: %v\n%s", fault, debug.Stack())})
	}
}

// uploadTo carries the body to a service that speaks HTTP/1.1.
func (t *turn) uploadTo(f *far) {
	f.SetWriteDeadline(time.Time{})
	f.write.forget()
	t.startUpload(destination{
		Writer: f, frame: t.frames(),
		end:  func() {},
		wake: func() { f.SetReadDeadline(longAgo) },
	})
}

// sendGrace is how long the last of a body may take on its way to a service
// that has answered already.
const sendGrace = 100 * time.Millisecond

// stopUpload ends the carrying. What came behind the body waits for takeBehind.
func (t *turn) stopUpload() {
	u := &t.upload
	if !u.begun || u.stopped {
		return
	}
	u.stopped = true
	switch {
	case u.sent.Load():
	case u.whole.Load() && t.far != nil:
		t.far.SetWriteDeadline(time.Now().Add(sendGrace))
		t.far.write.forget()
	default:
		t.c.plain.SetReadDeadline(longAgo)
		t.c.read.forget()
		t.dropFar()
	}
	<-u.done
}

// takeBehind makes what came behind a carried body the beginning of the next
// request. Until then the head's texts are in use.
func (t *turn) takeBehind() {
	u := &t.upload
	if u.buf == nil {
		return
	}
	if len(u.behind) > 0 {
		t.in.take(u.behind)
	}
	bodyBuffers.Put(u.buf)
	u.buf, u.behind = nil, nil
}

// carry moves the body. It returns what the client did wrong; that the service
// takes no more is for its answer to explain.
func (t *turn) carry(to destination) *gate.Refusal {
	left := t.length
	for {
		content, failure := t.piece(&left)
		if failure != nil {
			return failure
		}
		ended := left == 0 || t.length == chunked && t.upload.chunks.done()
		if ended {
			t.upload.whole.Store(true)
		}
		if err := t.pass(to, content, ended); err != nil {
			return nil
		}
		if ended {
			t.upload.sent.Store(true)
			to.end()
			return nil
		}
	}
}

// piece reads the next content into the buffer, behind the room for a chunk's
// size.
func (t *turn) piece(left *int64) ([]byte, *gate.Refusal) {
	u := &t.upload
	into := u.buf[chunkBefore : len(u.buf)-chunkBehind]
	if t.length == chunked {
		into = into[:headBuffer] // what comes behind the body has to fit into a turn
	} else if int64(len(into)) > *left {
		into = into[:*left]
	}
	n, early, failure := t.receive(into)
	if failure != nil {
		return nil, failure
	}
	content := into[:n]
	if t.length == chunked {
		m, took, err := u.chunks.decode(content, content)
		switch {
		case err == gate.ErrBigHead:
			return nil, gate.ErrBigHead // the trailers
		case err != nil:
			return nil, gate.ErrMalformed
		}
		if early {
			t.in.r -= len(content) - took
		} else {
			u.behind = content[took:]
		}
		content = content[:m]
	} else {
		*left -= int64(n)
	}
	if most := t.up.cfg.BodyMax; u.bytes.Add(int64(len(content))) > most && most > 0 {
		return nil, gate.ErrBigBody
	}
	return content, nil
}

// receive gives bytes of the client's: first the early ones, which came with the
// head.
func (t *turn) receive(p []byte) (n int, early bool, failure *gate.Refusal) {
	if n := copy(p, t.in.rest()); n > 0 {
		t.in.r += n
		return n, true, nil
	}
	t.pace.Taking(true)
	n, err := t.c.plain.Read(p)
	t.pace.Taking(false)
	switch {
	case n > 0:
		return n, false, nil
	case t.c.Cut():
		return 0, false, gate.ErrDrained
	case isTimeout(err):
		return 0, false, gate.ErrSlowBody // or the answer is over, and nobody looks
	}
	return 0, false, gate.ErrGone
}

// pass writes content, which lies in the buffer, on to the service.
func (t *turn) pass(to destination, content []byte, last bool) (err error) {
	if len(content) > 0 {
		if to.frame {
			content = frameChunk(t.upload.buf[:], content)
		}
		_, err = to.Write(content)
	}
	if err == nil && last && to.frame {
		_, err = io.WriteString(to, "0\r\n\r\n") // the client's trailers end here: they may hold anything
	}
	return err
}

// frameChunk makes a chunk of content, which lies in buf from chunkBefore on.
func frameChunk(buf, content []byte) []byte {
	size := strconv.AppendInt(make([]byte, 0, chunkBefore), int64(len(content)), 16)
	size = append(size, "\r\n"...)
	from := chunkBefore - len(size)
	copy(buf[from:], size)
	end := chunkBefore + len(content)
	copy(buf[end:], "\r\n")
	return buf[from : end+chunkBehind]
}
