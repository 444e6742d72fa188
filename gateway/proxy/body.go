package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/scopegate/scopegate/gateway/gate"
)

// inbound is the client's body on its way to the service: counted, bounded and
// watched. The transport may read it after the handler has returned, and so it
// touches nothing of the exchange but its watch.
type inbound struct {
	io.ReadCloser
	watch   *watch
	most    int64        // bytes; 0: no bound
	length  int64        // as declared; -1: chunked or HTTP/2 without a length
	read    atomic.Int64 // bytes so far
	whole   atomic.Bool  // read to its end
	begun   atomic.Bool  // somebody reads it, or has
	closed  atomic.Bool  // a read that fails from now on is not the client's fault
	failure atomic.Pointer[gate.Refusal]
}

// Read reads on, until the client has sent more than it may.
func (b *inbound) Read(p []byte) (int, error) {
	if f := b.failure.Load(); f != nil {
		return 0, f
	}
	b.begun.Store(true)
	b.watch.Taking(true)
	n, err := b.ReadCloser.Read(p)
	b.watch.Taking(false)
	total := b.read.Add(int64(n))
	if b.most > 0 && total > b.most {
		b.failure.Store(gate.ErrBigBody)
		return 0, gate.ErrBigBody
	}
	switch {
	case err == io.EOF || err == nil && total == b.length:
		b.whole.Store(true)
	case err != nil && !errors.Is(err, context.Canceled) && !b.closed.Load():
		b.failure.CompareAndSwap(nil, &gate.Refusal{Reason: gate.ReasonMalformed, Err: err})
	}
	return n, err
}

// Close ends the reading, whoever reads.
func (b *inbound) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// fault is why the body could not be read to its end, nil if that is not so.
func (b *inbound) fault() *gate.Refusal {
	if b == nil {
		return nil
	}
	return b.failure.Load()
}

// unread reports that something of the body may still be to come.
func (b *inbound) unread() bool { return b != nil && !b.whole.Load() }

func (b *inbound) bytes() int64 {
	if b == nil {
		return 0
	}
	return b.read.Load()
}

// outbound is the service's body on its way to the client.
type outbound struct {
	io.ReadCloser
	e   *exchange
	res *http.Response
}

func (b *outbound) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.e.watch.Touch()
	switch {
	case err == io.EOF:
		b.e.answerEnded()
		b.e.strip(b.res.Trailer)
		delete(b.res.Trailer, "Content-Length") // RFC 9110 section 6.5.1: no framing in trailers
	case err != nil:
		b.e.cutBy(err)
	}
	return n, err
}
