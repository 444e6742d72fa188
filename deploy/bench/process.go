package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// roleVariable makes a copy of this program play one of the other parts.
const roleVariable = "SCOPEGATE_BENCH_ROLE"

// play plays a part and tells whether there was one to play.
func play(role string) bool {
	var err error
	switch role {
	case "":
		return false
	case "service":
		err = answerAll(os.Stdin, os.Stdout)
	case "load":
		err = loadOnce(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("there is no role %q", role)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", role, err)
		os.Exit(1)
	}
	return true
}

// pinning says which processors the proxy has, and which everything else. Empty lists: the
// machine has too few, or no taskset.
type pinning struct{ proxy, others string }

// pin gives the last processor that this process may use to the proxy, and moves this
// process to the rest: it reads the gateway's log, and must not do so at the proxy's cost.
func pin() pinning {
	cpus := allowed()
	if _, err := exec.LookPath("taskset"); err != nil || len(cpus) < 2 {
		return pinning{}
	}
	last := len(cpus) - 1
	p := pinning{proxy: strconv.Itoa(cpus[last])}
	for i, cpu := range cpus[:last] {
		if i > 0 {
			p.others += ","
		}
		p.others += strconv.Itoa(cpu)
	}
	if exec.Command("taskset", "-a", "-c", "-p", p.others, strconv.Itoa(os.Getpid())).Run() != nil {
		return pinning{}
	}
	return p
}

func (p pinning) String() string {
	if p.proxy == "" {
		return "not pinned"
	}
	return fmt.Sprintf("proxy on processor %s, load and service on %s", p.proxy, p.others)
}

// pinned makes a command that runs on the given processors, and is killed when ctx ends.
// taskset replaces itself, so that the process id is the command's.
func pinned(ctx context.Context, cpus string, argv ...string) *exec.Cmd {
	if cpus != "" {
		argv = append([]string{"taskset", "-c", cpus}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// copyOfSelf makes a command that runs this program in another role.
func copyOfSelf(ctx context.Context, cpus, role string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := pinned(ctx, cpus, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// allowed lists the processors that this process may use, as far as the system says.
func allowed() []int {
	var cpus []int
	for part := range strings.SplitSeq(statusLine(os.Getpid(), "Cpus_allowed_list"), ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			return nil
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil {
				return nil
			}
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// cpuTime is the time that a process has spent on processors, in user and in system mode.
// It is the sum over the threads of the scheduler's own account, in nanoseconds (none of
// the proxies ends threads while it serves); where the kernel keeps none, the same time in
// coarse steps.
func cpuTime(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return cpuTicks(pid)
	}
	var sum time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", thread, err)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// cpuTicks is cpuTime as /proc/PID/stat has it (proc(5), fields 14 and 15).
func cpuTicks(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The second field is a file name in parentheses, which may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// resident is the memory of a process that is in RAM, in KiB.
func resident(pid int) (int, error) {
	number, _, _ := strings.Cut(statusLine(pid, "VmRSS"), " ")
	kib, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("resident memory of process %d: %w", pid, err)
	}
	return kib, nil
}

// statusLine is the value of a line of /proc/PID/status, or "".
func statusLine(pid int, name string) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return ""
	}
	return valueOf(string(text), name)
}

// valueOf finds "name: value" in lines.
func valueOf(lines, name string) string {
	for line := range strings.Lines(lines) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Machine is where the figures come from.
type Machine struct {
	Processor  string  `json:"processor"`
	Processors int     `json:"processors"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	Pinning    string  `json:"pinning"`
	Load       float64 `json:"load"` // runnable processes before the run (proc_loadavg(5)); others use this machine
}

func thisMachine(p pinning) Machine {
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	average, _ := os.ReadFile("/proc/loadavg")
	m := Machine{
		Processor:  valueOf(string(cpuinfo), "model name"),
		Processors: runtime.NumCPU(),
		Kernel:     strings.TrimSpace(string(kernel)),
		Go:         runtime.Version(),
		Pinning:    p.String(),
	}
	first, _, _ := strings.Cut(string(average), " ")
	m.Load, _ = strconv.ParseFloat(first, 64)
	if m.Processor == "" {
		m.Processor = runtime.GOARCH
	}
	return m
}
