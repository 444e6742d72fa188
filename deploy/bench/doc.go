// Command bench measures the gateway as a whole process, beside nginx, HAProxy and Caddy where
// they are installed, and prints medians, spreads and ratios.
//
//	go run ./deploy/bench --quick
//
// It owns the workloads, the service and the issuer behind them, the load generator and the
// baselines' configurations. It knows the gateway as an operator does, by its binary, its
// files and its port, and measures the parts of no package: those have benchmarks of their
// own. Everything stays on loopback, on ports that the system chooses.
package main
