package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"
	_ "github.com/multiformats/go-multihash/register/all" // blake3 and the others
)

// command is one line of input; each command uses the fields that it names in its comment.
type command struct {
	ID      int     `json:"id"`
	Command string  `json:"command"`
	Addr    string  `json:"addr"`
	Peer    string  `json:"peer"`
	CID     string  `json:"cid"`
	Timeout float64 `json:"timeout"`
	Data    []byte  `json:"data"`
	Codec   string  `json:"codec"`
	Hash    string  `json:"hash"`
	Version uint64  `json:"version"`
}

// do carries out one command.
func (p *litePeer) do(ctx context.Context, c command) (answer, error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.Timeout*float64(time.Second)))
		defer cancel()
	}
	switch c.Command {
	case "add":
		return p.add(ctx, c)
	case "get":
		return p.get(ctx, c)
	case "connect":
		info, err := peer.AddrInfoFromString(c.Addr)
		if err != nil {
			return nil, err
		}
		return answer{"peer": info.ID.String()}, p.host.Connect(ctx, *info)
	case "disconnect":
		id, err := peer.Decode(c.Peer)
		if err != nil {
			return nil, err
		}
		return answer{}, p.host.Network().ClosePeer(id)
	}
	return nil, fmt.Errorf("unknown command %q", c.Command)
}

// add (data, codec, hash, version) stores one block and tells those who want it.
func (p *litePeer) add(ctx context.Context, c command) (answer, error) {
	code, known := multihash.Names[c.Hash]
	if !known {
		return nil, fmt.Errorf("unknown hash %q", c.Hash)
	}
	var codec multicodec.Code
	if err := codec.Set(c.Codec); err != nil {
		return nil, err
	}
	prefix := cid.Prefix{Version: c.Version, Codec: uint64(codec), MhType: code, MhLength: -1}
	id, err := prefix.Sum(c.Data)
	if err != nil {
		return nil, err
	}
	block, err := blocks.NewBlockWithCid(c.Data, id)
	if err != nil {
		return nil, err
	}
	return answer{"cid": id.String()}, p.lite.BlockService().AddBlock(ctx, block)
}

// smallBlock is the size up to which "get" answers with the block's bytes too.
const smallBlock = 65536

// get (cid, timeout) fetches one block, which it keeps from then on.
func (p *litePeer) get(ctx context.Context, c command) (answer, error) {
	id, err := cid.Decode(c.CID)
	if err != nil {
		return nil, err
	}
	block, err := p.lite.BlockService().GetBlock(ctx, id)
	if err != nil {
		return nil, err
	}
	data := block.RawData()
	digest := sha256.Sum256(data)
	reply := answer{"size": len(data), "sha256": hex.EncodeToString(digest[:])}
	if len(data) <= smallBlock {
		reply["data"] = data
	}
	return reply, nil
}
