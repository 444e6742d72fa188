package proxy

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
)

// blocked is a client's body of which nothing comes.
type blocked struct {
	asked  bool
	closed chan struct{}
}

func (b *blocked) Read([]byte) (int, error) {
	b.asked = true
	<-b.closed
	return 0, errors.New("closed while it was read")
}

func (b *blocked) Close() error { close(b.closed); return nil }

// A read that the end of the exchange ends is not the client's fault: the record
// would blame the client for what the service did.
func TestClosingTheBodyBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &inbound{ReadCloser: &blocked{closed: make(chan struct{})}, watch: new(watch), length: -1}
		go b.Read(make([]byte, 1))
		synctest.Wait()
		b.Close()
		synctest.Wait()
		if f := b.fault(); f != nil {
			t.Error(f)
		}
	})
}

// Over HTTP/2 a body may still be on its way to a service that has broken off when the refusal is
// written; net/http's body is for one reader.
func TestARefusalDoesNotReadWhatIsBeingCarried(t *testing.T) {
	body := &blocked{closed: make(chan struct{})}
	e := &exchange{ctx: t.Context(), body: &inbound{ReadCloser: body, watch: new(watch), length: 10}}
	e.r = &http.Request{ProtoMajor: 2, ContentLength: 10, Header: http.Header{}}
	e.body.begun.Store(true)
	e.drainSmallBody()
	if body.asked {
		t.Error("it was read")
	}
}
