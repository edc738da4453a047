package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"py-libp2p-interop/peers/internal/payload"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

var openMessage = bytes.Repeat([]byte{42}, 32)

// open times j.count streams: open, echo one message, close; j.parallel of them at once.
func (j job) open(ctx context.Context, h host.Host, to peer.ID) ([]time.Duration, error) {
	times := make([]time.Duration, j.count)
	next := make(chan int, j.count)
	for i := range j.count {
		next <- i
	}
	close(next)
	return times, payload.AtOnce(j.parallel, func(int) error {
		for i := range next {
			start := time.Now()
			if err := withStream(ctx, h, to, echoProtocol, exchange); err != nil {
				return err
			}
			times[i] = time.Since(start)
		}
		return nil
	})
}

// exchange sends one small message and reads it back.
func exchange(s network.Stream) error {
	if _, err := s.Write(openMessage); err != nil {
		return err
	}
	got := make([]byte, len(openMessage))
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if !bytes.Equal(got, openMessage) {
		return fmt.Errorf("other bytes came back")
	}
	return nil
}
