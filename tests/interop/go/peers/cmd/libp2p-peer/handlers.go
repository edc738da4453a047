package main

import (
	"encoding/binary"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	echoProtocol   protocol.ID = "/echo/1.0.0"
	sinkProtocol   protocol.ID = "/sink/1.0.0"
	sourceProtocol protocol.ID = "/source/1.0.0"

	bufferSize = 65536
)

// setHandlers installs the test protocols; ping and identify are go-libp2p's own.
func setHandlers(h host.Host) {
	h.SetStreamHandler(echoProtocol, closing(echo))
	h.SetStreamHandler(sinkProtocol, closing(sink))
	h.SetStreamHandler(sourceProtocol, closing(source))
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
	_, err := io.CopyBuffer(onlyWriter{s}, s, make([]byte, bufferSize))
	return err
}

// sink reads to the end and answers with the number of bytes, 8 bytes big-endian.
func sink(s network.Stream) error {
	count, err := drain(s, bufferSize)
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
	if err := fill(s, int64(count), bufferSize); err != nil {
		return err
	}
	return s.CloseWrite()
}

// drain reads s to its end and counts.
func drain(s io.Reader, size int) (int64, error) {
	return io.CopyBuffer(onlyWriter{io.Discard}, s, make([]byte, size))
}

// fill writes count bytes of a fixed pattern, size bytes at a time.
func fill(s io.Writer, count int64, size int) error {
	buffer := pattern(size)
	for count > 0 {
		n := min(count, int64(size))
		if _, err := s.Write(buffer[:n]); err != nil {
			return err
		}
		count -= n
	}
	return nil
}

// pattern is a buffer whose bytes differ from their neighbours, so that shifts show.
func pattern(size int) []byte {
	buffer := make([]byte, size)
	for i := range buffer {
		buffer[i] = byte(i*7 + i>>8)
	}
	return buffer
}

// onlyWriter hides ReadFrom, so that io.CopyBuffer really uses the buffer it is given.
type onlyWriter struct{ io.Writer }
