// Command boxo-peer is a bare bitswap peer of boxo: no DHT, no blockservice, blocks in memory.
//
// It takes commands as package jsonlines describes. The first line it prints is
// {"id": PEER ID, "addrs": [...]}. It ends with its standard input.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"py-libp2p-interop/peers/internal/jsonlines"
	"py-libp2p-interop/peers/internal/node"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/protocol"
)

func main() {
	var config node.Config
	config.Flags()
	protocols := flag.String("protocols", "", "the only bitswap protocols, by commas; else all")
	flag.Parse()
	if err := run(config, *protocols); err != nil {
		fmt.Fprintln(os.Stderr, "boxo-peer:", err)
		os.Exit(1)
	}
}

func run(config node.Config, protocols string) error {
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
	exchange := bitswap.New(ctx, bsnet.NewFromIpfsHost(h, only(protocols)...), nil, store)
	defer exchange.Close()
	p := &boxoPeer{host: h, addrs: addrs, store: store, exchange: exchange}
	hello := answer{"id": h.ID().String(), "addrs": addrs}
	return jsonlines.Serve(ctx, hello, p.do)
}

// only restricts bitswap to the protocols named, to play an older peer.
func only(protocols string) []bsnet.NetOpt {
	if protocols == "" {
		return nil
	}
	return []bsnet.NetOpt{bsnet.SupportedProtocols(
		protocol.ConvertFromStrings(strings.Split(protocols, ",")))}
}
