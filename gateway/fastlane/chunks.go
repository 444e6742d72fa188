package fastlane

import "github.com/scopegate/scopegate/gateway/gate"

const (
	// mostExtension bounds the chunk extensions of one body, in bytes: whoever
	// writes them can make a reader read without end (CVE-2023-39326).
	mostExtension = 16 << 10
	// mostTrailer bounds a trailer section, in bytes.
	mostTrailer = 8 << 10
	// mostDigits bounds a chunk size: 2^60 bytes.
	mostDigits = 15
)

// errChunk is chunked framing that is not exactly as RFC 9112 section 7.1 has it.
var errChunk = gate.ErrMalformed

// The places within chunked framing.
const (
	chunkSize = iota
	chunkExtension
	chunkSizeEnd // LF is due
	chunkData
	chunkDataCR // CR is due
	chunkDataLF
	chunkTrailer
	chunkDone
)

// chunks undoes chunked framing, in pieces as they come. The zero value is at
// the beginning of a body.
//
// A size is plain hex digits. After it comes CRLF or an extension, which is
// dropped and must not hold a control: a bare LF in it ends the line for some
// readers (CVE-2025-55315 and its kin). The trailer section is kept as bytes.
type chunks struct {
	at        int
	digits    int
	left      int64
	extension int
	trailer   []byte
}

func (c *chunks) reset() { *c = chunks{trailer: c.trailer[:0]} }

// done reports that the last byte of the body's framing was read.
func (c *chunks) done() bool { return c.at == chunkDone }

// decode takes framing from src and puts content into dst, which may begin
// where src does. It returns the content's length and how much of src it took:
// all of it, unless the body ended before.
func (c *chunks) decode(dst, src []byte) (n, took int, err error) {
	for took < len(src) && c.at != chunkDone {
		if c.at == chunkData {
			m := copy(dst[n:], src[took:took+int(min(c.left, int64(len(src)-took)))])
			n, took = n+m, took+m
			if c.left -= int64(m); c.left == 0 {
				c.at = chunkDataCR
			}
			continue
		}
		if err := c.step(src[took]); err != nil {
			return n, took, err
		}
		took++
	}
	return n, took, nil
}

// step takes one byte of framing.
func (c *chunks) step(b byte) error {
	switch c.at {
	case chunkSize:
		return c.size(b)
	case chunkExtension:
		if c.extension++; c.extension > mostExtension {
			return errChunk
		}
		if b == '\r' {
			c.at = chunkSizeEnd
		} else if b < ' ' && b != '\t' || b == 0x7f {
			return errChunk
		}
		return nil
	case chunkSizeEnd:
		c.at = chunkData
		if c.left == 0 {
			c.at = chunkTrailer
		}
		c.digits = 0
		return due(b, '\n')
	case chunkDataCR:
		c.at = chunkDataLF
		return due(b, '\r')
	case chunkDataLF:
		c.at = chunkSize
		return due(b, '\n')
	default:
		return c.trail(b)
	}
}

func due(b, want byte) error {
	if b != want {
		return errChunk
	}
	return nil
}

func (c *chunks) size(b byte) error {
	digit := int64(-1)
	switch {
	case b >= '0' && b <= '9':
		digit = int64(b - '0')
	case b >= 'a' && b <= 'f':
		digit = int64(b-'a') + 10
	case b >= 'A' && b <= 'F':
		digit = int64(b-'A') + 10
	case c.digits > 0 && b == ';':
		c.at = chunkExtension
		return nil
	case c.digits > 0 && b == '\r':
		c.at = chunkSizeEnd
		return nil
	}
	if digit < 0 || c.digits == mostDigits {
		return errChunk
	}
	if c.digits == 0 {
		c.left = 0
	}
	c.digits++
	c.left = c.left<<4 | digit
	return nil
}

// trail collects the trailer section up to its empty line.
func (c *chunks) trail(b byte) error {
	if len(c.trailer) == mostTrailer {
		return gate.ErrBigHead
	}
	c.trailer = append(c.trailer, b)
	n := len(c.trailer)
	if b != '\n' {
		return nil
	}
	if n < 2 || c.trailer[n-2] != '\r' {
		return errChunk
	}
	if n == 2 || n >= 4 && c.trailer[n-3] == '\n' {
		c.at = chunkDone
		var f fields
		return f.parse(c.trailer) // checked even where nobody wants it
	}
	return nil
}
