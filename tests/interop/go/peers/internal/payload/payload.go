// Package payload makes, moves and checks the bytes that the peers send each other.
package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// BufferSize is the size of one write and of one read, where nothing else is asked for.
const BufferSize = 65536

// Stream is what both go-libp2p's and go-yamux's streams can do.
type Stream interface {
	io.ReadWriter
	CloseWrite() error
}

// Fill writes count bytes of a fixed pattern, size bytes at a time.
func Fill(s io.Writer, count int64, size int) error {
	buffer := Pattern(size)
	for count > 0 {
		n := min(count, int64(size))
		if _, err := s.Write(buffer[:n]); err != nil {
			return err
		}
		count -= n
	}
	return nil
}

// Pattern is a buffer whose bytes differ from their neighbours, so that shifts show.
func Pattern(size int) []byte {
	buffer := make([]byte, size)
	for i := range buffer {
		buffer[i] = byte(i*7 + i>>8)
	}
	return buffer
}

// Copy moves all of from to to, size bytes at a time, and counts.
func Copy(to io.Writer, from io.Reader, size int) (int64, error) {
	return io.CopyBuffer(onlyWriter{to}, from, make([]byte, size))
}

// Echoed sends count bytes while it checks that the same ones come back, and nothing after.
func Echoed(s Stream, count int64, size int) error {
	sent := make(chan error, 1)
	go func() {
		if err := Fill(s, count, size); err != nil {
			sent <- err
			return
		}
		sent <- s.CloseWrite()
	}()
	want, got := Pattern(size), make([]byte, size)
	for left := count; left > 0; {
		n := min(left, int64(size))
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

// AtOnce runs work n times side by side and returns what errors there were.
func AtOnce(n int, work func(int) error) error {
	faults := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { faults[i] = work(i) })
	}
	all.Wait()
	return errors.Join(faults...)
}

// onlyWriter hides ReadFrom, so that io.CopyBuffer really uses the buffer it is given.
type onlyWriter struct{ io.Writer }
