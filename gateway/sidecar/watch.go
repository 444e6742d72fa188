package sidecar

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/scopegate/scopegate/gateway/policy"
)

const (
	settleTime = time.Second            // between the two readings of a changed configuration
	gatherTime = 100 * time.Millisecond // for the rest of a burst of file events
	pollTime   = 15 * time.Second       // for file systems that tell nobody (NFS, subPath mounts)
)

// watcher tells when the files of the configuration may have changed. It watches folders,
// never files: editors and Kubernetes replace files, and a watch on the file would stay with
// the one that is gone.
type watcher struct {
	notify  *fsnotify.Watcher // nil when the system has no watch left; the poll remains
	folders []string
}

func (w *watcher) watch(folders []string) {
	if w.notify == nil {
		return
	}
	for _, f := range w.folders {
		if !slices.Contains(folders, f) {
			_ = w.notify.Remove(f) // gone with its folder, as a rule
		}
	}
	w.folders = w.folders[:0]
	for _, f := range folders {
		if w.notify.Add(f) == nil { // a folder that is not there yet is seen by the poll
			w.folders = append(w.folders, f)
		}
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

func (w *watcher) errors() <-chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

// Reload asks for the configuration to be read again, as SIGHUP does, and for all of it to be
// served, what was held back for widening access too. It does not wait; the
// outcome is in the log, the metrics and /policy.
func (s *Sidecar) Reload() {
	select {
	case s.asked <- struct{}{}:
	default: // one is already waiting and will see the same files
	}
}

// watch reloads until ctx ends.
func (s *Sidecar) watch(ctx context.Context) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn("no file watch, files are polled", "error", err.Error(), "every", pollTime.String())
	} else {
		defer notify.Close()
	}
	w := &watcher{notify: notify}
	s.look(ctx, w, false) // what changed between New and now
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.asked:
			s.look(ctx, w, true)
		case <-poll.C:
			s.look(ctx, w, false)
		case <-w.errors(): // an overflow lost events
			s.look(ctx, w, false)
		case <-w.events():
			if s.pause(ctx, gatherTime) != nil {
				return
			}
			for gathered := false; !gathered; {
				select {
				case <-w.events():
				default:
					gathered = true
				}
			}
			s.look(ctx, w, false)
		}
	}
}

// look reads the files again if they differ from what was last tried, or when somebody asked.
func (s *Sidecar) look(ctx context.Context, w *watcher, asked bool) {
	w.watch(s.tried.watchFolders())
	if !asked && s.tried.again().hash() == s.tried.hash() {
		return
	}
	cfg, findings, err := s.settled(ctx)
	if err != nil {
		return // asked to stop
	}
	w.watch(s.tried.watchFolders())
	s.take(ctx, cfg, findings, asked)
}

// settled loads the configuration and waits until a second reading of the same files says the
// same: a file that is half written may be a valid policy, and a weaker one.
func (s *Sidecar) settled(ctx context.Context) (*Config, policy.Findings, error) {
	for attempt := 1; ; attempt++ {
		cfg, findings, files := load(s.source)
		s.tried = files
		if err := s.pause(ctx, settleTime); err != nil {
			return nil, nil, err
		}
		if files.again().hash() == files.hash() {
			return cfg, findings, nil
		}
		if attempt%10 == 0 {
			s.log.Warn("the configuration does not come to rest", "file", s.source.File, "readings", attempt)
		}
	}
}

// again reads the files of the set once more, through folders that are resolved anew.
func (s *fileSet) again() *fileSet {
	n := newFileSet()
	for _, name := range s.inOrder {
		_, _ = n.file(name) // an error is part of what is compared
	}
	return n
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return errors.New("stopped")
	case <-t.C:
		return nil
	}
}
