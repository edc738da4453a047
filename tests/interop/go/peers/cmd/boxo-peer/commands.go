package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"py-libp2p-interop/peers/internal/jsonlines"
	"py-libp2p-interop/peers/internal/node"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

type boxoPeer struct {
	host     host.Host
	addrs    []string
	store    blockstore.Blockstore
	exchange *bitswap.Bitswap
}

// command is what a command carries; each one uses the fields that it names in its comment.
type command struct {
	Addr    string   `json:"addr"`
	Peer    string   `json:"peer"`
	CID     string   `json:"cid"`
	CIDs    []string `json:"cids"`
	Timeout float64  `json:"timeout"`
	Store   bool     `json:"store"`
	Count   int      `json:"count"`
	source
}

type answer = jsonlines.Answer

// do carries out one command.
func (p *boxoPeer) do(ctx context.Context, name string, c command) (answer, error) {
	seconds := c.Timeout
	if seconds <= 0 {
		seconds = 30
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
	defer cancel()
	switch name {
	case "add":
		return p.add(ctx, c)
	case "fill":
		return p.fill(ctx, c)
	case "get":
		return p.get(ctx, c)
	case "get_many":
		return p.getMany(ctx, c)
	case "get_each":
		return p.getEach(ctx, c)
	case "has", "remove":
		return p.local(ctx, name, c)
	case "connect", "disconnect":
		return p.link(ctx, name, c)
	case "addrs":
		return answer{"addrs": p.addrs}, nil
	case "stat":
		return p.stat()
	}
	return nil, fmt.Errorf("unknown command %q", name)
}

// add (data or size+seed, codec, hash, version) stores one block and tells bitswap of it.
func (p *boxoPeer) add(ctx context.Context, c command) (answer, error) {
	block, err := c.source.block()
	if err != nil {
		return nil, err
	}
	if err := p.keep(ctx, block); err != nil {
		return nil, err
	}
	return answer{"cid": block.Cid().String()}, nil
}

// fill (count, size, seed, codec, hash, version) adds count blocks, with seeds seed, seed+1...
func (p *boxoPeer) fill(ctx context.Context, c command) (answer, error) {
	cids := make([]string, 0, c.Count)
	for i := range c.Count {
		next := c.source
		next.Data, next.Seed = nil, c.Seed+uint64(i)
		block, err := next.block()
		if err != nil {
			return nil, err
		}
		if err := p.keep(ctx, block); err != nil {
			return nil, err
		}
		cids = append(cids, block.Cid().String())
	}
	return answer{"cids": cids}, nil
}

// local (cid): "has" asks the own store only, "remove" takes the block out of it.
func (p *boxoPeer) local(ctx context.Context, name string, c command) (answer, error) {
	id, err := cid.Decode(c.CID)
	if err != nil {
		return nil, err
	}
	if name == "remove" {
		return answer{}, p.store.DeleteBlock(ctx, id)
	}
	has, err := p.store.Has(ctx, id)
	return answer{"has": has}, err
}

// link: "connect" (addr) dials a full multiaddr, "disconnect" (peer) closes what there is.
func (p *boxoPeer) link(ctx context.Context, name string, c command) (answer, error) {
	if name == "disconnect" {
		id, err := peer.Decode(c.Peer)
		if err != nil {
			return nil, err
		}
		return answer{}, p.host.Network().ClosePeer(id)
	}
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	return answer{"peer": info.ID.String()}, p.host.Connect(ctx, *info)
}

// stat tells what bitswap counted and what this process has cost so far.
func (p *boxoPeer) stat() (answer, error) {
	stat, err := p.exchange.Stat()
	if err != nil {
		return nil, err
	}
	connected := []string{}
	for _, id := range p.host.Network().Peers() {
		connected = append(connected, id.String())
	}
	return answer{"wants": len(stat.Wantlist), "peers": connected,
		"blocks_received": stat.BlocksReceived, "bytes_received": stat.DataReceived,
		"duplicates": stat.DupBlksReceived, "messages_received": stat.MessagesReceived,
		"blocks_sent": stat.BlocksSent, "bytes_sent": stat.DataSent,
		"cpu_seconds": node.CPUSeconds()}, nil
}

// keep stores a block and answers those who wait for it.
func (p *boxoPeer) keep(ctx context.Context, block blocks.Block) error {
	return errors.Join(p.store.Put(ctx, block), p.exchange.NotifyNewBlocks(ctx, block))
}
