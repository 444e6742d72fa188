package decisions

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

const (
	blockBytes = 256 << 10
	maxLine    = 1 << 20 // bytes; the longest token makes a line of some 20 KiB
	maxFaults  = 5       // lines that are named, of those that cannot be read
)

// Reader reads logs. The zero value reads on one core and tells nobody.
type Reader struct {
	Jobs     int               // goroutines that read lines; below 1 is 1
	Progress func(bytes int64) // is told how much of the sources was read, as it is stored
}

// Counts says what the lines of the logs were.
type Counts struct {
	Lines      int64
	Decisions  int64
	Other      int64   // messages that are no decisions
	Unreadable int64   // lines that are not what the gateway writes
	Truncated  int64   // sources that end within a line, or within their compressed data
	Faults     []Fault // the first of the unreadable lines
}

// Fault is a line that cannot be read.
type Fault struct {
	Source int // index of the source
	Line   int64
	Text   string
}

// Read gives every decision of the sources to visit, in the order of the log for each worker.
// visit is called by Jobs goroutines at once, each with its own number from 0. The record is
// good until visit returns. What cannot be read of a source's contents is counted; an error is
// one of opening or reading it, and names it.
func (r *Reader) Read(ctx context.Context, sources []Source, visit func(worker int, record *Record)) (Counts, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	blocks := make(chan block)
	counts := make([]Counts, max(1, r.Jobs))
	var working sync.WaitGroup
	for i := range counts {
		working.Go(func() {
			for b := range blocks {
				counts[i].read(b, func(record *Record) { visit(i, record) })
			}
		})
	}
	var sum Counts
	err := r.cut(ctx, sources, blocks, &sum)
	close(blocks)
	working.Wait()
	for i := range counts {
		sum.add(&counts[i])
	}
	return sum, err
}

// block is some lines of a source, whole ones but for the end of the source.
type block struct {
	source int
	line   int64 // number of the first
	text   string
}

// cut cuts the sources into blocks.
func (r *Reader) cut(ctx context.Context, sources []Source, blocks chan<- block, sum *Counts) error {
	var done int64
	for i, source := range sources {
		c := cutter{ctx: ctx, source: i, line: 1, blocks: blocks}
		short, err := c.open(source, func(n int) {
			if done += int64(n); r.Progress != nil {
				r.Progress(done)
			}
		})
		if short {
			sum.Truncated++
		}
		if err != nil {
			return fmt.Errorf("%s: %w", source.Name, err)
		}
	}
	return nil
}

// cutter cuts one source.
type cutter struct {
	ctx    context.Context
	source int
	line   int64
	blocks chan<- block
}

// open opens a source and cuts it. short says that its compressed data end too early.
func (c *cutter) open(source Source, progress func(bytes int)) (short bool, err error) {
	f, err := source.Open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	text, err := plainText(counted{f, progress})
	if err != nil {
		return false, err
	}
	return c.cut(text)
}

// cut sends what it reads as blocks, each up to its last line feed.
func (c *cutter) cut(text io.Reader) (short bool, err error) {
	buffer := make([]byte, 0, blockBytes)
	for {
		buffer, err = fill(buffer, text)
		whole := bytes.LastIndexByte(buffer, '\n') + 1
		if err == io.EOF {
			whole = len(buffer)
		} else if err != nil && err != io.ErrUnexpectedEOF {
			return false, err
		}
		if gone := c.send(string(buffer[:whole])); gone != nil || err != nil {
			return err == io.ErrUnexpectedEOF, gone
		}
		rest := copy(buffer, buffer[whole:])
		if rest >= maxLine {
			return false, fmt.Errorf("line %d is longer than %d KiB, which no line of the gateway's log is", c.line, maxLine>>10)
		}
		if buffer = buffer[:rest]; rest == cap(buffer) {
			buffer = append(make([]byte, 0, 2*rest), buffer...)
		}
	}
}

// fill reads until the buffer is full or nothing more comes.
func fill(buffer []byte, from io.Reader) ([]byte, error) {
	for len(buffer) < cap(buffer) {
		n, err := from.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if err != nil {
			return buffer, err
		}
	}
	return buffer, nil
}

func (c *cutter) send(text string) error {
	select {
	case c.blocks <- block{c.source, c.line, text}:
		c.line += int64(strings.Count(text, "\n"))
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// read reads the lines of a block.
func (c *Counts) read(b block, visit func(*Record)) {
	record := Record{File: b.source, Line: b.line}
	var s scanner
	for rest := b.text; rest != ""; record.Line++ {
		line, below, ended := strings.Cut(rest, "\n")
		rest = below
		if strings.TrimSpace(line) == "" {
			continue
		}
		c.Lines++
		switch err := record.parse(&s, line); {
		case err == nil:
			c.Decisions++
			visit(&record)
		case err == errOther:
			c.Other++
		case !ended:
			c.Truncated++
		default:
			c.Unreadable++
			if len(c.Faults) < maxFaults {
				c.Faults = append(c.Faults, Fault{b.source, record.Line, err.Error()})
			}
		}
	}
}

// add adds what another worker has counted.
func (c *Counts) add(o *Counts) {
	c.Lines += o.Lines
	c.Decisions += o.Decisions
	c.Other += o.Other
	c.Unreadable += o.Unreadable
	c.Truncated += o.Truncated
	c.Faults = append(c.Faults, o.Faults...)
	slices.SortFunc(c.Faults, func(x, y Fault) int {
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.Line, y.Line))
	})
	c.Faults = c.Faults[:min(len(c.Faults), maxFaults)]
}
