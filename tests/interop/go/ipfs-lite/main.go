// Command ipfs-lite-peer is a peer of Go ipfs-lite, as its users set it up: DHT, bitswap and
// block service, with its blocks in memory.
//
// It reads commands as JSON lines on standard input and answers each with one JSON line that
// carries the command's "id"; commands run side by side, so answers may change places. The
// first line it prints is {"id": PEER ID, "addrs": [...]}. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	ipfslite "github.com/hsanjuan/ipfs-lite"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ipfs-lite-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	listen := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")}
	store := ipfslite.NewInMemoryDatastore()
	h, dht, err := ipfslite.SetupLibp2p(ctx, key, nil, listen, store)
	if err != nil {
		return err
	}
	defer h.Close()
	lite, err := ipfslite.New(ctx, store, nil, h, dht, &ipfslite.Config{ReprovideInterval: -1})
	if err != nil {
		return err
	}
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	if err != nil {
		return err
	}
	out := &lines{to: json.NewEncoder(os.Stdout)}
	out.write(answer{"id": h.ID().String(), "addrs": addrs})
	return serve(ctx, &litePeer{host: h, lite: lite}, os.Stdin, out)
}

type litePeer struct {
	host host.Host
	lite *ipfslite.Peer
}

// serve carries out commands until "exit" or the end of the input.
func serve(ctx context.Context, p *litePeer, in io.Reader, out *lines) error {
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
			return fmt.Errorf("not a command: %w", err)
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

type answer map[string]any

// lines writes one JSON value per line for many goroutines.
type lines struct {
	mutex sync.Mutex
	to    *json.Encoder
}

func (l *lines) write(value answer) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err := l.to.Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "ipfs-lite-peer:", err)
	}
}
