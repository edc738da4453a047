package main

import (
	"encoding/binary"
	"io"

	"py-libp2p-interop/peers/internal/payload"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	echoProtocol   protocol.ID = "/echo/1.0.0"
	sinkProtocol   protocol.ID = "/sink/1.0.0"
	sourceProtocol protocol.ID = "/source/1.0.0"
	resetProtocol  protocol.ID = "/reset/1.0.0"
)

// setHandlers installs the test protocols; ping and identify are go-libp2p's own.
func setHandlers(h host.Host) {
	h.SetStreamHandler(echoProtocol, closing(echo))
	h.SetStreamHandler(sinkProtocol, closing(sink))
	h.SetStreamHandler(sourceProtocol, closing(source))
	h.SetStreamHandler(resetProtocol, reset)
}

// closing turns a handler that may fail into one that closes its stream, or resets it.
func closing(handle func(network.Stream) error) network.StreamHandler {
	return func(s network.Stream) {
		if err := handle(s); err != nil {
			s.Reset()
			return
		}
		s.Close()
	}
}

// echo sends back what it reads, until the other side closes.
func echo(s network.Stream) error {
	_, err := payload.Copy(s, s, payload.BufferSize)
	return err
}

// sink reads to the end and answers with the number of bytes, 8 bytes big-endian.
func sink(s network.Stream) error {
	count, err := payload.Copy(io.Discard, s, payload.BufferSize)
	if err != nil {
		return err
	}
	return binary.Write(s, binary.BigEndian, uint64(count))
}

// source reads a number, 8 bytes big-endian, and sends as many bytes.
func source(s network.Stream) error {
	var count uint64
	if err := binary.Read(s, binary.BigEndian, &count); err != nil {
		return err
	}
	if err := payload.Fill(s, int64(count), payload.BufferSize); err != nil {
		return err
	}
	return s.CloseWrite()
}
