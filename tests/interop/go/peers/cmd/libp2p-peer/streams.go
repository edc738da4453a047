package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"py-libp2p-interop/peers/internal/payload"

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
	return payload.AtOnce(j.parallel, func(i int) error {
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
		if err := payload.Fill(s, count, j.writeSize); err != nil {
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
		got, err := payload.Copy(io.Discard, s, j.writeSize)
		if err == nil && got != count {
			err = fmt.Errorf("asked for %d bytes, got %d", count, got)
		}
		return err
	}
}

// echo sends count bytes and checks what comes back.
func (j job) echo(count int64) func(network.Stream) error {
	return func(s network.Stream) error { return payload.Echoed(s, count, j.writeSize) }
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
