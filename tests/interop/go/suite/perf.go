package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/redis/go-redis/v9"
)

const perfProtocol = "/perf/1.0.0"

// perf measures upload, download and latency. Its listener's address is a string.
type perf struct{}

func (perf) publish(ctx context.Context, db *redis.Client, key, addr string) error {
	return db.Set(ctx, key, addr, 0).Err()
}

func (perf) find(ctx context.Context, db *redis.Client, key string) (string, error) {
	for {
		addr, err := db.Get(ctx, key).Result()
		if !errors.Is(err, redis.Nil) {
			return addr, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// serve reads how much the other side wants, then to its end, and sends that much.
func (perf) serve(h host.Host) {
	h.SetStreamHandler(perfProtocol, func(s network.Stream) {
		var wanted uint64
		err := binary.Read(s, binary.BigEndian, &wanted)
		if err == nil {
			_, err = io.Copy(io.Discard, s)
		}
		if err == nil {
			err = send(s, int64(wanted))
		}
		if err != nil {
			s.Reset()
			return
		}
		s.Close()
	})
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func send(s network.Stream, count int64) error {
	_, err := io.CopyBuffer(s, io.LimitReader(zeros{}, count), make([]byte, 1<<16))
	return err
}

// exchange uploads and downloads once; the time includes the opening of the stream.
func exchange(
	ctx context.Context, h host.Host, to peer.ID, upload, download int,
) (time.Duration, error) {
	start := time.Now()
	s, err := h.NewStream(ctx, to, perfProtocol)
	if err != nil {
		return 0, err
	}
	defer s.Reset()
	if err := binary.Write(s, binary.BigEndian, uint64(download)); err != nil {
		return 0, err
	}
	if err := send(s, int64(upload)); err != nil {
		return 0, err
	}
	if err := s.CloseWrite(); err != nil {
		return 0, err
	}
	got, err := io.Copy(io.Discard, s)
	if err == nil && got != int64(download) {
		err = fmt.Errorf("asked for %d bytes, got %d", download, got)
	}
	return time.Since(start), err
}

func (perf) measure(ctx context.Context, h host.Host, to peer.AddrInfo) error {
	if err := h.Connect(ctx, to); err != nil {
		return err
	}
	upload, err1 := number("UPLOAD_BYTES")
	download, err2 := number("DOWNLOAD_BYTES")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	gbps := func(bytes int) func(time.Duration) float64 {
		return func(d time.Duration) float64 { return float64(bytes) * 8e-9 / d.Seconds() }
	}
	for _, part := range []struct {
		name, iterations, unit string
		upload, download       int
		value                  func(time.Duration) float64
	}{
		{"upload", "UPLOAD_ITERATIONS", "Gbps", upload, 0, gbps(upload)},
		{"download", "DOWNLOAD_ITERATIONS", "Gbps", 0, download, gbps(download)},
		{"latency", "LATENCY_ITERATIONS", "ms", 1, 1, milliseconds},
	} {
		count, err := number(part.iterations)
		if err != nil {
			return err
		}
		samples := make([]float64, count)
		for i := range samples {
			took, err := exchange(ctx, h, to.ID, part.upload, part.download)
			if err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			samples[i] = part.value(took)
		}
		report(part.name, samples, part.unit)
	}
	return nil
}

// report prints what a box plot of the samples shows.
func report(name string, samples []float64, unit string) {
	slices.Sort(samples)
	q1, median, q3 := quantile(samples, 0.25), quantile(samples, 0.5), quantile(samples, 0.75)
	var inner, outer []float64
	for _, each := range samples {
		if reach := 1.5 * (q3 - q1); each < q1-reach || each > q3+reach {
			outer = append(outer, each)
		} else {
			inner = append(inner, each)
		}
	}
	fmt.Printf("%s:\n  iterations: %d\n  min: %.3f\n  q1: %.3f\n  median: %.3f\n  q3: %.3f\n  max: %.3f\n",
		name, len(samples), inner[0], q1, median, q3, inner[len(inner)-1])
	fmt.Printf("  outliers: [%s]\n  samples: [%s]\n  unit: %s\n", list(outer), list(samples), unit)
}

// quantile interpolates between the two nearest of the sorted samples.
func quantile(sorted []float64, share float64) float64 {
	place := share * float64(len(sorted)-1)
	below := int(place)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (sorted[above]-sorted[below])*(place-float64(below))
}

func list(numbers []float64) string {
	texts := make([]string, len(numbers))
	for i, each := range numbers {
		texts[i] = fmt.Sprintf("%.3f", each)
	}
	return strings.Join(texts, ", ")
}
