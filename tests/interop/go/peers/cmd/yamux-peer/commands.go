package main

import (
	"context"
	"fmt"
	"sync"

	"py-libp2p-interop/peers/internal/jsonlines"
	"py-libp2p-interop/peers/internal/payload"

	"github.com/libp2p/go-yamux/v5"
)

// peer is the session and what has become of its streams.
type peer struct {
	session *yamux.Session
	started chan struct{}
	ended   chan struct{} // closed when endedBy is set
	endedBy error

	mutex   sync.Mutex
	streams map[uint32]*track
}

// track is a stream and, once its act is over, how that ended.
type track struct {
	stream *yamux.Stream
	done   chan struct{}
	result outcome
}

// command is what a command carries; each one uses the fields that it names in its comment.
type command struct {
	Act       string `json:"act"`
	Bytes     int64  `json:"bytes"`
	Code      uint32 `json:"code"`
	Parallel  int    `json:"parallel"`
	Stream    uint32 `json:"stream"`
	WriteSize int    `json:"write_size"`
}

type answer = jsonlines.Answer

func newPeer() *peer {
	return &peer{
		started: make(chan struct{}), ended: make(chan struct{}), streams: map[uint32]*track{},
	}
}

// start takes over a new session and serves what streams the other side opens.
func (p *peer) start(session *yamux.Session, err error) error {
	if err != nil {
		return err
	}
	p.session = session
	close(p.started)
	go func() {
		for {
			s, err := session.AcceptStream()
			if err != nil {
				p.endedBy = err
				close(p.ended)
				return
			}
			go p.track(s).serve()
		}
	}()
	return nil
}

// do carries out one command.
func (p *peer) do(ctx context.Context, name string, c command) (answer, error) {
	<-p.started
	switch name {
	case "echo":
		return answer{}, p.echo(ctx, c)
	case "open":
		return p.open(ctx, c)
	case "outcome":
		t := p.tracked(c.Stream)
		<-t.done
		return answer{"outcome": t.result}, nil
	case "reset":
		return answer{}, p.tracked(c.Stream).stream.ResetWithError(c.Code)
	case "ping":
		rtt, err := p.session.Ping()
		return answer{"seconds": rtt.Seconds()}, err
	case "go_away":
		return answer{}, p.session.GoAway()
	case "close":
		if c.Code == 0 {
			return answer{}, p.session.Close()
		}
		return answer{}, p.session.CloseWithError(c.Code)
	case "ended":
		<-p.ended
		return answer{"outcome": endedBy(p.endedBy)}, nil
	}
	return nil, fmt.Errorf("unknown command %q", name)
}

// echo (bytes, write_size, parallel) sends so much on each stream and checks what comes back.
func (p *peer) echo(ctx context.Context, c command) error {
	return payload.AtOnce(c.Parallel, func(int) error {
		s, err := p.session.OpenStream(ctx)
		if err != nil {
			return err
		}
		if err := payload.Echoed(s, c.Bytes, c.WriteSize); err != nil {
			s.Reset()
			return fmt.Errorf("stream %d: %w", s.StreamID(), err)
		}
		return s.Close()
	})
}

// open (act, bytes) opens a stream and plays the act on it; the answer does not wait for that.
func (p *peer) open(ctx context.Context, c command) (answer, error) {
	s, err := p.session.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	t := p.track(s)
	go t.play(c.Act, c.Bytes)
	return answer{"stream": s.StreamID()}, nil
}

func (p *peer) track(s *yamux.Stream) *track {
	t := p.tracked(s.StreamID())
	t.stream = s
	return t
}

// tracked is the stream's entry, which may be asked for before the stream has come.
func (p *peer) tracked(id uint32) *track {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	t := p.streams[id]
	if t == nil {
		t = &track{done: make(chan struct{})}
		p.streams[id] = t
	}
	return t
}
