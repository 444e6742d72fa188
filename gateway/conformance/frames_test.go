package conformance_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an HTTP/2 client that sends what a test says, right or wrong.
type frames struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	enc      *hpack.Encoder
	block    bytes.Buffer
	settings map[http2.SettingID]uint32
}

// openFrames connects in clear text and exchanges settings.
func (r *rig) openFrames(t *testing.T, own ...http2.Setting) *frames {
	t.Helper()
	f := &frames{t: t, conn: r.wire(t), settings: map[http2.SettingID]uint32{}}
	f.Framer = http2.NewFramer(f.conn, f.conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.enc = hpack.NewEncoder(&f.block)
	send(t, f.conn, http2.ClientPreface)
	f.must(f.WriteSettings(own...))
	for {
		if s, ok := f.next().(*http2.SettingsFrame); ok && !s.IsAck() {
			s.ForeachSetting(func(s http2.Setting) error {
				f.settings[s.ID] = s.Val
				return nil
			})
			f.must(f.WriteSettingsAck())
			return f
		}
	}
}

func (f *frames) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// head sends a HEADERS frame; fields alternate between name and value.
func (f *frames) head(stream uint32, end bool, fields ...string) {
	f.t.Helper()
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: written().Replace(fields[i+1])})
	}
	f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true}))
}

// next reads a frame; nil is the end of the connection.
func (f *frames) next() http2.Frame {
	f.t.Helper()
	frame, err := f.ReadFrame()
	if err == io.EOF {
		return nil
	}
	if _, ok := err.(http2.StreamError); !ok && err != nil {
		if _, lost := err.(*net.OpError); lost {
			return nil
		}
		f.t.Fatal(err)
	}
	return frame
}

// streamEnd is what became of one stream.
type streamEnd struct {
	heads []map[string]string // the head, then the trailers
	body  string
	ended bool
	reset *http2.ErrCode
	away  bool // a GOAWAY came meanwhile
}

// await reads until the stream ends, or until says that it has seen enough.
func (f *frames) await(stream uint32, until func(*streamEnd) bool) *streamEnd {
	f.t.Helper()
	s := &streamEnd{}
	for !s.ended && s.reset == nil && (until == nil || !until(s)) {
		switch frame := f.next().(type) {
		case nil:
			return s
		case *http2.MetaHeadersFrame:
			if frame.StreamID != stream {
				continue
			}
			h := map[string]string{}
			for _, field := range frame.Fields {
				h[field.Name] = field.Value
			}
			s.heads, s.ended = append(s.heads, h), frame.StreamEnded()
		case *http2.DataFrame:
			if frame.StreamID == stream {
				s.body += string(frame.Data())
				s.ended = frame.StreamEnded()
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				code := frame.ErrCode
				s.reset = &code
			}
		case *http2.GoAwayFrame:
			s.away = true
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.must(f.WritePing(true, frame.Data))
			}
		}
	}
	return s
}
