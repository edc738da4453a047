package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"py-libp2p-interop/peers/internal/node"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// job is one measurement, as the flags describe it.
type job struct {
	addr, mode      string
	bytes           int64
	writeSize       int
	count, parallel int
	code            uint64
	timeout         time.Duration
}

// result is the line a client prints. Median and p99 are seconds of one ping, connect or open.
type result struct {
	Mode       string  `json:"mode"`
	Bytes      int64   `json:"bytes"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Count      int     `json:"count"`
	Median     float64 `json:"median,omitempty"`
	P99        float64 `json:"p99,omitempty"`
}

// run connects (but for mode connect, which measures just that), measures and prints.
func (j job) run(config node.Config) error {
	ctx := context.Background()
	if j.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.timeout)
		defer cancel()
	}
	info, err := peer.AddrInfoFromString(j.addr)
	if err != nil {
		return err
	}
	if j.parallel < 1 || j.count < 1 || j.writeSize < 1 {
		return fmt.Errorf("-parallel, -count and -write-size start at 1")
	}
	var h host.Host
	if j.mode != "connect" {
		if h, err = connect(ctx, config, *info); err != nil {
			return err
		}
		defer h.Close()
	}
	cpu, start := node.CPUSeconds(), time.Now()
	moved, times, err := j.measure(ctx, config, h, *info)
	if err != nil {
		return fmt.Errorf("%s: %w", j.mode, err)
	}
	out := result{Mode: j.mode, Bytes: moved, Count: max(len(times), 1)}
	out.Seconds, out.CPUSeconds = time.Since(start).Seconds(), node.CPUSeconds()-cpu
	if len(times) > 0 {
		slices.Sort(times)
		out.Median = times[len(times)/2].Seconds()
		out.P99 = times[len(times)*99/100].Seconds()
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// measure does the work of the mode: the bytes moved, and the time of each of its repeats.
func (j job) measure(
	ctx context.Context, config node.Config, h host.Host, to peer.AddrInfo,
) (int64, []time.Duration, error) {
	switch j.mode {
	case "echo", "sink", "source":
		return j.bytes, nil, j.transfer(ctx, h, to.ID)
	case "open":
		times, err := j.open(ctx, h, to.ID)
		return int64(len(times)) * int64(len(openMessage)), times, err
	case "reset":
		return 0, nil, j.reset(ctx, h, to.ID)
	case "ping":
		times, err := pings(ctx, h, to.ID, j.count)
		return 0, times, err
	case "connect":
		times, err := connects(ctx, config, to, j.count)
		return 0, times, err
	}
	return 0, nil, fmt.Errorf("unknown mode")
}

// connect starts a fresh host and connects it; go-libp2p returns once identify is complete.
func connect(ctx context.Context, config node.Config, to peer.AddrInfo) (host.Host, error) {
	h, err := config.New()
	if err != nil {
		return nil, err
	}
	if err := h.Connect(ctx, to); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// connects times connecting and identifying, each with a new host whose making is not timed.
func connects(
	ctx context.Context, config node.Config, to peer.AddrInfo, count int,
) ([]time.Duration, error) {
	var times []time.Duration
	for range count {
		h, err := config.New()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		err = h.Connect(ctx, to)
		times = append(times, time.Since(start))
		h.Close()
		if err != nil {
			return nil, err
		}
	}
	return times, nil
}

// pings measures round trips on one ping stream.
func pings(ctx context.Context, h host.Host, to peer.ID, count int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var times []time.Duration
	for got := range ping.Ping(ctx, h, to) {
		if got.Error != nil {
			return nil, got.Error
		}
		if times = append(times, got.RTT); len(times) == count {
			return times, nil
		}
	}
	return nil, ctx.Err()
}
