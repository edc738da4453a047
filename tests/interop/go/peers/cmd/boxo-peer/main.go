// Command boxo-peer is a bare bitswap peer of boxo: no DHT, no blockservice, blocks in memory.
//
// It reads commands as JSON lines on standard input and answers each with one JSON line that
// carries the command's "id"; commands run side by side, so answers may change places. The
// first line it prints is {"id": PEER ID, "addrs": [...]}. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"

	"py-libp2p-interop/peers/internal/node"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
)

func main() {
	var config node.Config
	config.Flags()
	flag.Parse()
	if err := run(config); err != nil {
		fmt.Fprintln(os.Stderr, "boxo-peer:", err)
		os.Exit(1)
	}
}

func run(config node.Config) error {
	if config.Listen == "" {
		config.Listen = "/ip4/127.0.0.1/tcp/0"
	}
	h, err := config.New()
	if err != nil {
		return err
	}
	defer h.Close()
	addrs, err := node.Addrs(h)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	exchange := bitswap.New(ctx, bsnet.NewFromIpfsHost(h), nil, store)
	defer exchange.Close()
	p := &boxoPeer{host: h, addrs: addrs, store: store, exchange: exchange}
	out := &lines{to: json.NewEncoder(os.Stdout)}
	out.write(answer{"id": h.ID().String(), "addrs": addrs})
	return p.serve(ctx, os.Stdin, out)
}

// serve carries out commands until "exit" or the end of the input.
func (p *boxoPeer) serve(ctx context.Context, in io.Reader, out *lines) error {
	reader := bufio.NewReader(in)
	for {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			out.write(answer{"error": "not a command: " + err.Error()})
			continue
		}
		if c.Command == "exit" {
			out.write(answer{"id": c.ID})
			return nil
		}
		go func() {
			reply, err := p.do(ctx, c)
			if err != nil {
				reply = answer{"error": err.Error()}
			}
			reply["id"] = c.ID
			out.write(reply)
		}()
	}
}

// lines writes one JSON value per line for many goroutines.
type lines struct {
	mutex sync.Mutex
	to    *json.Encoder
}

func (l *lines) write(value answer) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err := l.to.Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "boxo-peer:", err)
	}
}
