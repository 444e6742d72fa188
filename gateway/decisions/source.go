package decisions

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
)

// Source is one log to read. Name stands in messages; Open is called once.
type Source struct {
	Name string
	Open func() (io.ReadCloser, error)
	Size int64 // bytes as stored, for the progress; 0: unknown
}

// File is a log in a file, compressed with gzip or not: its first bytes tell.
func File(name string) Source {
	s := Source{Name: name, Open: func() (io.ReadCloser, error) { return os.Open(name) }}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		s.Size = info.Size()
	}
	return s
}

// Stream is a log that comes from somewhere else, such as standard input.
func Stream(name string, r io.Reader) Source {
	return Source{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// counted says how many bytes are read.
type counted struct {
	io.Reader
	tell func(bytes int)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.tell(n)
	return n, err
}

// plainText unpacks what is packed (RFC 1952), which its first two bytes tell.
func plainText(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := b.Peek(2); string(magic) != "\x1f\x8b" {
		return b, nil
	}
	unpacked, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("begins as gzip does, and is none: %w", err)
	}
	return unpacked, nil
}
