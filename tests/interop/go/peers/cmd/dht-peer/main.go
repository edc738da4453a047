// Command dht-peer runs many DHT servers of go-libp2p-kad-dht, each on a host of its own.
//
// It takes commands as package jsonlines describes; "node" says which of its servers is meant.
// The first line it prints is {"nodes": [{"id": PEER ID, "addrs": [...]}, ...]}. It ends with its
// standard input. With -ask it is the opposite: a client that measures how many FIND_NODE a server
// answers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"py-libp2p-interop/peers/internal/jsonlines"
	"py-libp2p-interop/peers/internal/node"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

type flags struct {
	node.Config
	count   int
	prefix  string
	known   int
	ask     string
	asked   int
	streams int
}

func main() {
	var f flags
	f.Flags()
	flag.IntVar(&f.count, "count", 25, "how many servers there are")
	flag.StringVar(&f.prefix, "prefix", "/ipfs", "what the protocol's name begins with")
	flag.IntVar(&f.known, "known", 0, "random peers that each server's table is offered at first")
	flag.StringVar(&f.ask, "ask", "", "`multiaddr` of a server to send FIND_NODE to")
	flag.IntVar(&f.asked, "asked", 10000, "with -ask, how many FIND_NODE")
	flag.IntVar(&f.streams, "streams", 4, "with -ask, on how many streams at once")
	flag.Parse()
	run := serve
	if f.ask != "" {
		run = ask
	}
	if err := run(f); err != nil {
		fmt.Fprintln(os.Stderr, "dht-peer:", err)
		os.Exit(1)
	}
}

// server is one DHT server and its host.
type server struct {
	host  host.Host
	dht   *dht.IpfsDHT
	addrs []string
}

// serve starts the servers, connects each to the first one, and carries out commands.
func serve(f flags) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	servers := make([]*server, 0, f.count)
	hello := make([]answer, 0, f.count)
	for i := range f.count {
		config := f.Config
		if config.KeySeed != 0 {
			config.KeySeed += int64(i)
		}
		s, err := newServer(config, f.prefix)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.know(f.known); err != nil {
			return err
		}
		servers = append(servers, s)
		hello = append(hello, answer{"id": s.host.ID().String(), "addrs": s.addrs})
	}
	for i, s := range servers {
		if i == 0 {
			continue
		}
		first := servers[0].host
		info := peer.AddrInfo{ID: first.ID(), Addrs: first.Addrs()}
		if err := s.host.Connect(ctx, info); err != nil {
			return err
		}
	}
	n := &network{servers}
	return jsonlines.Serve(ctx, answer{"nodes": hello}, n.do)
}

// newServer makes a server that takes private addresses, and many peers of one network.
func newServer(config node.Config, prefix string) (*server, error) {
	if config.Listen == "" {
		config.Listen = "/ip4/127.0.0.1/tcp/0"
	}
	h, err := config.New()
	if err != nil {
		return nil, err
	}
	addrs, err := node.Addrs(h)
	if err != nil {
		return nil, err
	}
	d, err := dht.New(h,
		dht.Mode(dht.ModeServer),
		dht.ProtocolPrefix(protocol.ID(prefix)),
		dht.RoutingTableRefreshQueryTimeout(5*time.Second),
	)
	if err != nil {
		return nil, err
	}
	return &server{h, d, addrs}, nil
}

func (s *server) close() {
	s.dht.Close()
	s.host.Close()
}
