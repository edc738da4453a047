package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// reset reads a code, 4 bytes big-endian, and resets the stream with it. If that is 0 it answers
// with one byte, waits for the other side's reset and prints the code that came with it.
func reset(s network.Stream) {
	var code uint32
	if err := binary.Read(s, binary.BigEndian, &code); err != nil {
		s.Reset()
		return
	}
	if code != 0 {
		s.ResetWithError(network.StreamErrorCode(code))
		return
	}
	_, err := s.Write([]byte{0})
	if err == nil {
		_, err = io.Copy(io.Discard, s)
	}
	var cause *network.StreamError
	if errors.As(err, &cause) && cause.Remote {
		fmt.Println("reset", uint32(cause.ErrorCode))
		return
	}
	fmt.Println("no reset:", err)
	s.Reset()
}

// reset lets the other side wait for a reset, which comes with j.code.
func (j job) reset(ctx context.Context, h host.Host, to peer.ID) error {
	s, err := h.NewStream(ctx, to, resetProtocol)
	if err != nil {
		return err
	}
	if _, err := s.Write(make([]byte, 4)); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		return err
	}
	if err := s.ResetWithError(network.StreamErrorCode(j.code)); err != nil {
		return err
	}
	// Closing the connection at once could overtake the reset; an answer comes after it.
	return withStream(ctx, h, to, echoProtocol, exchange)
}
