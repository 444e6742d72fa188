package attacks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Client writes frames itself, so that it can send what no library would.
type http2Client struct {
	address string
	conn    net.Conn
	framer  *http2.Framer
	stream  uint32
	out     bytes.Buffer
	encoder *hpack.Encoder
}

func (c *http2Client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *http2Client) dial() (err error) {
	if c.conn != nil {
		return nil
	}
	if c.conn, err = net.Dial("tcp", c.address); err != nil {
		return err
	}
	c.conn.SetDeadline(time.Now().Add(15 * time.Second))
	c.framer = http2.NewFramer(c.conn, c.conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.AllowIllegalWrites = true
	c.out.Reset()
	c.encoder, c.stream = hpack.NewEncoder(&c.out), 1
	if _, err = io.WriteString(c.conn, http2.ClientPreface); err != nil {
		return err
	}
	return c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
}

// block encodes fields as they are.
func (c *http2Client) block(fields [][2]string) []byte {
	c.out.Reset()
	for _, f := range fields {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true})
	}
	return c.out.Bytes()
}

// errReset says that the gateway reset the stream or ended the connection: a refusal too.
var errReset = errors.New("reset")

// send writes one request, and reads until its answer or its end. The status of a reset is 0.
func (c *http2Client) send(fields [][2]string, body string) (status int, trailers map[string]string, err error) {
	if err := c.dial(); err != nil {
		return 0, nil, err
	}
	c.conn.SetDeadline(time.Now().Add(15 * time.Second))
	id := c.stream
	c.stream += 2
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block(fields), EndHeaders: true, EndStream: body == ""}); err != nil {
		c.close()
		return 0, nil, err
	}
	if body != "" {
		if err := c.framer.WriteData(id, true, []byte(body)); err != nil {
			c.close()
			return 0, nil, err
		}
	}
	return c.read(id)
}

func (c *http2Client) read(id uint32) (status int, fields map[string]string, err error) {
	fields = map[string]string{}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			c.close()
			return status, fields, errors.Join(errReset, err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				c.close()
				return status, fields, fmt.Errorf("%w: %s", errReset, f.ErrCode)
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id && !(status != 0 && f.ErrCode == http2.ErrCodeNo) {
				return status, fields, fmt.Errorf("%w: %s", errReset, f.ErrCode)
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				for _, h := range f.Fields {
					fields[h.Name] = h.Value
				}
				if n, err := strconv.Atoi(fields[":status"]); err == nil && n >= 200 {
					status = n
				}
			}
		}
		if f.Header().StreamID == id && f.Header().Flags.Has(http2.FlagDataEndStream) && (f.Header().Type == http2.FrameHeaders || f.Header().Type == http2.FrameData) {
			return status, fields, nil
		}
	}
}

// get asks for a path; a reset is an answer like 400.
func (c *http2Client) get(path string) (int, error) {
	status, _, err := c.send([][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "attack.test"}, {":path", path}}, "")
	if errors.Is(err, errReset) {
		return 400, nil
	}
	return status, err
}
