package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"py-libp2p-interop/peers/internal/payload"

	"github.com/libp2p/go-yamux/v5"
)

// outcome is how an act, or the session, ended.
type outcome struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Error  string `json:"error"`
	Code   uint32 `json:"code"`
	Remote bool   `json:"remote"`
}

// acts are what one side of a stream can do. Each gets the number that it was asked for and
// returns how many bytes it moved.
var acts = map[string]func(*yamux.Stream, int64) (outcome, error){
	"echo": func(s *yamux.Stream, _ int64) (outcome, error) {
		n, err := payload.Copy(s, s, payload.BufferSize)
		return outcome{Bytes: n}, errors.Join(err, s.CloseWrite())
	},
	// sink closes its own direction first, then reads to the end.
	"sink": func(s *yamux.Stream, _ int64) (outcome, error) {
		if err := s.CloseWrite(); err != nil {
			return outcome{}, err
		}
		hash := sha256.New()
		n, err := payload.Copy(hash, s, payload.BufferSize)
		return outcome{Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
	},
	// source reads to the end first, then sends so many bytes.
	"source": func(s *yamux.Stream, bytes int64) (outcome, error) {
		if _, err := io.Copy(io.Discard, s); err != nil {
			return outcome{}, err
		}
		err := payload.Fill(s, bytes, payload.BufferSize)
		return outcome{Bytes: bytes}, errors.Join(err, s.CloseWrite())
	},
	// flood writes until it is not allowed to any more.
	"flood": func(s *yamux.Stream, _ int64) (outcome, error) {
		buffer := payload.Pattern(payload.BufferSize)
		var done outcome
		for {
			n, err := s.Write(buffer)
			done.Bytes += int64(n)
			if err != nil {
				return done, err
			}
		}
	},
	// hold neither reads nor writes; the command "reset" ends it.
	"hold": func(*yamux.Stream, int64) (outcome, error) { return outcome{}, nil },
}

// serve plays what the other side, who opened the stream, asks for: the number, 8 bytes
// big-endian, the length of the act's name, 1 byte, and the name.
func (t *track) serve() {
	var head struct {
		Number int64
		Length uint8
	}
	if err := binary.Read(t.stream, binary.BigEndian, &head); err != nil {
		t.finish(outcome{}, err)
		return
	}
	name := make([]byte, head.Length)
	if _, err := io.ReadFull(t.stream, name); err != nil {
		t.finish(outcome{}, err)
		return
	}
	t.play(string(name), head.Number)
}

func (t *track) play(name string, number int64) {
	act := acts[name]
	if act == nil {
		t.finish(outcome{}, fmt.Errorf("unknown act %q", name))
		return
	}
	t.finish(act(t.stream, number))
}

// finish tells how the act ended; what failed leaves nothing open.
func (t *track) finish(result outcome, err error) {
	cause := endedBy(err)
	result.Error, result.Code, result.Remote = cause.Error, cause.Code, cause.Remote
	t.result = result
	if err != nil {
		t.stream.Reset()
	}
	close(t.done)
}

// endedBy is what an error tells: its text, and the code that came with a reset or a GoAway.
func endedBy(err error) outcome {
	if err == nil {
		return outcome{}
	}
	var reset *yamux.StreamError
	var away *yamux.GoAwayError
	switch {
	case errors.As(err, &reset):
		return outcome{Error: err.Error(), Code: reset.ErrorCode, Remote: reset.Remote}
	case errors.As(err, &away):
		return outcome{Error: err.Error(), Code: away.ErrorCode, Remote: away.Remote}
	}
	return outcome{Error: err.Error()}
}
