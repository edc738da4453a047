package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// transfer moves j.bytes over j.parallel streams of the mode's protocol.
func (j job) transfer(ctx context.Context, h host.Host, to peer.ID) error {
	shares := make([]int64, j.parallel)
	for i := range shares {
		shares[i] = j.bytes / int64(j.parallel)
	}
	shares[0] += j.bytes % int64(j.parallel)
	return atOnce(j.parallel, func(i int) error {
		switch j.mode {
		case "sink":
			return withStream(ctx, h, to, sinkProtocol, j.upload(shares[i]))
		case "source":
			return withStream(ctx, h, to, sourceProtocol, j.download(shares[i]))
		}
		return withStream(ctx, h, to, echoProtocol, j.echo(shares[i]))
	})
}

// upload sends count bytes and waits for the sink to confirm the number.
func (j job) upload(count int64) func(network.Stream) error {
	return func(s network.Stream) error {
		if err := fill(s, count, j.writeSize); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		var got uint64
		if err := binary.Read(s, binary.BigEndian, &got); err != nil {
			return err
		}
		if int64(got) != count {
			return fmt.Errorf("sent %d bytes, the sink counted %d", count, got)
		}
		return nil
	}
}

// download asks the source for count bytes and reads to the end.
func (j job) download(count int64) func(network.Stream) error {
	return func(s network.Stream) error {
		if err := binary.Write(s, binary.BigEndian, uint64(count)); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		got, err := drain(s, j.writeSize)
		if err == nil && got != count {
			err = fmt.Errorf("asked for %d bytes, got %d", count, got)
		}
		return err
	}
}

// echo sends count bytes while it checks that the same ones come back, and nothing after.
func (j job) echo(count int64) func(network.Stream) error {
	return func(s network.Stream) error {
		sent := make(chan error, 1)
		go func() {
			if err := fill(s, count, j.writeSize); err != nil {
				sent <- err
				return
			}
			sent <- s.CloseWrite()
		}()
		want, got := pattern(j.writeSize), make([]byte, j.writeSize)
		for left := count; left > 0; {
			n := min(left, int64(j.writeSize))
			if _, err := io.ReadFull(s, got[:n]); err != nil {
				return fmt.Errorf("%d bytes before the end: %w", left, err)
			}
			if !bytes.Equal(got[:n], want[:n]) {
				return fmt.Errorf("%d bytes before the end: other bytes came back", left)
			}
			left -= n
		}
		if n, err := s.Read(got[:1]); n != 0 || err != io.EOF {
			return fmt.Errorf("no end after the echo: %d bytes, %v", n, err)
		}
		return <-sent
	}
}

// withStream opens a stream, uses it and closes it, or resets it after an error.
func withStream(
	ctx context.Context, h host.Host, to peer.ID, p protocol.ID, use func(network.Stream) error,
) error {
	s, err := h.NewStream(ctx, to, p)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	if err := use(s); err != nil {
		s.Reset()
		return err
	}
	return s.Close()
}

// atOnce runs work n times side by side and returns what errors there were.
func atOnce(n int, work func(int) error) error {
	faults := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { faults[i] = work(i) })
	}
	all.Wait()
	return errors.Join(faults...)
}
