package fastlane

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// answerBody is the body of an answer that RoundTrip gave out.
type answerBody struct {
	*call  // nil when it is over
	res    *http.Response
	length int64
	left   int64
	chunks chunks
	err    error // what Read says from now on
}

// Read reads on. Behind the last byte the connection is given back.
func (b *answerBody) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.next(p)
	if err != nil {
		b.finish(err)
	}
	return n, err
}

func (b *answerBody) next(p []byte) (n int, err error) {
	switch {
	case b.length == chunked:
		return b.nextChunked(p)
	case b.length > 0 && int64(len(p)) > b.left:
		p = p[:b.left]
	}
	n, err = b.some(p)
	switch {
	case b.length == untilClose, err != nil:
		return n, b.brokenOff(err)
	}
	if b.left -= int64(n); b.left == 0 {
		err = io.EOF
	}
	return n, err
}

// nextChunked gives content, which is never nothing unless there is an error.
func (b *answerBody) nextChunked(p []byte) (int, error) {
	for {
		got, err := b.some(p)
		if err != nil {
			return 0, b.brokenOff(err)
		}
		n, took, err := b.chunks.decode(p, p[:got])
		switch {
		case err != nil:
			return n, broken(err)
		case b.chunks.done():
			b.back.w += got - took // bytes behind the answer: the connection is not to be trusted again
			b.trailers()
			return n, io.EOF
		case n > 0:
			return n, nil
		}
	}
}

// some gives what came with the head, then what comes.
func (b *answerBody) some(p []byte) (int, error) {
	if n := copy(p, b.back.rest()); n > 0 {
		b.back.r += n
		return n, nil
	}
	return b.fill(p)
}

// brokenOff tells the end of an answer before its end from that of one which
// only its connection ends.
func (b *answerBody) brokenOff(err error) error {
	if errors.Is(err, io.EOF) && b.length != untilClose {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (b *answerBody) trailers() {
	if len(b.chunks.trailer) <= len("\r\n") {
		return
	}
	var f fields
	f.parse(b.chunks.trailer) // which chunks has checked
	if b.res.Trailer == nil {
		b.res.Trailer = http.Header{}
	}
	for name, values := range f.copied() {
		b.res.Trailer[name] = values
	}
}

func (b *answerBody) finish(err error) {
	b.end(err == io.EOF && b.reusable(b.r.Method, b.length))
	b.call, b.err = nil, err
}

// Close ends the connection of an answer that has not been read to its end.
func (b *answerBody) Close() error {
	if b.err == nil {
		b.finish(errBodyClosed)
	}
	return nil
}

// sending is a request's body on its way to the service, beside the answer. It
// may outlive the call, and so shares nothing with it but what stands here.
type sending struct {
	body   io.Reader
	length int64 // bytes, or chunked
	framed bool
	begun  bool
	whole  atomic.Bool // all of it was read
	sent   bool        // and written, once done is closed
	done   chan struct{}
	failed atomic.Bool // the client did not send it to its end
}

// carry moves the body. That the service takes no more is for its answer to
// explain; a client that breaks off ends the waiting for it.
func (s *sending) carry(f *far) {
	fail := func(*gate.Refusal) {
		s.failed.Store(true)
		f.SetReadDeadline(longAgo)
	}
	defer close(s.done)
	defer contain(fail)
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for left := s.length; ; {
		n, err := s.body.Read(buf[chunkBefore : len(buf)-chunkBehind])
		if err != nil && err != io.EOF {
			fail(nil)
			return
		}
		ended := err == io.EOF
		if s.length > 0 {
			if left -= int64(n); left < 0 || ended && left > 0 {
				fail(nil)
				return
			}
			ended = left == 0
		}
		s.whole.Store(ended)
		if err := s.pass(f, buf, n, ended); err != nil || ended {
			s.sent = err == nil
			return
		}
	}
}

// complete reports that all of the request has been sent, now that the answer has
// come. The last of it may still be on its way.
func (s *sending) complete(f *far) bool {
	if s == nil {
		return true
	}
	if !s.begun || !s.whole.Load() {
		return false
	}
	f.SetWriteDeadline(time.Now().Add(sendGrace))
	f.write.forget()
	<-s.done
	return s.sent
}

// pass writes n bytes, which lie in buf behind the room for a chunk's size.
func (s *sending) pass(to io.Writer, buf *[bodyBuffer]byte, n int, last bool) (err error) {
	content := buf[chunkBefore : chunkBefore+n]
	if n > 0 {
		if s.framed {
			content = frameChunk(buf[:], content)
		}
		_, err = to.Write(content)
	}
	if err == nil && last && s.framed {
		_, err = io.WriteString(to, "0\r\n\r\n")
	}
	return err
}
