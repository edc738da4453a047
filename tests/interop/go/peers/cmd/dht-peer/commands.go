package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"py-libp2p-interop/peers/internal/jsonlines"
	"py-libp2p-interop/peers/internal/node"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"
)

type network struct {
	servers []*server
}

// command is what a command carries; each one uses the fields that it names in its comment.
// Bytes travel as base64.
type command struct {
	Node     int     `json:"node"`
	Addr     string  `json:"addr"`
	Peer     string  `json:"peer"`
	CID      string  `json:"cid"`
	Count    int     `json:"count"`
	Key      []byte  `json:"key"`
	Value    []byte  `json:"value"`
	Path     string  `json:"path"`
	Sequence uint64  `json:"sequence"`
	Timeout  float64 `json:"timeout"`
}

type answer = jsonlines.Answer

// do carries out one command; its answer tells the "seconds" that it took.
func (n *network) do(ctx context.Context, name string, c command) (answer, error) {
	if c.Node < 0 || c.Node >= len(n.servers) {
		return nil, fmt.Errorf("no node %d", c.Node)
	}
	seconds := c.Timeout
	if seconds <= 0 {
		seconds = 30
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
	defer cancel()
	began := time.Now()
	reply, err := n.servers[c.Node].do(ctx, name, c)
	if err != nil {
		return nil, err
	}
	reply["seconds"] = time.Since(began).Seconds()
	return reply, nil
}

func (s *server) do(ctx context.Context, name string, c command) (answer, error) {
	switch name {
	case "connect":
		return s.connect(ctx, c)
	case "disconnect":
		return s.disconnect(c)
	case "provide":
		return s.provide(ctx, c)
	case "find_providers":
		return s.findProviders(ctx, c)
	case "find_peer":
		return s.findPeer(ctx, c)
	case "closest":
		return s.closest(ctx, c)
	case "put_value":
		return answer{}, s.dht.PutValue(ctx, string(c.Key), c.Value)
	case "get_value":
		value, err := s.dht.GetValue(ctx, string(c.Key))
		return answer{"value": value}, err
	case "make_record":
		return makeRecord(c)
	case "refresh":
		return answer{}, <-s.dht.ForceRefresh()
	case "table":
		return s.table()
	case "cpu":
		return answer{"cpu_seconds": node.CPUSeconds()}, nil
	}
	return nil, fmt.Errorf("unknown command %q", name)
}

// connect (addr) dials a full multiaddr.
func (s *server) connect(ctx context.Context, c command) (answer, error) {
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	return answer{"peer": info.ID.String()}, s.host.Connect(ctx, *info)
}

// disconnect (peer) closes every connection to a peer and forgets it.
func (s *server) disconnect(c command) (answer, error) {
	id, err := peer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	err = s.host.Network().ClosePeer(id)
	s.host.Peerstore().ClearAddrs(id)
	s.dht.RoutingTable().RemovePeer(id)
	return answer{}, err
}

// provide (cid) announces that the node has a block.
func (s *server) provide(ctx context.Context, c command) (answer, error) {
	id, err := cid.Decode(c.CID)
	if err != nil {
		return nil, err
	}
	return answer{}, s.dht.Provide(ctx, id, true)
}

// findProviders (cid, count) looks for those that have a block.
func (s *server) findProviders(ctx context.Context, c command) (answer, error) {
	id, err := cid.Decode(c.CID)
	if err != nil {
		return nil, err
	}
	found := []answer{}
	for info := range s.dht.FindProvidersAsync(ctx, id, c.Count) {
		found = append(found, shown(info))
	}
	return answer{"providers": found}, nil
}

// findPeer (peer) looks for a peer's addresses.
func (s *server) findPeer(ctx context.Context, c command) (answer, error) {
	id, err := peer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	info, err := s.dht.FindPeer(ctx, id)
	if err != nil {
		return nil, err
	}
	return answer{"found": shown(info)}, nil
}

// closest (key) returns the peers closest to a key.
func (s *server) closest(ctx context.Context, c command) (answer, error) {
	peers, err := s.dht.GetClosestPeers(ctx, string(c.Key))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(peers))
	for i, id := range peers {
		ids[i] = id.String()
	}
	return answer{"peers": ids}, nil
}

// table returns the peers in a node's routing table.
func (s *server) table() (answer, error) {
	ids := []string{}
	for _, id := range s.dht.RoutingTable().ListPeers() {
		ids = append(ids, id.String())
	}
	return answer{"peers": ids}, nil
}

// makeRecord makes a key pair, and either its IPNS record (path, sequence) or its /pk record.
func makeRecord(c command) (answer, error) {
	private, public, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return nil, err
	}
	if c.Path == "" {
		value, err := crypto.MarshalPublicKey(public)
		return answer{"key": []byte("/pk/" + string(id)), "value": value}, err
	}
	to, err := path.NewPath(c.Path)
	if err != nil {
		return nil, err
	}
	ends := time.Now().Add(time.Hour)
	record, err := ipns.NewRecord(private, to, c.Sequence, ends, time.Minute)
	if err != nil {
		return nil, err
	}
	value, err := ipns.MarshalRecord(record)
	return answer{"key": ipns.NameFromPeer(id).RoutingKey(), "value": value}, err
}

func shown(info peer.AddrInfo) answer {
	addrs := make([]string, len(info.Addrs))
	for i, addr := range info.Addrs {
		addrs[i] = addr.String()
	}
	return answer{"id": info.ID.String(), "addrs": addrs}
}

// know offers random peers to the server's table.
func (s *server) know(count int) error {
	addr, err := ma.NewMultiaddr("/ip4/127.0.0.1/tcp/9")
	if err != nil {
		return err
	}
	for range count {
		id, err := randomPeer()
		if err != nil {
			return err
		}
		s.host.Peerstore().AddAddr(id, addr, peerstore.PermanentAddrTTL)
		// A full bucket refuses a peer; that is not a fault.
		_, _ = s.dht.RoutingTable().TryAddPeer(id, true, false)
	}
	if count > 0 && s.dht.RoutingTable().Size() == 0 {
		return errors.New("the table took no peer")
	}
	return nil
}

// randomPeer makes a peer id that nobody has the key of.
func randomPeer() (peer.ID, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return "", err
	}
	digest, err := mh.Sum(seed[:], mh.SHA2_256, -1)
	return peer.ID(digest), err
}
