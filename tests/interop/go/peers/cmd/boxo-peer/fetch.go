package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"py-libp2p-interop/peers/internal/node"

	"github.com/ipfs/go-cid"
)

// smallBlock is the size up to which "get" answers with the block's bytes too.
const smallBlock = 65536

// get (cid, timeout, store) fetches one block; store keeps it, to be served on.
func (p *boxoPeer) get(ctx context.Context, c command) (answer, error) {
	id, err := cid.Decode(c.CID)
	if err != nil {
		return nil, err
	}
	block, err := p.exchange.GetBlock(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Store {
		if err := p.keep(ctx, block); err != nil {
			return nil, err
		}
	}
	data := block.RawData()
	digest := sha256.Sum256(data)
	reply := answer{"size": len(data), "sha256": hex.EncodeToString(digest[:])}
	if len(data) <= smallBlock {
		reply["data"] = data
	}
	return reply, nil
}

// getMany (cids, timeout, store) fetches many blocks in one GetBlocks; count tells how many came.
func (p *boxoPeer) getMany(ctx context.Context, c command) (answer, error) {
	ids, err := decodeAll(c.CIDs)
	if err != nil {
		return nil, err
	}
	cpu, start := node.CPUSeconds(), time.Now()
	found, err := p.exchange.GetBlocks(ctx, ids)
	if err != nil {
		return nil, err
	}
	count, size := 0, 0
	for block := range found {
		count++
		size += len(block.RawData())
		if c.Store {
			if err := p.keep(ctx, block); err != nil {
				return nil, err
			}
		}
	}
	return answer{"count": count, "bytes": size, "seconds": time.Since(start).Seconds(),
		"cpu_seconds": node.CPUSeconds() - cpu}, nil
}

// getEach (cids, timeout) fetches blocks by one GetBlock after the other.
func (p *boxoPeer) getEach(ctx context.Context, c command) (answer, error) {
	ids, err := decodeAll(c.CIDs)
	if err != nil {
		return nil, err
	}
	cpu, start := node.CPUSeconds(), time.Now()
	size := 0
	for _, id := range ids {
		block, err := p.exchange.GetBlock(ctx, id)
		if err != nil {
			return nil, err
		}
		size += len(block.RawData())
	}
	return answer{"count": len(ids), "bytes": size, "seconds": time.Since(start).Seconds(),
		"cpu_seconds": node.CPUSeconds() - cpu}, nil
}

func decodeAll(texts []string) ([]cid.Cid, error) {
	ids := make([]cid.Cid, 0, len(texts))
	for _, text := range texts {
		id, err := cid.Decode(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
