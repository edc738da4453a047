package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"
	_ "github.com/multiformats/go-multihash/register/all" // blake3, sha3 and the others
)

// source describes a block: its bytes, given or made from a seed, and its CID's parameters.
type source struct {
	Data    []byte  `json:"data"`
	Size    int     `json:"size"`
	Seed    uint64  `json:"seed"`
	Codec   string  `json:"codec"`
	Hash    string  `json:"hash"`
	Version *uint64 `json:"version"`
}

// block makes the block. Defaults: CID version 1, codec raw (dag-pb for version 0), sha2-256.
func (s source) block() (blocks.Block, error) {
	prefix := cid.Prefix{Version: 1, Codec: cid.Raw, MhType: multihash.SHA2_256, MhLength: -1}
	if s.Version != nil {
		prefix.Version = *s.Version
	}
	if prefix.Version == 0 {
		prefix.Codec = cid.DagProtobuf
	}
	if s.Codec != "" {
		var codec multicodec.Code
		if err := codec.Set(s.Codec); err != nil {
			return nil, err
		}
		prefix.Codec = uint64(codec)
	}
	if s.Hash != "" {
		code, known := multihash.Names[s.Hash]
		if !known {
			return nil, fmt.Errorf("unknown hash %q", s.Hash)
		}
		prefix.MhType = code
	}
	data := s.Data
	if data == nil {
		data = random(s.Size, s.Seed)
	}
	id, err := prefix.Sum(data)
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, id)
}

// random is size bytes that depend on the seed alone.
func random(size int, seed uint64) []byte {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	data := make([]byte, size)
	rand.NewChaCha8(key).Read(data)
	return data
}
