package main

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// streamsTo makes a client of gRPC calls whose peer is served by serve.
func streamsTo(t *testing.T, slots int, serve func(net.Conn)) *client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := listener.Accept(); err == nil {
			serve(conn)
		}
	}()
	j := &job{Address: listener.Addr().String(), Status: 200, GRPC: true, Streams: slots}
	clients, err := j.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hangUp(clients)
		<-served
	})
	return clients[0]
}

func TestCallsSideBySide(t *testing.T) {
	c := streamsTo(t, 8, answer)
	from := &source{tokens: []string{"a", "b"}, paths: 1, limit: 1000}
	c.closedLoop(from, time.Now().Add(patience))
	if c.fault != nil || len(c.took) != 1000 {
		t.Fatalf("%d calls were answered, want 1000: %v", len(c.took), c.fault)
	}
	for slot, started := range c.started {
		if started.IsZero() {
			t.Errorf("slot %d had no call", slot)
		}
	}
	if !c.exchange(time.Now(), "a", 0) || len(c.took) != 1001 {
		t.Errorf("a single call after that: %v", c.fault)
	}
}

func TestWrongCallsAreFaults(t *testing.T) {
	head := func(f *frames, id uint32, end bool, fields ...string) {
		f.fields(fields...)
		f.head(id, end)
	}
	for name, tc := range map[string]struct {
		answer func(f *frames, id uint32)
		want   string
	}{
		"another status": {func(f *frames, id uint32) {
			head(f, id, true, ":status", "502")
		}, "status 502"},
		"a refusal in the trailers": {func(f *frames, id uint32) {
			head(f, id, false, ":status", "200")
			f.WriteData(id, false, grpcMessage)
			head(f, id, true, "grpc-status", "7")
		}, `gRPC status "7"`},
		"a message that is cut short": {func(f *frames, id uint32) {
			head(f, id, false, ":status", "200")
			f.WriteData(id, false, grpcMessage[:50])
			head(f, id, true, "grpc-status", "0")
		}, "with 50 bytes"},
		"no trailers": {func(f *frames, id uint32) {
			head(f, id, false, ":status", "200")
			f.WriteData(id, true, grpcMessage)
		}, `gRPC status ""`},
		"a reset":          {func(f *frames, id uint32) { f.WriteRSTStream(id, http2.ErrCodeCancel) }, "reset: CANCEL"},
		"a farewell":       {func(f *frames, id uint32) { f.WriteGoAway(id, http2.ErrCodeNo, nil) }, "goes away"},
		"another's answer": {func(f *frames, id uint32) { head(f, id+2, true, ":status", "200") }, "nothing is under way"},
		"no answer at all": {func(*frames, uint32) {}, "EOF"},
	} {
		c := streamsTo(t, 1, func(conn net.Conn) {
			defer conn.Close()
			in := bufio.NewReader(conn)
			in.Discard(len(http2.ClientPreface))
			f := newFrames(conn, in)
			f.open(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			for {
				frame, err := f.next()
				if err != nil {
					return
				}
				if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
					tc.answer(f, data.StreamID)
					f.out.Flush()
					return
				}
			}
		})
		if c.exchange(time.Now(), "a", 0) || c.wrong != 1 || len(c.took) != 0 || !strings.Contains(c.fault.Error(), tc.want) {
			t.Errorf("%s: %d answers, fault %v, want %q", name, len(c.took), c.fault, tc.want)
		}
	}
}
