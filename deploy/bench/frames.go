package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is either end of an HTTP/2 connection, as much of it as two ends need that know
// each other: what one goroutine writes leaves when there is nothing more to read. Neither
// end minds the window for what it sends, since all that is under way is less than the
// smallest first window.
type frames struct {
	*http2.Framer
	in       *bufio.Reader
	out      *bufio.Writer
	block    bytes.Buffer
	enc      *hpack.Encoder
	received uint32 // bytes of DATA for which the peer's window was not opened again
}

// window is what a peer may send, on a stream and on the connection: nobody waits for more.
// A connection begins with firstWindow (RFC 9113 section 6.9.2).
const (
	window      = 1 << 30
	firstWindow = 1<<16 - 1
)

func newFrames(conn net.Conn, in *bufio.Reader) *frames {
	f := &frames{in: in, out: bufio.NewWriterSize(conn, 16<<10)}
	f.Framer = http2.NewFramer(f.out, in)
	f.SetReuseFrames()
	f.enc = hpack.NewEncoder(&f.block)
	return f
}

// open writes what both ends begin with, and one setting of their own. What fails to be
// written is an error of next.
func (f *frames) open(own http2.Setting) {
	f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}, own)
	f.WriteWindowUpdate(0, window-firstWindow)
}

// fields adds names and values, in turn, to the head that is written next.
func (f *frames) fields(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
}

// head writes the fields so far as a HEADERS frame, in which they fit.
func (f *frames) head(stream uint32, end bool) error {
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true})
	f.block.Reset()
	return err
}

// next reads the next frame that is about a stream, and does what the others ask for.
func (f *frames) next() (http2.Frame, error) {
	for {
		if f.in.Buffered() == 0 {
			if err := f.out.Flush(); err != nil {
				return nil, err
			}
		}
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if frame.IsAck() {
				continue
			}
			if size, ok := frame.Value(http2.SettingHeaderTableSize); ok {
				f.enc.SetMaxDynamicTableSizeLimit(size)
			}
			f.WriteSettingsAck()
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.WritePing(true, frame.Data)
			}
		case *http2.GoAwayFrame:
			return nil, fmt.Errorf("the peer goes away: %s", frame.ErrCode)
		case *http2.HeadersFrame:
			if !frame.HeadersEnded() {
				return nil, errors.New("a head in several frames, which nobody here sends")
			}
			return frame, nil
		case *http2.DataFrame:
			if f.received += frame.Length; f.received > window/2 {
				f.WriteWindowUpdate(0, f.received)
				f.received = 0
			}
			return frame, nil
		case *http2.RSTStreamFrame:
			return frame, nil
		}
	}
}
