package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"time"

	dhtpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"

	"py-libp2p-interop/peers/internal/node"
)

// ask sends FIND_NODE for random peers on a few streams, one at a time on each, and prints
// {"count", "seconds", "closer" (peers in all answers), "median", "p99", "cpu_seconds"}.
func ask(f flags) error {
	ctx := context.Background()
	h, err := f.Config.New()
	if err != nil {
		return err
	}
	defer h.Close()
	info, err := peer.AddrInfoFromString(f.ask)
	if err != nil {
		return err
	}
	if err := h.Connect(ctx, *info); err != nil {
		return err
	}
	each := f.asked / f.streams
	results := make([]asked, f.streams)
	var group sync.WaitGroup
	before := node.CPUSeconds()
	began := time.Now()
	for i := range results {
		group.Go(func() {
			results[i] = askOnStream(func() (duplex, error) {
				name := protocol.ID(f.prefix) + "/kad/1.0.0"
				return h.NewStream(ctx, info.ID, name)
			}, each)
		})
	}
	group.Wait()
	seconds := time.Since(began).Seconds()
	total := asked{}
	for _, result := range results {
		if result.err != nil {
			return result.err
		}
		total.closer += result.closer
		total.times = append(total.times, result.times...)
	}
	slices.Sort(total.times)
	return json.NewEncoder(os.Stdout).Encode(answer{
		"count":       len(total.times),
		"seconds":     seconds,
		"closer":      total.closer,
		"median":      total.times[len(total.times)/2],
		"p99":         total.times[len(total.times)*99/100],
		"cpu_seconds": node.CPUSeconds() - before,
	})
}

type asked struct {
	closer int
	times  []float64
	err    error
}

type duplex interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}

func askOnStream(open func() (duplex, error), count int) (result asked) {
	stream, err := open()
	if err != nil {
		return asked{err: err}
	}
	defer stream.Close()
	reader := msgio.NewVarintReaderSize(stream, 4<<20)
	writer := msgio.NewVarintWriter(stream)
	for range count {
		target, err := randomPeer()
		if err != nil {
			return asked{err: err}
		}
		request, err := proto.Marshal(dhtpb.NewMessage(dhtpb.Message_FIND_NODE, []byte(target), 0))
		if err != nil {
			return asked{err: err}
		}
		began := time.Now()
		if err := writer.WriteMsg(request); err != nil {
			return asked{err: err}
		}
		data, err := reader.ReadMsg()
		if err != nil {
			return asked{err: err}
		}
		result.times = append(result.times, time.Since(began).Seconds())
		var reply dhtpb.Message
		if err := proto.Unmarshal(data, &reply); err != nil {
			return asked{err: err}
		}
		reader.ReleaseMsg(data)
		result.closer += len(reply.CloserPeers)
	}
	return result
}
