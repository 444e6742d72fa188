package main

import (
	"errors"
	"io/fs"
	"runtime"

	"github.com/scopegate/scopegate/gateway/decisions"
)

// logFlags say which logs to read, and how.
type logFlags struct {
	Jobs  int      `placeholder:"N" help:"Goroutines that read lines; the number of processors without it."`
	Files []string `arg:"" name:"file" help:"Decision logs, as JSON lines, packed with gzip or not; - is standard input."`
}

// skippedLines are those of the logs that are no decisions.
type skippedLines struct {
	Messages   int64 `json:"messages"`
	Unreadable int64 `json:"unreadable"`
	Truncated  int64 `json:"truncated"`
}

func skippedOf(c decisions.Counts) skippedLines {
	return skippedLines{c.Other, c.Unreadable, c.Truncated}
}

// read opens the logs and shows how far it is while they are read.
func (l *logFlags) read(a *app, run func(*decisions.Reader, []decisions.Source) (decisions.Counts, error)) error {
	var sources []decisions.Source
	var total int64
	for _, file := range l.Files {
		source := decisions.File(file)
		if file == "-" {
			source = decisions.Stream("standard input", a.stdin)
		}
		total += source.Size
		sources = append(sources, source)
	}
	progress := a.progress("MiB of the log read:")
	reader := &decisions.Reader{Jobs: l.Jobs, Progress: func(bytes int64) { progress.at(bytes>>20, total>>20) }}
	if l.Jobs < 1 {
		reader.Jobs = runtime.GOMAXPROCS(0)
	}
	counts, err := run(reader, sources)
	progress.end()
	if err == nil {
		l.complain(a, &counts)
		return nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return unreadable(pathErr.Path, err)
	}
	return fail(exitUsage, err.Error(), "")
}

// complain names lines that could not be read.
func (l *logFlags) complain(a *app, counts *decisions.Counts) {
	for _, f := range counts.Faults {
		a.errorf("%s:%d: not a line of the decision log: %s\n", l.Files[f.Source], f.Line, f.Text)
	}
	if more := counts.Unreadable - int64(len(counts.Faults)); more > 0 {
		a.errorf("and %s more that cannot be read\n", count(int(more), "line"))
	}
}
